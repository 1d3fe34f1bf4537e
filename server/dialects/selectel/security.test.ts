// Who may ask what: every operation with other teams' things, missing permissions and the wrong kinds of secrets.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newSecret } from '#core/ids.ts';
import { permissions } from '#core/permissions.ts';
import { insertRegistry } from '#core/registry-rows.ts';
import { seedKey } from '#test/platform.ts';
import { callerOf, openSelectel } from '#test/selectel-client.ts';
import { assertRefused, openWorld, operations, requestFor, type World } from '#test/selectel-world.ts';

const tables = ['registries', 'repositories', 'manifests', 'tags', 'operations', 'audit_events'] as const;

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

// Without this test a lookup by id that forgets the team opens one team's registries to all.
test('what another team has is not found by any operation, in the words for what never was', async (t) => {
  const world = await openWorld(t);
  const { call, mine, theirs } = world;
  const before = await snapshot(world);
  for (const { request, body } of operations.filter((one) => one.request.includes('{id}'))) {
    const unknown = await call(requestFor(request, mine, { id: never }), { body });
    assertRefused(unknown, request, 404);
    for (const id of [theirs.id, 'rival']) {
      const answer = await call(requestFor(request, theirs, { id }), { body });
      assert.deepEqual([answer.status, answer.text], [404, unknown.text], request);
    }
  }
  assert.equal(await snapshot(world), before);
  const listed = await call('GET /v1/registries');
  assert.deepEqual(
    listed.json.map(({ id }: { id: string }) => id),
    [mine.id],
  );
});

// Without this test a key made for one thing opens all.
test('each operation takes its permission, and no other will do', async (t) => {
  const world = await openWorld(t);
  const { call, mine, platform, team } = world;
  for (const { request, permission, body, status } of operations) {
    const asked = requestFor(request, mine);
    const others = permissions.filter((one) => one !== permission);
    const without = await seedKey(platform, team.teamId, { permissions: others });
    const before = await snapshot(world);
    assertRefused(await call(asked, { key: without.secret, body }), asked, 403);
    assert.equal(await snapshot(world), before, asked);
    const alone = await seedKey(platform, team.teamId, { permissions: [permission] });
    const { status: answered, text } = await call(asked, { key: alone.secret, body });
    assert.equal(answered, status, `${asked}: ${text}`);
  }
});

test('without an API key nothing is said, whatever else is wrong', async (t) => {
  const { call, mine, platform, team } = await openWorld(t);
  const made = await call('POST /v2/tokens', {
    body: { expiration: { isSet: false }, scope: { modeRW: true, allRegistries: true } },
  });
  const expired = await seedKey(platform, team.teamId);
  await platform.db.updateTable('actors').set({ expires_at: 1 }).where('id', '=', expired.actor.id).execute();
  platform.clock.advance(10_000);
  const secrets = ['', made.json.token, newSecret('key'), expired.secret, 'x', `${team.secret} `, 'x'.repeat(9000)];
  for (const { request } of operations) {
    const asked = requestFor(request, mine);
    for (const key of secrets) {
      const answer = await call(asked, { key, body: request.startsWith('POST') ? { name: 5 } : undefined });
      assertRefused(answer, `${asked} with ${key.slice(0, 12)}`, 401);
      assert.equal(answer.headers['www-authenticate'], 'Bearer realm="lading"');
      assert.ok(!answer.text.includes(key) || key.length < 2, 'a secret is repeated');
    }
  }
  const token = await call('GET /v1/registries', { key: made.json.token });
  assert.match(token.json.error, /registry token, not an API key/);
});

test('a key means the same in X-Auth-Token, Bearer and Basic, and X-Auth-Token means nothing elsewhere', async (t) => {
  const { app, call, team } = await openSelectel(t);
  const expected = (await call('GET /v1/registries')).text;
  const basic = Buffer.from(`any:${team.secret}`).toString('base64');
  for (const authorization of [`Bearer ${team.secret}`, `bearer ${team.secret}`, `Basic ${basic}`]) {
    const answer = await call('GET /v1/registries', { key: '', headers: { authorization } });
    assert.deepEqual([answer.status, answer.text], [200, expected], authorization.slice(0, 6));
  }
  const both = { authorization: `Bearer ${team.secret}` };
  assertRefused(await call('GET /v1/registries', { key: 'wrong', headers: both }), 'a wrong one first', 401);
  const headers = { host: 'localhost:8080', 'x-auth-token': team.secret };
  for (const url of ['/lading/v1/registries', '/v2/_catalog']) {
    assert.equal((await app.inject({ url, headers })).statusCode, 401, url);
  }
  const query = await app.inject({ url: `/api/v1/registries?X-Auth-Token=${team.secret}` });
  assert.equal(query.statusCode, 401);
});

test('both prefixes are the same API', async (t) => {
  const { app, call, mine, team } = await openWorld(t);
  const named = callerOf(app, team.secret, '/selectel/api');
  for (const { request } of operations.filter((one) => one.request.startsWith('GET'))) {
    const asked = requestFor(request, mine);
    const [one, two] = [await call(asked), await named(asked)];
    assert.deepEqual([two.status, two.text], [one.status, one.text], asked);
  }
});

test('a key bound to projects sees theirs and the team’s, and changes only theirs', async (t) => {
  const world = await openWorld(t);
  const { call, platform, team, mine } = world;
  const { regionId, sizeLimitBytes, ...rest } = {
    regionId: platform.config.regions[0]?.id ?? '',
    sizeLimitBytes: 1000,
    teamId: team.teamId,
    isPublic: false,
    isManaged: false,
  };
  const make = (name: string, projectId: string | null) =>
    insertRegistry(platform, { ...rest, regionId, sizeLimitBytes, name, projectId });
  const [ofTeam, secondProject] = [await make('shared', null), '01a00000-0000-7000-8000-00000000000a'];
  await platform.db
    .insertInto('projects')
    .values({ id: secondProject, team_id: team.teamId, name: 'second', slug: 'second', created_at: 0 })
    .execute();
  const hidden = await make('hidden', secondProject);
  const { secret: key } = await seedKey(platform, team.teamId, { projectIds: [team.projectId] });
  const listed = await call('GET /v1/registries', { key });
  assert.deepEqual(
    listed.json.map(({ name }: { name: string }) => name),
    ['acme', 'shared'],
  );
  assert.equal((await call('GET /v2/registries', { key })).json.totalCount, 2);

  const before = await snapshot(world);
  assertRefused(await call(`GET /v1/registries/${hidden?.id}`, { key }), 'another project’s', 404);
  assertRefused(await call(`DELETE /v1/registries/${hidden?.id}`, { key }), 'another project’s', 404);
  for (const asked of [`DELETE /v1/registries/${ofTeam?.id}`, `POST /v1/registries/${ofTeam?.id}/garbage-collection`]) {
    assertRefused(await call(asked, { key }), asked, 403);
  }
  assert.equal(await snapshot(world), before);
  const made = await call('POST /v1/registries', { key, body: { name: 'ours' } });
  assert.equal(made.status, 201);
  const row = await platform.db
    .selectFrom('registries')
    .select('project_id')
    .where('id', '=', made.json.id)
    .executeTakeFirstOrThrow();
  assert.equal(row.project_id, team.projectId);
  assert.equal((await call(`DELETE /v1/registries/${mine.id}`, { key })).status, 204);
});
