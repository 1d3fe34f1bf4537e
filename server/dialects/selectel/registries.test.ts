import assert from 'node:assert/strict';
import { test } from 'node:test';
import { operationHandlers } from '#core/operation-handlers.ts';
import { runNextOperation } from '#core/operation-runs.ts';
import { openSelectel } from '#test/selectel-client.ts';
import { openWorld, operations, requestFor } from '#test/selectel-world.ts';

test('a registry is made active, listed in both versions and deleted', async (t) => {
  const { call, platform } = await openSelectel(t);
  const made = await call('POST /v1/registries', { body: { name: 'fresh', region: 'ignored' } });
  assert.equal(made.status, 201);
  const { id } = made.json;
  assert.deepEqual(made.json, {
    createdAt: '2026-01-01T00:00:00Z',
    id,
    name: 'fresh',
    size: 0,
    sizeLimit: 21474836480,
    status: 'ACTIVE',
    used: 0,
  });
  assert.deepEqual((await call(`GET /v1/registries/${id}`)).json, made.json);
  const listed = await call('GET /v1/registries');
  assert.deepEqual([listed.status, listed.json.map(nameOf)], [200, ['acme', 'fresh']]);
  const { sizeLimit: _, used: __, ...short } = made.json;
  const v2 = await call('GET /v2/registries?search=FRE');
  assert.deepEqual([v2.status, v2.json], [200, { registries: [short], totalCount: 1 }]);

  const deleted = await call(`DELETE /v1/registries/${id}`);
  assert.deepEqual([deleted.status, deleted.text], [204, '']);
  const going = await call(`GET /v1/registries/${id}`);
  assert.deepEqual([going.status, going.json.status], [200, 'DELETING']);
  assert.equal((await call(`DELETE /v1/registries/${id}`)).status, 409);
  assert.equal((await call('POST /v1/registries', { body: { name: 'fresh' } })).status, 409, 'its name is taken yet');
  while (await runNextOperation(platform, 'test', operationHandlers));
  const gone = await call(`GET /v1/registries/${id}`);
  assert.deepEqual([gone.status, gone.json], [404, { error: 'Registry not found.' }]);
  assert.equal((await call('POST /v1/registries', { body: { name: 'fresh' } })).status, 201);
});

test('what is in a registry that is being deleted can be looked at and not changed', async (t) => {
  const { call, mine } = await openWorld(t);
  await call(`DELETE /v1/registries/${mine.id}`);
  for (const { request, body, status } of operations.filter((one) => one.request.includes('{id}'))) {
    const answer = await call(requestFor(request, mine), { body });
    assert.equal(answer.status, request.startsWith('GET') ? status : 409, `${request}: ${answer.text}`);
  }
});

const nameOf = ({ name }: { name: string }) => name;

test('registries are sorted, cut and searched as asked', async (t) => {
  const { call, clock } = await openSelectel(t);
  for (const name of ['b', 'c', 'a']) {
    clock.advance(1000);
    await call('POST /v1/registries', { body: { name } });
  }
  const cases = {
    '': ['a', 'acme', 'b', 'c'],
    'sort_type=desc': ['c', 'b', 'acme', 'a'],
    'sort_field=createdAt': ['acme', 'b', 'c', 'a'],
    'sort_field=createdAt&sort_type=desc&limit=2': ['a', 'c'],
    'limit=2&offset=1': ['acme', 'b'],
    'offset=4': [],
    'offset=99999999999999999999': [],
    'limit=99999999999999999999': ['a', 'acme', 'b', 'c'],
    'search=nothing': [],
    'search=%25': [],
    'limit=&offset=&search=&unknown=1': ['a', 'acme', 'b', 'c'],
  };
  for (const [query, names] of Object.entries(cases)) {
    const v1 = await call(`GET /v1/registries?${query}`);
    assert.deepEqual([v1.status, v1.json.map(nameOf)], [200, names], query);
    const v2 = await call(`GET /v2/registries?${query}`);
    const total = query.includes('search=') && !query.includes('search=&') ? 0 : 4;
    assert.deepEqual([v2.json.registries.map(nameOf), v2.json.totalCount], [names, total], query);
  }
});

test('ten registries are listed unless more are asked for', async (t) => {
  const { call } = await openSelectel(t);
  for (let i = 0; i < 12; i++) await call('POST /v1/registries', { body: { name: `r${i}` } });
  assert.equal((await call('GET /v1/registries')).json.length, 10);
  assert.equal((await call('GET /v1/registries?limit=1000')).json.length, 13);
  assert.equal((await call('GET /v2/registries')).json.totalCount, 13);
});

test('names are those that the vendor takes, and taken ones are refused', async (t) => {
  const { call } = await openSelectel(t);
  const bad = ['', '1a', 'a-', '-a', 'A', 'a_b', 'a--b', 'a'.repeat(21), 'ä', 'a/b', 'a\0', '..', '\ud800'];
  for (const name of [...bad, undefined, null, 5, {}, []]) {
    const { status, json } = await call('POST /v1/registries', { body: { name } });
    assert.deepEqual([status, Object.keys(json)], [400, ['error']], JSON.stringify(name));
  }
  const taken = await call('POST /v1/registries', { body: { name: 'acme' } });
  assert.deepEqual([taken.status, Object.keys(taken.json)], [409, ['error']]);
  assert.equal((await call('POST /v1/registries', { body: { name: 'a'.repeat(20) } })).status, 201);
});

test('a registry of a project is not deleted without it', async (t) => {
  const { call, platform, team } = await openSelectel(t);
  await platform.db.updateTable('registries').set({ is_managed: 1 }).where('id', '=', team.registryId).execute();
  assert.equal((await call(`DELETE /v1/registries/${team.registryId}`)).status, 409);
  assert.equal((await call(`GET /v1/registries/${team.registryId}`)).json.status, 'ACTIVE');
});

test('a team’s last registry is the last that is made', async (t) => {
  const { call, platform } = await openSelectel(t);
  platform.config.registriesPerTeam = 2;
  assert.equal((await call('POST /v1/registries', { body: { name: 'last' } })).status, 201);
  const refused = await call('POST /v1/registries', { body: { name: 'more' } });
  assert.equal(refused.status, 403);
  assert.match(refused.json.error, /may have 2 registries/);
});
