// Who may ask what: every operation with other teams' things, missing permissions and the wrong kinds of secrets, and
// hostile text in every place.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newSecret } from '#core/ids.ts';
import { callerOf } from '#test/dialect-client.ts';
import { assertNoDocumentHurts, never, snapshot, testOperations } from '#test/dialect-security.ts';
import { dockerHub, openNorthflank, registries, seedProject } from '#test/northflank-client.ts';
import { assertRefused, openWorld } from '#test/northflank-world.ts';
import { seedKey } from '#test/platform.ts';

testOperations('northflank', openWorld);

test('what is no JSON object is no body', async (t) => {
  const world = await openWorld(t);
  const adds = world.operations.filter(({ permissions }) => permissions.includes('connections:create'));
  await assertNoDocumentHurts({ ...world, operations: adds });
  const { id } = await world.make(world.team);
  for (const asked of [`PATCH ${registries}/${id}`, `POST ${registries}/${id}/modify`]) {
    for (const body of ['', 'null', '[]', '"x"', '{', '['.repeat(100_000)]) {
      assertRefused(await world.send(asked, { body }), `${asked} ${body.slice(0, 9)}`, 400);
    }
    assertRefused(await world.send(asked), `${asked} without a body`, 400);
    assert.equal((await world.send(asked, { body: {} })).status, 200, asked);
  }
});

// Without this test a lookup by slug that forgets the team shows one team's passwords to all.
test('the team in a path is the key’s own, by id or slug', async (t) => {
  const { call, make, other, team } = await openWorld(t);
  const [mine, theirs] = [await make(team), await make(other)];
  for (const ref of [other.teamId, 'rival', never, 'ACME', 'acme%20', '']) {
    for (const request of [`GET /teams/${ref}${registries}`, `GET /teams/${ref}${registries}/${theirs.id}`]) {
      assertRefused(await call(request), request, 404);
    }
  }
  for (const ref of [team.teamId, 'acme']) {
    const listed = await call(`GET /teams/${ref}${registries}`);
    assert.deepEqual(
      listed.json.data.credentials.map(({ id }: { id: string }) => id),
      [mine.id],
    );
    assertRefused(await call(`GET /teams/${ref}${registries}/${theirs.id}`), ref, 404);
  }
  assertRefused(await call(`GET /teams/acme${registries}`, { key: other.secret }), 'a key of another team', 404);
});

test('a login is answered to every live key, and tells nothing', async (t) => {
  const { app, platform, team } = await openNorthflank(t);
  const least = await seedKey(platform, team.teamId, { permissions: ['audit:read'], projectIds: [team.projectId] });
  for (const base of ['/v1', '/northflank/v1']) {
    const { status, json, headers } = await callerOf(app, least.secret, base)('GET /login');
    assert.deepEqual([status, json, headers['cache-control']], [200, { data: {} }, 'no-store']);
    for (const key of ['', newSecret('key'), newSecret('token')]) {
      assertRefused(await callerOf(app, key, base)('GET /login'), key.slice(0, 9), 401);
    }
  }
});

test('with a team in the path or without, under both prefixes, it is the same API', async (t) => {
  const { app, call, make, team } = await openWorld(t);
  const mine = await make(team);
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
  const { call, make, platform, team } = await openWorld(t);
  const mine = await make(team);
  const reveals = () =>
    platform.db.selectFrom('audit_events').selectAll().where('action', '=', 'connection.reveal').execute();
  const reader = await seedKey(platform, team.teamId, { permissions: ['connections:read'] });
  await call(`GET ${registries}`, { key: reader.secret });
  assertRefused(await call(`GET ${registries}/${mine.id}`, { key: reader.secret }), 'a reader', 403);
  // A look without a body would show nothing, and be noted all the same.
  assert.equal((await call(`HEAD ${registries}/${mine.id}`)).status, 404);
  assert.equal((await reveals()).length, 0);
  const { text, headers } = await call(`GET ${registries}/${mine.id}`);
  assert.match(text, /password-of-made/);
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
  const { call, make, platform, team } = world;
  const mine = await make(team);
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
      assertRefused(await call(`${method} ${registries}/${id}`, { key, body: {} }), `${method} ${id}`, 404);
    }
    if (method === 'GET') continue;
    for (const id of ['shared', mine.id]) {
      assertRefused(await call(`${method} ${registries}/${id}`, { key, body: {} }), `${method} ${id}`, 403);
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
