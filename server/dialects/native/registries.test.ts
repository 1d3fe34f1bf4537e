import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openNative } from '#test/native-client.ts';
import { pushImage } from '#test/oci-client.ts';
import { seedKey } from '#test/platform.ts';

test('a registry is made, found by id and by name, changed and deleted', async (t) => {
  const { call, team, platform } = await openNative(t);
  const made = await call('POST /registries', { body: { name: 'web', isPublic: true, sizeLimitBytes: 1000 } });
  assert.equal(made.status, 201);
  assert.match(made.headers.etag ?? '', /^"[\w-]{22}"$/);
  const expected = {
    name: 'web',
    host: 'localhost:8080',
    region: 'local',
    projectId: null,
    status: 'active',
    statusReason: null,
    isPublic: true,
    isManaged: false,
    sizeBytes: 0,
    reservedBytes: 0,
    sizeLimitBytes: 1000,
    repositoryCount: 0,
    createdAt: new Date(platform.now()).toISOString(),
    updatedAt: new Date(platform.now()).toISOString(),
  };
  assert.deepEqual(made.json, { id: made.json.id, ...expected });
  for (const ref of ['web', made.json.id]) {
    const got = await call(`GET /registries/${ref}`);
    assert.deepEqual(got.json, made.json);
    assert.equal(got.headers.etag, made.headers.etag);
    assert.equal(got.headers['cache-control'], 'no-store');
  }
  const changed = await call('PATCH /registries/web', { body: { isPublic: false } });
  assert.deepEqual(changed.json, { ...made.json, isPublic: false });
  assert.notEqual(changed.headers.etag, made.headers.etag);
  const deleted = await call('DELETE /registries/web');
  assert.equal(deleted.status, 202);
  assert.equal(deleted.json.kind, 'delete_registry');
  assert.equal(deleted.json.registryId, made.json.id);
  assert.equal((await call(`GET /operations/${deleted.json.id}`)).json.state, 'queued');
  assert.equal((await call('GET /registries/web')).json.status, 'deleting');
  assert.equal((await call('DELETE /registries/web')).status, 409);
  assert.equal((await call('PATCH /registries/web', { body: {} })).status, 409);
  assert.equal((await call(`GET /registries/${team.registryId}`)).status, 200);
});

test('lists go on where the page before ended, in both directions, and search is a part of the name in any case', async (t) => {
  const { call } = await openNative(t);
  for (const name of ['b1', 'a1', 'c-x', 'b2']) await call('POST /registries', { body: { name } });
  const walk = async (query: string) => {
    const names: string[] = [];
    for (let cursor: string | null = ''; cursor !== null; ) {
      const page = await call(`GET /registries?${query}${cursor && `&cursor=${cursor}`}`);
      assert.equal(page.status, 200, page.text);
      assert.ok(page.json.items.length <= 2);
      names.push(...page.json.items.map((one: { name: string }) => one.name));
      cursor = page.json.nextCursor;
    }
    return names;
  };
  assert.deepEqual(await walk('limit=2'), ['a1', 'acme', 'b1', 'b2', 'c-x']);
  assert.deepEqual(await walk('limit=2&sort=-name'), ['c-x', 'b2', 'b1', 'acme', 'a1']);
  assert.deepEqual(await walk('limit=2&search=B'), ['b1', 'b2']);
  assert.deepEqual(await walk('limit=2&search=%25'), [], 'a percent sign is text, not a pattern');
  assert.equal((await call('GET /registries?limit=100000')).json.items.length, 5);
});

test('If-Match refuses an update of what has changed meanwhile, and lets the others through', async (t) => {
  const { call, platform } = await openNative(t);
  const etag = (await call('GET /registries/acme')).headers.etag ?? '';
  const patch = (ifMatch: string, body: object = { sizeLimitBytes: 5000 }) =>
    call('PATCH /registries/acme', { body, headers: { 'if-match': ifMatch } });
  platform.clock.advance(5);
  const first = await patch(etag);
  assert.equal(first.status, 200);
  const late = await patch(etag, { isPublic: true });
  assert.equal(late.status, 412);
  assert.equal(late.json.type, '/problems/precondition');
  assert.equal((await call('GET /registries/acme')).json.isPublic, false, 'the refused update changed something');
  assert.equal((await patch(`W/${first.headers.etag}`)).status, 412, 'a weak tag never matches');
  assert.equal((await patch(`"other", ${first.headers.etag}`)).status, 200);
  assert.equal((await patch('*')).status, 200);
  assert.equal((await call('DELETE /registries/acme', { headers: { 'if-match': etag } })).status, 412);
});

test('a push does not change the ETag: only what a PATCH changes does', async (t) => {
  const { call, oci } = await openNative(t);
  const before = await call('GET /registries/acme');
  await pushImage(oci, 'acme/app', 'v1');
  const after = await call('GET /registries/acme');
  assert.ok(after.json.sizeBytes > before.json.sizeBytes);
  assert.equal(after.headers.etag, before.headers.etag);
});

test('what cannot be made is refused with the field at fault', async (t) => {
  const { call } = await openNative(t);
  const cases: [object, number, string][] = [
    [{}, 400, '/name'],
    [{ name: 'Web' }, 400, '/name'],
    [{ name: '' }, 400, '/name'],
    [{ name: 7 }, 400, '/name'],
    [{ name: 'web', isPublic: 'true' }, 400, '/isPublic'],
    [{ name: 'web', sizeLimitBytes: '1000' }, 400, '/sizeLimitBytes'],
    [{ name: 'web', sizeLimitBytes: -1 }, 400, '/sizeLimitBytes'],
    [{ name: 'web', sizeLimitBytes: 1e300 }, 400, '/sizeLimitBytes'],
    [{ name: 'web', region: 'mars' }, 400, '/region'],
    [{ name: 'web', teamId: 'x' }, 400, '/teamId'],
    [{ name: 'web', isManaged: true }, 400, '/isManaged'],
    [{ name: 'acme' }, 409, '/name'],
  ];
  for (const [body, status, pointer] of cases) {
    const { json } = await call('POST /registries', { body });
    assert.equal(json.status, status, JSON.stringify(body));
    assert.equal(json.errors?.[0]?.pointer, pointer, JSON.stringify(json));
  }
  assert.deepEqual(
    (await call('GET /registries')).json.items.map((one: { name: string }) => one.name),
    ['acme'],
  );
});

test('a key bound to a project makes registries there and sees no other project’s', async (t) => {
  const { call, team, platform } = await openNative(t);
  const bound = await seedKey(platform, team.teamId, { permissions: ['*'], projectIds: [team.projectId] });
  const made = await call('POST /registries', { key: bound.secret, body: { name: 'bound' } });
  assert.equal(made.json.projectId, team.projectId);
  await call('POST /registries', { body: { name: 'teams-own' } });
  const refused = await call('PATCH /registries/teams-own', { key: bound.secret, body: { isPublic: true } });
  assert.equal(refused.status, 403);
});
