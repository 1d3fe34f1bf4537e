// What a connection for one project shows to a key of another, on every surface, beyond that it is not found (which
// `route-matrix.test.ts` asks of every route).

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { buildApp } from '#server/app.ts';
import { type ConnectionSurface, connectionSurfaces } from './connection-surfaces.ts';
import { callerOf } from './dialect-client.ts';
import { seedKey } from './platform.ts';
import { openPullSecretWorld } from './pull-secret-world.ts';

const hidden = { name: 'planted-hidden', url: 'planted-host.example.com', namespace: 'planted/namespace' };

/** A connection for the project `shop`, others for all and for `default`, and a key of `default` alone. */
async function openRestricted(t: TestContext) {
  const world = await openPullSecretWorld(t);
  const { platform, team, shop, connect } = world;
  const restricted = await connect({ ...hidden, projects: [shop.id] });
  await connect({ name: 'alpha' });
  await connect({ name: 'open' });
  await connect({ name: 'zulu', projects: [team.projectId] });
  const app = await buildApp(platform);
  t.after(() => app.close());
  const bound = await seedKey(platform, team.teamId, { permissions: ['*'], projectIds: [team.projectId] });
  return { ...world, restricted, app, call: callerOf(app, bound.secret, ''), asOwner: callerOf(app, team.secret, '') };
}

const create = ({ path, toBody }: ConnectionSurface, name: string) =>
  [`POST ${path}`, { body: toBody({ name, url: 'a.example.com', username: 'a', password: 'b' }) }] as const;
const withoutId = (text: string) => text.replace(/"requestId":"[^"]*"/, '');

// Names are unique in a team, so that a taken one cannot be kept from somebody who tries it. That it is taken is all.
test('who tries the name of a hidden connection is told that it is taken, in the words for any other, and nothing else', async (t) => {
  const { call, asOwner, restricted } = await openRestricted(t);
  for (const surface of connectionSurfaces) {
    const own = await call(...create(surface, `own ${surface.name}`));
    assert.ok(own.status < 300, own.text);
    for (const name of [hidden.name, hidden.name.toUpperCase()]) {
      const [taken, visible] = [await call(...create(surface, name)), await call(...create(surface, 'alpha'))];
      assert.equal(taken.status, surface.name === 'nodion' ? 400 : 409, taken.text);
      assert.deepEqual([taken.status, withoutId(taken.text)], [visible.status, withoutId(visible.text)]);
      if (surface.name === 'northflank') continue;
      const rename = (to: string) =>
        call(`${surface.update} ${surface.path}/${surface.idOf(own.json)}`, {
          body:
            surface.name === 'apisio'
              ? surface.toBody({ name: to, url: 'a.example.com', username: 'a', password: 'b' })
              : { name: to },
        });
      const [renamed, renamedVisible] = [await rename(name), await rename('alpha')];
      assert.deepEqual(
        [renamed.status, withoutId(renamed.text)],
        [renamedVisible.status, withoutId(renamedVisible.text)],
      );
    }
  }
  const { json } = await asOwner(`GET /lading/v1/connections/${restricted.id}`);
  assert.equal(json.host, hidden.url);
});

test('neither search nor filters, order or anybody’s cursor lead to a hidden connection', async (t) => {
  const { call, asOwner, restricted, shop } = await openRestricted(t);
  const traces = [restricted.id, restricted.slug, shop.id, shop.slug, 'planted'];
  const base = '/lading/v1/connections';
  const cursors: string[] = [];
  for (const sort of ['name', '-name', 'createdAt', '-createdAt']) {
    for (let query = `?limit=1&sort=${sort}`; ; ) {
      const { json } = await asOwner(`GET ${base}${query}`);
      if (json.nextCursor === null) break;
      query = `?limit=1&sort=${sort}&cursor=${json.nextCursor}`;
      cursors.push(query);
    }
  }
  assert.ok(cursors.length >= 12);
  const words = ['planted', 'p', '%25', '_', 'PLANTED', hidden.url, restricted.slug].map((word) => `?search=${word}`);
  const filters = ['?provider=oci', '?status=untested', '?sort=name'];
  const asked = [...cursors, ...words, ...filters].map((query) => `GET ${base}${query}`);
  for (const path of ['/v1/container-registries', '/v1/integrations/registries']) {
    const [page] = [await asOwner(`GET ${path}?limit=1&per_page=1&order=asc`)];
    const cursor = page.json.nextPage ?? page.json.pagination.cursor;
    asked.push(
      `GET ${path}?after=${cursor}`,
      `GET ${path}?cursor=${cursor}`,
      `GET ${path}?page=1&per_page=1`,
      `GET ${path}?order=desc`,
    );
  }
  const listIn = (project: string) =>
    call('GET /v1/container_registries', { headers: { 'x-nodion-project': project } });
  const unknown = await listIn('never-there');
  assert.equal(unknown.status, 403);
  for (const project of [shop.id, shop.slug]) assert.equal((await listIn(project)).text, unknown.text);
  asked.push('GET /v1/container_registries', 'GET /lading/v1/projects/default/pull-secret');
  // A hidden project is one that never was.
  const ofProject = async (project: string) =>
    withoutId((await call(`GET ${base}?project=${project}`)).text).replaceAll(project, '…');
  for (const project of [shop.id, shop.slug]) assert.equal(await ofProject(project), await ofProject('never-there'));
  let seen = 0;
  for (const one of asked) {
    const { status, text } = await call(one);
    assert.equal(status, 200, `${one}: ${text}`);
    assert.deepEqual(
      traces.filter((trace) => text.toLowerCase().includes(trace.toLowerCase())),
      [],
      `${one}: ${text}`,
    );
    if (text.includes('open')) seen++;
  }
  assert.ok(seen > 10);
});

test('of a connection for several projects a key sees its own, and changes nothing', async (t) => {
  const { call, asOwner, team, shop, connect, read } = await openRestricted(t);
  const { id } = await connect({ name: 'shared', projects: [team.projectId, shop.id] });
  await read('shop');
  const one = `/lading/v1/connections/${id}`;
  const before = await asOwner(`GET ${one}`);
  for (const asked of [
    `GET ${one}`,
    `GET ${one}/uses`,
    `POST ${one}/reveal`,
    'GET /v1/integrations/registries/shared',
  ]) {
    const { status, text } = await call(asked);
    assert.equal(status, 200, text);
    assert.ok(!text.includes(shop.id) && !text.includes('shop'), `${asked}: ${text}`);
  }
  // An answer to one may not serve as a guess at what another sees.
  const { headers } = await call(`GET ${one}`);
  assert.notEqual(headers.etag, before.headers.etag);
  for (const surface of connectionSurfaces) {
    const body = surface.toBody({ name: 'shared', url: 'b.example.com', username: 'a', password: 'b' });
    const { registry_type: _, provider: __, ...change } = body as Record<string, unknown>;
    const updated = await call(`${surface.update} ${surface.path}/${id}`, { body: change });
    const deleted = await call(`DELETE ${surface.path}/${id}`);
    for (const { status, text } of [updated, deleted]) {
      assert.ok([400, 403].includes(status), `${surface.name}: ${status} ${text}`);
      assert.ok(!text.includes(shop.id) && !/\bshop\b/.test(text), text);
    }
  }
  assert.equal((await asOwner(`GET ${one}`)).headers.etag, before.headers.etag);
});
