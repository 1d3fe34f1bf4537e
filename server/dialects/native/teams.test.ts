import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Json, openNative } from '#test/native-client.ts';
import { seedKey } from '#test/platform.ts';

test('a new team has a project, a registry and a key that works, and sees nothing of the others', async (t) => {
  const { call, team } = await openNative(t);
  const made = await call('POST /teams', { body: { name: 'Zweite Mannschaft' } });
  assert.equal(made.status, 201);
  assert.equal(made.json.team.slug, 'zweite-mannschaft');
  assert.equal(made.json.project.slug, 'default');
  const key = made.json.apiKey.secret;
  const registries = (await call('GET /registries', { key })).json.items;
  assert.deepEqual(registries, made.json.registries);
  assert.equal(registries.length, 1);
  assert.equal(registries[0].isManaged, true);
  assert.equal((await call(`GET /registries/${team.registryId}`, { key })).status, 404);
  assert.equal((await call('GET /teams/current', { key })).json.id, made.json.team.id);
  assert.equal(
    (await call('POST /teams', { key, body: { name: 'Third' } })).status,
    403,
    '* does not hold teams:write',
  );
  assert.equal((await call('POST /teams', { body: { name: 'zweite mannschaft' } })).status, 409);
  const managed = await call(`DELETE /registries/${registries[0].id}`, { key });
  assert.equal(managed.status, 409, 'a managed registry goes with its project');
});

test('a team is shown to its own keys only, by id, slug or current', async (t) => {
  const { call, team } = await openNative(t);
  const other = (await call('POST /teams', { body: { name: 'Other' } })).json;
  for (const ref of ['current', team.teamId, 'acme']) {
    assert.equal((await call(`GET /teams/${ref}`)).json.id, team.teamId, ref);
  }
  const refusals = await Promise.all(
    [other.team.id, other.team.slug, 'nobody'].map(async (ref) => (await call(`GET /teams/${ref}`)).json.detail),
  );
  assert.equal(new Set(refusals).size, 1, 'the answers tell teams that are there from those that are not');
});

test('projects are listed and found by id and slug; a bound key sees its own', async (t) => {
  const { call, team, platform } = await openNative(t);
  const row = { team_id: team.teamId, created_at: platform.now() };
  await platform.db
    .insertInto('projects')
    .values({ ...row, id: '01a00000-0000-7000-8000-000000000001', name: 'Backend', slug: 'backend' })
    .execute();
  const names = (answer: Json) => answer.json.items.map((one: Json) => one.name);
  assert.deepEqual(names(await call('GET /projects?sort=name')), ['Backend', 'default']);
  assert.deepEqual(names(await call('GET /projects?search=END')), ['Backend']);
  const found = await call('GET /projects/backend');
  assert.deepEqual((await call(`GET /projects/${found.json.id}`)).json, found.json);
  assert.deepEqual(Object.keys(found.json), ['id', 'name', 'slug', 'createdAt']);
  const bound = await seedKey(platform, team.teamId, { permissions: ['*'], projectIds: [team.projectId] });
  assert.deepEqual(names(await call('GET /projects', { key: bound.secret })), ['default']);
  assert.equal((await call('GET /projects/backend', { key: bound.secret })).status, 404);
});
