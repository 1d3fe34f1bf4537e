import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Json, openNative } from '#test/native-client.ts';
import { pushImage } from '#test/oci-client.ts';
import { seedKey } from '#test/platform.ts';

const hour = 3600_000;

test('a token is made, shown without its secret, changed and deleted', async (t) => {
  const { call, team, platform } = await openNative(t);
  const expiresAt = new Date(platform.now() + hour).toISOString();
  const body = { name: 'ci', scope: 'ro', registryIds: [team.registryId], expiresAt };
  const made = await call('POST /tokens', { body });
  assert.equal(made.status, 201);
  assert.match(made.json.secret, /^ldg_token_[\w-]{43}$/);
  assert.equal(made.headers['cache-control'], 'no-store');
  const { secret, ...shown } = made.json;
  assert.deepEqual(shown, {
    id: shown.id,
    ...body,
    projectIds: [team.projectId],
    status: 'active',
    lastUsedAt: null,
    createdAt: new Date(platform.now()).toISOString(),
  });
  const got = await call(`GET /tokens/${shown.id}`);
  assert.deepEqual(got.json, shown);
  assert.deepEqual((await call('GET /tokens')).json.items, [shown]);
  const changed = await call(`PATCH /tokens/${shown.id}`, {
    body: { name: 'deploy', scope: 'rw', registryIds: null, expiresAt: null },
    headers: { 'if-match': got.headers.etag ?? '' },
  });
  assert.equal(changed.status, 200, changed.text);
  assert.deepEqual([changed.json.name, changed.json.scope, changed.json.registryIds], ['deploy', 'rw', null]);
  const late = await call(`PATCH /tokens/${shown.id}`, {
    body: { name: 'other' },
    headers: { 'if-match': got.headers.etag ?? '' },
  });
  assert.equal(late.status, 412);
  assert.equal((await call(`DELETE /tokens/${shown.id}`)).status, 204);
  assert.equal((await call(`GET /tokens/${shown.id}`)).status, 404);
  assert.ok(!JSON.stringify((await call('GET /audit-events')).json).includes(secret));
});

test('regenerate ends the old secret at once, refresh and revoke do what they say', async (t) => {
  const { call, oci, app, platform } = await openNative(t);
  await pushImage(oci, 'acme/app', 'v1');
  const pull = async (secret: string) => {
    const authorization = `Basic ${Buffer.from(`x:${secret}`).toString('base64')}`;
    return (await app.inject({ url: '/v2/acme/app/manifests/v1', headers: { authorization } })).statusCode;
  };
  const expiresAt = new Date(platform.now() + hour).toISOString();
  const { id, secret } = (await call('POST /tokens', { body: { scope: 'ro', registryIds: null, expiresAt } })).json;
  assert.equal(await pull(secret), 200);
  platform.clock.advance(2 * hour);
  assert.equal(await pull(secret), 401);
  assert.equal((await call(`GET /tokens/${id}`)).json.status, 'expired');
  const refreshed = await call(`POST /tokens/${id}/refresh`);
  assert.equal(refreshed.json.status, 'active');
  assert.equal(refreshed.json.expiresAt, new Date(platform.now() + hour).toISOString());
  assert.equal(refreshed.json.secret, undefined);
  assert.equal(await pull(secret), 200);
  const renewed = await call(`POST /tokens/${id}/regenerate`, { body: { expiresAt: null } });
  assert.equal(renewed.json.expiresAt, null);
  assert.deepEqual([await pull(secret), await pull(renewed.json.secret)], [401, 200]);
  const revoked = await call(`POST /tokens/${id}/revoke`);
  assert.equal(revoked.json.status, 'revoked');
  assert.equal(await pull(renewed.json.secret), 401);
  assert.equal((await call(`POST /tokens/${id}/revoke`)).status, 200, 'revoking twice is no fault');
});

test('nobody makes or widens a token beyond what they hold', async (t) => {
  const { call, team, platform } = await openNative(t);
  const permissions = ['tokens:read', 'tokens:write', 'images:pull', 'registries:create'];
  const bound = await seedKey(platform, team.teamId, { permissions, projectIds: [team.projectId] });
  const teamRegistry = (await call('POST /registries', { body: { name: 'teams-own' } })).json.id;
  const make = (body: object) => call('POST /tokens', { key: bound.secret, body });
  const own = await make({ scope: 'ro', registryIds: [team.registryId] });
  assert.equal(own.status, 201);
  assert.equal((await make({ scope: 'rw', registryIds: [team.registryId] })).status, 403, 'it may not push itself');
  assert.ok([400, 403].includes((await make({ scope: 'ro', registryIds: [teamRegistry] })).status));
  const patch = (body: object) => call(`PATCH /tokens/${own.json.id}`, { key: bound.secret, body });
  assert.equal((await patch({ scope: 'rw' })).status, 403);
  assert.ok([400, 403].includes((await patch({ registryIds: [teamRegistry] })).status));
  assert.deepEqual((await call(`GET /tokens/${own.json.id}`)).json.registryIds, [team.registryId]);
  assert.equal((await call(`GET /tokens/${own.json.id}`)).json.scope, 'ro');
});

test('a token that cannot be made is refused with the field at fault', async (t) => {
  const { call, team, platform } = await openNative(t);
  const past = new Date(platform.now() - 1).toISOString();
  const registryIds = [team.registryId];
  const cases: [object, string][] = [
    [{ registryIds }, '/scope'],
    [{ scope: 'ro' }, '/registryIds'],
    [{ scope: 'admin', registryIds }, '/scope'],
    [{ scope: 'ro', registryIds: [] }, '/registryIds'],
    [{ scope: 'ro', registryIds: 'acme' }, '/registryIds'],
    [{ scope: 'ro', registryIds: ['nowhere'] }, '/registryIds'],
    [{ scope: 'ro', registryIds: ['a', 'a'] }, '/registryIds'],
    [{ scope: 'ro', registryIds, expiresAt: past }, '/expiresAt'],
    [{ scope: 'ro', registryIds, expiresAt: 'tomorrow' }, '/expiresAt'],
    [{ scope: 'ro', registryIds, expiresAt: 1893456000 }, '/expiresAt'],
    [{ scope: 'ro', registryIds, expiresAt: '2030-12-31T23:59:60Z' }, '/expiresAt'],
    [{ scope: 'ro', registryIds, name: 'a\u0000b' }, '/name'],
    [{ scope: 'ro', registryIds, secret: 'ldg_token_mine' }, '/secret'],
    [{ scope: 'ro', registryIds, permissions: ['*'] }, '/permissions'],
  ];
  for (const [body, pointer] of cases) {
    const answer = await call('POST /tokens', { body });
    assert.equal(answer.status, 400, JSON.stringify(body));
    assert.equal(answer.json.errors?.[0]?.pointer, pointer, answer.text);
    assert.ok(!answer.text.includes('ldg_token_mine'), 'the answer repeats what may be a secret');
  }
  assert.deepEqual((await call('GET /tokens')).json.items, []);
});

test('tokens are searched and sorted by name', async (t) => {
  const { call } = await openNative(t);
  for (const name of ['b', 'a', 'C']) await call('POST /tokens', { body: { name, scope: 'ro', registryIds: null } });
  const names = async (query: string) => (await call(`GET /tokens?${query}`)).json.items.map((one: Json) => one.name);
  assert.deepEqual(await names(''), ['b', 'a', 'C'], 'oldest first');
  assert.deepEqual(await names('sort=name'), ['C', 'a', 'b']);
  assert.deepEqual(await names('sort=-name&limit=1'), ['b']);
  assert.deepEqual(await names('search=c'), ['C']);
});
