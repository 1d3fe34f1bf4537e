// Who may ask what: every operation with other teams' things, missing permissions and the wrong kinds of secrets.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newSecret } from '#core/ids.ts';
import { permissions } from '#core/permissions.ts';
import { createToken } from '#core/tokens.ts';
import { callerOf } from '#test/dialect-client.ts';
import { dockerHub, openNorthflank, registries, seedProject } from '#test/northflank-client.ts';
import { assertRefused, openWorld, operations, requestFor, type World } from '#test/northflank-world.ts';
import { seedKey } from '#test/platform.ts';

const tables = ['connections', 'connection_projects', 'projects', 'actors', 'audit_events'] as const;

/** All that a refused request could have changed. */
async function snapshot({ platform }: World): Promise<string> {
  const rows: unknown[] = [];
  for (const table of tables) {
    const found = await platform.db.selectFrom(table).selectAll().execute();
    rows.push(found.map((row) => JSON.stringify(row)).sort());
  }
  return JSON.stringify(rows);
}

const never = '01a00000-0000-7000-8000-000000000000';

// Without this test a lookup by slug that forgets the team shows one team's passwords to all.
test('what another team has is not found by any operation, in the words for what never was', async (t) => {
  const world = await openWorld(t);
  const { call, mine, theirs, platform } = world;
  const { id: theirId } = await platform.db
    .selectFrom('connections')
    .select('id')
    .where('slug', '=', theirs.id)
    .executeTakeFirstOrThrow();
  const before = await snapshot(world);
  for (const { request, body } of operations.filter((one) => one.request.includes('{id}'))) {
    for (const id of [theirs.id, theirId]) {
      const answer = await call(requestFor(request, mine, { id }), { body });
      assertRefused(answer, request, 404);
      const unknown = await call(requestFor(request, mine, { id: never }), { body });
      assert.equal(answer.text, unknown.text.replaceAll(never, id), request);
    }
  }
  for (const { request, body } of operations.filter((one) => one.request.includes('{team}'))) {
    for (const team of [theirs.team, 'rival', never, 'ACME', 'acme%20', '']) {
      const answer = await call(requestFor(request, { ...mine, id: theirs.id }, { team }), { body });
      assertRefused(answer, `${request} of ${team}`, 404);
      if (team !== '') {
        assert.equal(answer.json.error.message, `There is no team ${JSON.stringify(decodeURIComponent(team))}.`);
      }
    }
  }
  assert.equal(await snapshot(world), before);
  const listed = await call(`GET ${registries}`);
  assert.deepEqual(
    listed.json.data.credentials.map(({ id }: { id: string }) => id),
    [mine.id],
  );
});

// Without this test a key made for one thing opens all, passwords first.
test('each operation takes its permission, and no other will do', async (t) => {
  const world = await openWorld(t);
  const { call, mine, platform, team } = world;
  for (const { request, permission, body } of operations) {
    await call(`POST ${registries}`, { body: dockerHub('of mine') });
    await call(`DELETE ${registries}/made`);
    const asked = requestFor(request, mine);
    const without = await seedKey(platform, team.teamId, { permissions: permissions.filter((p) => p !== permission) });
    const before = await snapshot(world);
    const refused = await call(asked, { key: without.secret, body });
    assertRefused(refused, asked, 403);
    assert.match(refused.json.error.message, new RegExp(permission));
    assert.equal(await snapshot(world), before, asked);
    const alone = await seedKey(platform, team.teamId, { permissions: [permission] });
    const { status, text } = await call(asked, { key: alone.secret, body });
    assert.equal(status, 200, `${asked}: ${text}`);
  }
});

test('without an API key nothing is said, whatever else is wrong', async (t) => {
  const { call, mine, platform, team } = await openWorld(t);
  const token = await createToken(platform, team.owner, { name: 'x', mode: 'rw', registryIds: null, expiry: null });
  const expired = await seedKey(platform, team.teamId);
  await platform.db.updateTable('actors').set({ expires_at: 1 }).where('id', '=', expired.actor.id).execute();
  platform.clock.advance(10_000);
  const secrets = ['', token.secret, newSecret('key'), expired.secret, 'x', 'x'.repeat(9000)];
  const all = [...operations.map(({ request }) => request), 'GET /login', 'GET /teams/nobody/integrations/registries'];
  for (const request of all) {
    for (const key of secrets) {
      const answer = await call(requestFor(request, mine), { key, body: request.startsWith('P') ? '{' : undefined });
      assertRefused(answer, `${request} with ${key.slice(0, 12)}`, 401);
      assert.equal(answer.headers['www-authenticate'], 'Bearer realm="lading"');
      assert.ok(!answer.text.includes(key) || key.length < 2, 'a secret is repeated');
    }
  }
  assert.match((await call(`GET ${registries}`, { key: token.secret })).json.error.message, /not an API key/);
  const inQuery = await call(`GET ${registries}?token=${team.secret}`, { key: '' });
  assertRefused(inQuery, 'a key in the query', 401);
});

test('a login is answered to every live key, and tells nothing', async (t) => {
  const { app, platform, team } = await openNorthflank(t);
  const least = await seedKey(platform, team.teamId, { permissions: ['audit:read'], projectIds: [team.projectId] });
  for (const base of ['/v1', '/northflank/v1']) {
    const { status, json, headers } = await callerOf(app, least.secret, base)('GET /login');
    assert.deepEqual([status, json, headers['cache-control']], [200, { data: {} }, 'no-store']);
  }
});

test('with a team in the path or without, under both prefixes, it is the same API', async (t) => {
  const { app, call, mine, team } = await openWorld(t);
  const named = callerOf(app, team.secret, '/northflank/v1');
  for (const path of [registries, `${registries}/${mine.id}`]) {
    const expected = await call(`GET ${path}`);
    for (const ref of ['', `/teams/${team.teamId}`, '/teams/acme']) {
      for (const one of [call, named]) {
        const { status, text } = await one(`GET ${ref}${path}`);
        assert.deepEqual([status, text], [200, expected.text], `${ref}${path}`);
      }
    }
  }
});

test('seeing a secret is noted for the team, being refused it is not', async (t) => {
  const { call, mine, platform, team } = await openWorld(t);
  const reveals = () =>
    platform.db.selectFrom('audit_events').selectAll().where('action', '=', 'connection.reveal').execute();
  const reader = await seedKey(platform, team.teamId, { permissions: ['connections:read'] });
  await call(`GET ${registries}`, { key: reader.secret });
  assertRefused(await call(`GET ${registries}/${mine.id}`, { key: reader.secret }), 'a reader', 403);
  assert.equal((await reveals()).length, 0);
  const { text, headers } = await call(`GET ${registries}/${mine.id}`);
  assert.match(text, /password-of-of-mine/);
  assert.equal(headers['cache-control'], 'no-store');
  const rows = await reveals();
  assert.deepEqual(
    rows.map((row) => [row.team_id, row.target_name]),
    [[team.teamId, mine.id]],
  );
  assert.doesNotMatch(JSON.stringify(rows), /password-of/);
});

test('a key bound to projects sees theirs and the team’s, shows no other project, and changes only its own', async (t) => {
  const world = await openWorld(t);
  const { call, platform, team, mine } = world;
  await seedProject(platform, team, 'staging');
  const restrictedTo = (...projects: string[]) => ({ restrictions: { restricted: true, projects } });
  for (const [name, more] of [
    ['shared', restrictedTo('default', 'staging')],
    ['hidden', restrictedTo('staging')],
    ['nobody', restrictedTo()],
    ['own', restrictedTo('default')],
  ] as const) {
    assert.equal((await call(`POST ${registries}`, { body: dockerHub(name, more) })).status, 200);
  }
  const { secret: key } = await seedKey(platform, team.teamId, { projectIds: [team.projectId] });
  const listed = await call(`GET ${registries}`, { key });
  assert.deepEqual(
    listed.json.data.credentials.map((one: { id: string; restrictions: { projects: string[] } }) => [
      one.id,
      ...one.restrictions.projects,
    ]),
    [[mine.id], ['shared', 'default'], ['own', 'default']],
  );
  const before = await snapshot(world);
  for (const method of ['GET', 'PATCH', 'DELETE']) {
    for (const id of ['hidden', 'nobody']) {
      assertRefused(await call(`${method} ${registries}/${id}`, { key }), `${method} ${id}`, 404);
    }
    if (method === 'GET') continue;
    for (const id of ['shared', mine.id]) {
      assertRefused(await call(`${method} ${registries}/${id}`, { key }), `${method} ${id}`, 403);
    }
  }
  for (const more of [{ restrictions: { restricted: false } }, restrictedTo('staging')]) {
    assertRefused(await call(`PATCH ${registries}/own`, { key, body: more }), 'wider', 400, 403);
    assertRefused(await call(`POST ${registries}`, { key, body: dockerHub('wide', more) }), 'wider', 400, 403);
  }
  assert.equal(await snapshot(world), before);
  const made = await call(`POST ${registries}`, { key, body: dockerHub('made') });
  assert.deepEqual(made.json.data.restrictions, { restricted: true, projects: ['default'] });
});
