// What a token made here may do where images are pushed and pulled: `docker login -u token` both ways, with a password on
// every request and with a short access token.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Scope } from '#test/database.ts';
import { type Ask, askerOf, basic, digestOf, pushImage, signInFor, withAuthorization } from '#test/oci-client.ts';
import { openSelectel, type Selectel } from '#test/selectel-client.ts';

const hour = 3600_000;
const noExpiry = { isSet: false, expiresAt: '0001-01-01T00:00:00Z' };

type World = Selectel & {
  otherRegistryId: string;
  /** What the secret gets for a pull, a push and a deletion in the registry, by Basic and by access token. */
  rights: (secret: string, registry: string) => Promise<string>;
};

async function open(t: Scope): Promise<World> {
  const selectel = await openSelectel(t);
  const { json } = await selectel.call('POST /v1/registries', { body: { name: 'other' } });
  for (const registry of ['acme', 'other']) await pushImage(selectel.oci, `${registry}/team/app`, 'v1');
  const rights = (secret: string, registry: string) => rightsOf(askerOf(selectel.app), secret, `${registry}/team/app`);
  return { ...selectel, otherRegistryId: json.id, rights };
}

async function rightsOf(ask: Ask, secret: string, repository: string): Promise<string> {
  const password = basic(secret, 'token');
  const scope = `repository:${repository}:pull,push,delete`;
  const login = await ask('GET', '/token', { headers: { authorization: password } });
  if (login.status !== 200) return String(login.status);
  const both = [password, await signInFor(ask, password, scope)];
  const found = await Promise.all(
    both.map((authorization) => tryAll(withAuthorization(ask, authorization), repository)),
  );
  assert.equal(found[0], found[1], 'the password and the access token made with it may not the same');
  return found[0] ?? '';
}

async function tryAll(ask: Ask, repository: string): Promise<string> {
  const bytes = `${Math.random()}`;
  const digest = digestOf(bytes);
  const tries: [string, string, string, object][] = [
    ['pull', 'GET', `/v2/${repository}/manifests/v1`, {}],
    ['push', 'POST', `/v2/${repository}/blobs/uploads/?digest=${digest}`, { body: bytes }],
    // Nobody has it: who may delete is told so, who may not is refused first.
    ['delete', 'DELETE', `/v2/${repository}/manifests/${digest}`, {}],
  ];
  const allowed = [];
  for (const [right, method, url, options] of tries) {
    const { status } = await ask(method, url, options);
    assert.ok([200, 201, 401, 403, 404].includes(status), `${method} ${url}: ${status}`);
    if (status !== 401 && status !== 403) allowed.push(right);
  }
  return allowed.join(' ');
}

test('a token does what its mode says in the registries it names, and nothing in others', async (t) => {
  const { call, team, rights, otherRegistryId } = await open(t);
  const cases: [object, acme: string, other: string][] = [
    [{ allRegistries: true, modeRW: true }, 'pull push delete', 'pull push delete'],
    [{ allRegistries: true, modeRW: false, registryIds: [team.registryId] }, 'pull', 'pull'],
    [{ allRegistries: false, modeRW: true, registryIds: [team.registryId] }, 'pull push delete', ''],
    [{ allRegistries: false, modeRW: false, registryIds: [otherRegistryId] }, '', 'pull'],
    [{ modeRW: false, allRegistries: false, registryIds: [otherRegistryId, team.registryId] }, 'pull', 'pull'],
  ];
  for (const [scope, acme, other] of cases) {
    const { json } = await call('POST /v2/tokens', { body: { expiration: noExpiry, scope } });
    assert.deepEqual([await rights(json.token, 'acme'), await rights(json.token, 'other')], [acme, other]);
  }
  const v1 = (await call('POST /v1/token')).json.token;
  await call('POST /v1/registries', { body: { name: 'later' } });
  assert.equal(await rights(v1, 'acme'), 'pull push delete');
  assert.equal(await rights(v1, 'later'), 'pull push delete');
});

test('a change, a revocation and a new secret count at once, an end when it comes', async (t) => {
  const { call, team, rights, clock } = await open(t);
  const expiration = { isSet: true, expiresAt: new Date(clock.now() + hour).toISOString() };
  const scope = { allRegistries: true, modeRW: true };
  const { id, token } = (await call('POST /v2/tokens', { body: { expiration, scope } })).json;
  assert.equal(await rights(token, 'acme'), 'pull push delete');
  await call(`PATCH /v2/tokens/${id}`, { body: { scope: { modeRW: false } } });
  assert.equal(await rights(token, 'acme'), 'pull');
  await call(`PATCH /v2/tokens/${id}`, { body: { scope: { allRegistries: false, registryIds: [team.registryId] } } });
  assert.deepEqual([await rights(token, 'acme'), await rights(token, 'other')], ['pull', '']);
  clock.advance(2 * hour);
  assert.equal(await rights(token, 'acme'), '401');
  await call(`POST /v2/tokens/${id}/refresh`, { body: noExpiry });
  assert.equal(await rights(token, 'acme'), 'pull');
  await call(`POST /v2/tokens/${id}/revoke`);
  assert.equal(await rights(token, 'acme'), '401');
  const anew = (await call(`POST /v2/tokens/${id}/regenerate`, { body: noExpiry })).json.token;
  assert.deepEqual([await rights(token, 'acme'), await rights(anew, 'acme')], ['401', 'pull']);
  await call(`DELETE /v2/tokens/${id}`);
  assert.equal(await rights(anew, 'acme'), '401');
  const v1 = (await call('POST /v1/token')).json.token;
  assert.equal(await rights(v1, 'acme'), 'pull push delete');
  await call(`DELETE /v1/token/${v1}`);
  assert.equal(await rights(v1, 'acme'), '401');
});

test('the last use is told once there was one, by password and by access token, and not written for every pull', async (t) => {
  const { call, app, clock } = await open(t);
  const scope = { allRegistries: true, modeRW: false };
  const { id, token } = (await call('POST /v2/tokens', { body: { expiration: noExpiry, scope } })).json;
  const lastUsed = async () => (await call(`GET /v2/tokens/${id}`)).json.lastUsedAt;
  const ask = askerOf(app);
  assert.equal(await lastUsed(), undefined);
  const access = await signInFor(ask, basic(token, 'token'), 'repository:acme/team/app:pull');
  assert.equal(await lastUsed(), '2026-01-01T00:00:00Z');
  const pull = async (authorization: string) =>
    assert.equal((await withAuthorization(ask, authorization)('GET', '/v2/acme/team/app/manifests/v1')).status, 200);
  clock.advance(30_000);
  await pull(access);
  assert.equal(await lastUsed(), '2026-01-01T00:00:00Z');
  clock.advance(60_000);
  await pull(access);
  assert.equal(await lastUsed(), '2026-01-01T00:01:30Z');
  clock.advance(120_000);
  await pull(basic(token, 'token'));
  assert.equal(await lastUsed(), '2026-01-01T00:03:30Z');
  assert.equal((await call('GET /v2/tokens')).json.tokens[0].lastUsedAt, '2026-01-01T00:03:30Z');
});

test('a token opens no management API, by whichever header it comes', async (t) => {
  const { call } = await open(t);
  const { token } = (await call('POST /v1/token')).json;
  for (const request of ['GET /v1/registries', 'GET /v2/tokens', `GET /v1/token/${token}`, 'POST /v1/token']) {
    for (const options of [{ key: token }, { key: '', headers: { authorization: `Bearer ${token}` } }]) {
      const { status, json } = await call(request, options);
      assert.equal(status, 401, request);
      assert.match(json.error, /registry token, not an API key/);
    }
  }
});
