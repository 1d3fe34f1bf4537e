import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { InjectOptions } from 'fastify';
import { createLocalJWKSet, decodeJwt, jwtVerify } from 'jose';
import { type Access, forgetActors, insertActor, updateActor } from '#core/actors.ts';
import { hashSecret, newId, newSecret } from '#core/ids.ts';
import { buildApp } from '#server/app.ts';
import { openTestPlatform, type SeededTeam, seedKey, seedTeam, type TestPlatform } from '#test/platform.ts';

const basic = (user: string, password: string) => `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;

async function open(t: Parameters<typeof openTestPlatform>[0]) {
  const platform = await openTestPlatform(t);
  const app = await buildApp(platform);
  t.after(() => app.close());
  const team = await seedTeam(platform, 'acme');
  const send = async (options: InjectOptions) => {
    const response = await app.inject({ ...options, headers: { host: 'localhost:8080', ...options.headers } });
    const isJson = response.headers['content-type']?.toString().startsWith('application/json');
    return { status: response.statusCode, headers: response.headers, body: isJson ? response.json() : undefined };
  };
  const get = (query = '', authorization?: string) =>
    send({ method: 'GET', url: `/token${query}`, headers: authorization === undefined ? {} : { authorization } });
  const post = (form: Record<string, string>, type = 'application/x-www-form-urlencoded') =>
    send({
      method: 'POST',
      url: '/token',
      headers: { 'content-type': type },
      body: new URLSearchParams(form).toString(),
    });
  const owner = basic('bob', team.secret);
  const granted = async (query: string, authorization?: string) => {
    const { status, body } = await get(query, authorization);
    assert.equal(status, 200);
    return Object.fromEntries(accessOf(body).map((one) => [one.name, one.actions.join()]));
  };
  return { platform, app, team, send, get, post, owner, granted };
}

const accessOf = (body: { token: string }) => decodeJwt(body.token).access as Access[];

/** A token secret as the management APIs make it. */
async function seedToken(
  platform: TestPlatform,
  team: SeededTeam,
  { permissions = ['images:pull'], registryIds = null as readonly string[] | null } = {},
) {
  const secret = newSecret('token');
  const id = newId();
  await insertActor(platform, {
    id,
    kind: 'token',
    team_id: team.teamId,
    name: 'ci',
    secret_hash: hashSecret(secret),
    generation: 1,
    permissions: JSON.stringify(permissions),
    project_ids: null,
    registry_ids: registryIds && JSON.stringify(registryIds),
    lifetime_ms: null,
    expires_at: null,
    revoked_at: null,
    last_used_at: null,
    created_at: platform.now(),
  });
  return { id, secret, basic: basic('x', secret) };
}

async function makePublic(platform: TestPlatform, registryId: string) {
  await platform.db.updateTable('registries').set({ is_public: 1 }).where('id', '=', registryId).execute();
}

test('docker login: no scope, an offline token, and every field in the type that clients parse', async (t) => {
  const { get, owner, team } = await open(t);
  const { status, headers, body } = await get(
    '?account=bob&client_id=docker&offline_token=true&service=localhost%3A8080',
    owner,
  );
  assert.equal(status, 200);
  assert.match(`${headers['content-type']}`, /^application\/json/);
  assert.equal(headers['cache-control'], 'no-store');
  assert.equal(body.token, body.access_token);
  assert.equal(body.expires_in, 300);
  assert.equal(body.issued_at, '2026-01-01T00:00:00Z');
  assert.equal(body.refresh_token, team.secret);
  assert.deepEqual(accessOf(body), []);
  assert.deepEqual(Object.keys(body).sort(), ['access_token', 'expires_in', 'issued_at', 'refresh_token', 'token']);
});

test('nothing that lasts is given unless it was asked for, nor to anonymous, nor for an access token', async (t) => {
  const { get, owner } = await open(t);
  const { body } = await get('', owner);
  assert.ok(!('refresh_token' in body));
  for (const authorization of [undefined, 'Basic Og==', `Bearer ${body.token}`]) {
    const answer = await get('?offline_token=true', authorization);
    assert.equal(answer.status, 200);
    assert.ok(!('refresh_token' in answer.body));
  }
});

test('without credentials, or with empty ones, there is an anonymous token for what is public', async (t) => {
  const { platform, team, get } = await open(t);
  for (const authorization of [undefined, 'Basic Og==']) {
    const { status, body } = await get('?scope=repository:acme/app:pull,push', authorization);
    assert.equal(status, 200);
    assert.deepEqual(accessOf(body), []);
    assert.equal(decodeJwt(body.token).sub, '');
  }
  await makePublic(platform, team.registryId);
  const { body } = await get('?scope=repository:acme/app:pull,push&scope=registry:catalog:*');
  assert.deepEqual(accessOf(body), [{ type: 'repository', name: 'acme/app', actions: ['pull'] }]);
});

// What would break without this: docker would keep a wrong password and pull as anonymous.
test('wrong credentials are 401 without any token', async (t) => {
  const { get, platform, team } = await open(t);
  await updateActor(platform, team.owner.id, team.teamId, { revoked_at: platform.now() });
  forgetActors(platform);
  for (const authorization of [basic('bob', 'wrong'), basic('bob', team.secret), 'Bearer wrong', 'Bearer eyJ.e30.x']) {
    const { status, headers, body } = await get('?scope=repository:acme/app:pull&offline_token=true', authorization);
    assert.equal(status, 401);
    assert.equal(headers['cache-control'], 'no-store');
    assert.equal(body.errors[0].code, 'UNAUTHORIZED');
    assert.ok(!JSON.stringify(body).includes('token":'));
  }
});

test('one token holds everything asked for, however it is asked', async (t) => {
  const { granted, owner } = await open(t);
  const both = { 'acme/one': 'pull', 'acme/two': 'pull,push' };
  for (const query of [
    '?scope=repository:acme/one:pull&scope=repository:acme/two:push,pull',
    '?scope=repository%3Aacme%2Fone%3Apull%20repository%3Aacme%2Ftwo%3Apull%2Cpush',
    '?scope=repository:acme/one:pull+repository:acme/two:pull+repository:acme/two:pull,push',
  ]) {
    assert.deepEqual(await granted(query, owner), both, query);
  }
});

test('scopes that mean nothing here are passed over, and * is spelled out', async (t) => {
  const { granted, owner } = await open(t);
  assert.deepEqual(await granted('?scope=repository:acme/app:*', owner), { 'acme/app': 'pull,push,delete' });
  assert.deepEqual(await granted('?scope=repository(plugin):acme/app:pull', owner), { 'acme/app': 'pull' });
  assert.deepEqual(await granted('?scope=registry:catalog:*', owner), { catalog: '*' });
  for (const scope of [
    '',
    'x',
    'repository:host:5000/x:pull',
    'repository:UPPER/x:pull',
    'repository:..:pull',
    '%00',
  ]) {
    assert.deepEqual(
      await granted(`?scope=${scope}&scope=repository:acme/app:pull`, owner),
      { 'acme/app': 'pull' },
      scope,
    );
  }
});

test('more scopes than a token can hold are refused with a sentence', async (t) => {
  const { get, owner } = await open(t);
  const many = Array.from({ length: 65 }, (_, i) => `scope=repository:acme/r${i}:pull`).join('&');
  for (const query of [`?${many}`, `?scope=${'x'.repeat(8193)}`]) {
    const { status, body } = await get(query, owner);
    assert.equal(status, 400);
    assert.match(body.errors[0].message, /at most 64|longer than 8192/);
  }
});

test('a secret gives no more than it holds: by action, by registry, by project', async (t) => {
  const { platform, team, granted } = await open(t);
  const other = await seedTeam(platform, 'other');
  const all = '?scope=repository:acme/app:*&scope=repository:free/app:*&scope=repository:other/app:*';
  const readOnly = await seedToken(platform, team);
  assert.deepEqual(await granted(all, readOnly.basic), { 'acme/app': 'pull', 'free/app': 'pull', 'other/app': 'pull' });
  const elsewhere = await seedToken(platform, team, {
    permissions: ['images:pull', 'images:push'],
    registryIds: [newId()],
  });
  assert.deepEqual(await granted(all, elsewhere.basic), {});
  const here = await seedToken(platform, team, { permissions: ['images:push'], registryIds: [team.registryId] });
  assert.deepEqual(await granted(all, here.basic), { 'acme/app': 'push' });
  const inProject = await seedKey(platform, team.teamId, { projectIds: [team.projectId] });
  assert.deepEqual(await granted(all, basic('x', inProject.secret)), { 'acme/app': 'pull,push,delete' });
  const outside = await seedKey(platform, team.teamId, { projectIds: [other.projectId] });
  assert.deepEqual(await granted(all, basic('x', outside.secret)), {});
});

// What would break without this: asking for tokens would tell which names other teams use.
test('a free name and a name of another team get the same token from everyone', async (t) => {
  const { platform, team, get, owner } = await open(t);
  await seedTeam(platform, 'other');
  const bound = await seedToken(platform, team, {
    permissions: ['images:pull', 'images:push'],
    registryIds: [team.registryId],
  });
  for (const authorization of [owner, bound.basic, (await seedToken(platform, team)).basic, undefined]) {
    const [free, taken] = await Promise.all(
      ['free', 'other'].map(async (name) => {
        const { body } = await get(`?scope=repository:${name}/app:pull,push`, authorization);
        return accessOf(body).map(({ actions }) => actions);
      }),
    );
    assert.deepEqual(free, taken);
  }
});

test("another team's public registry may be pulled from by everyone", async (t) => {
  const { platform, team, granted } = await open(t);
  const other = await seedTeam(platform, 'other');
  await makePublic(platform, other.registryId);
  const bound = await seedToken(platform, team, { registryIds: [team.registryId] });
  assert.deepEqual(await granted('?scope=repository:other/app:pull,push', bound.basic), { 'other/app': 'pull' });
});

test('a project id in place of the registry means its managed registry', async (t) => {
  const { platform, team, granted } = await open(t);
  await platform.db.updateTable('registries').set({ is_managed: 1 }).where('id', '=', team.registryId).execute();
  const bound = await seedToken(platform, team, { permissions: ['images:push'], registryIds: [team.registryId] });
  const name = `${team.projectId}/app`;
  assert.deepEqual(await granted(`?scope=repository:${name}:pull,push`, bound.basic), { [name]: 'push' });
});

test('an access token gives another with no more than it says and no longer than it lives', async (t) => {
  const { platform, get, granted, owner } = await open(t);
  const { body } = await get('?scope=repository:acme/app:pull', owner);
  const narrow = `Bearer ${body.token}`;
  assert.deepEqual(await granted('?scope=repository:acme/app:* repository:acme/b:pull registry:catalog:*', narrow), {
    'acme/app': 'pull',
  });
  platform.clock.advance(100_000);
  assert.equal((await get('', narrow)).body.expires_in, 200);
  platform.clock.advance(150_000);
  assert.equal((await get('', narrow)).status, 401);
});

test('POST with a password: what GET answers, and the granted scope, whatever the charset says', async (t) => {
  const { post, team } = await open(t);
  const form = {
    grant_type: 'password',
    username: 'bob',
    password: team.secret,
    service: 'x',
    client_id: 'containerd',
  };
  for (const type of ['application/x-www-form-urlencoded', 'application/x-www-form-urlencoded; charset=utf-8']) {
    const { status, headers, body } = await post({ ...form, scope: 'repository:acme/app:push repository:a:fly' }, type);
    assert.equal(status, 200);
    assert.equal(headers['cache-control'], 'no-store');
    assert.equal(body.scope, 'repository:acme/app:push');
    assert.equal(body.expires_in, 300);
    assert.equal(body.token, body.access_token);
    assert.ok(!('refresh_token' in body));
  }
  assert.equal((await post(form)).body.scope, '');
});

test('POST offline gives the secret to refresh with; refreshing gives it back, until it is revoked', async (t) => {
  const { platform, post, team } = await open(t);
  const first = await post({ grant_type: 'password', username: 'x', password: team.secret, access_type: 'offline' });
  assert.equal(first.body.refresh_token, team.secret);
  const refresh = {
    grant_type: 'refresh_token',
    refresh_token: first.body.refresh_token,
    scope: 'repository:acme/a:pull',
  };
  const second = await post(refresh);
  assert.equal(second.status, 200);
  assert.equal(second.body.refresh_token, team.secret);
  assert.equal(second.body.scope, 'repository:acme/a:pull');
  const withToken = await post({ grant_type: 'refresh_token', refresh_token: first.body.token });
  assert.equal(withToken.status, 401, 'an access token is no refresh token');
  await updateActor(platform, team.owner.id, team.teamId, { revoked_at: platform.now() });
  forgetActors(platform);
  assert.equal((await post(refresh)).status, 401);
});

test('POST refuses in the form of OAuth, with the statuses after which clients fall back to GET', async (t) => {
  const { post, send } = await open(t);
  const refused: [Record<string, string>, number, string][] = [
    [{ grant_type: 'client_credentials' }, 400, 'unsupported_grant_type'],
    [{ grant_type: '__proto__' }, 400, 'unsupported_grant_type'],
    [{}, 400, 'unsupported_grant_type'],
    [{ grant_type: 'password', username: 'x' }, 400, 'invalid_request'],
    [{ grant_type: 'refresh_token' }, 400, 'invalid_request'],
    [{ grant_type: 'password', username: 'x', password: 'wrong' }, 401, 'invalid_grant'],
    [{ grant_type: 'refresh_token', refresh_token: 'wrong' }, 401, 'invalid_grant'],
  ];
  for (const [form, status, error] of refused) {
    const answer = await post(form);
    assert.deepEqual([answer.status, answer.body.error], [status, error], JSON.stringify(form));
    assert.ok(!('token' in answer.body));
  }
  for (const type of ['application/json', 'text/plain', 'multipart/form-data; boundary=x']) {
    const answer = await post({ grant_type: 'none' }, type);
    assert.equal(answer.status, 400, type);
  }
  assert.equal((await send({ method: 'POST', url: '/token' })).status, 400);
});

test('POST refuses what is too long in the same form', async (t) => {
  const { post, team } = await open(t);
  const long = await post({ grant_type: 'password', password: 'x'.repeat(20_000) });
  assert.deepEqual([long.status, long.body.error], [400, 'invalid_request']);
  const scope = Array.from({ length: 65 }, (_, i) => `repository:acme/r${i}:pull`).join(' ');
  const many = await post({ grant_type: 'password', password: team.secret, scope });
  assert.deepEqual([many.status, many.body.error], [400, 'invalid_scope']);
  assert.equal((await post({ grant_type: 'password', password: 'x'.repeat(2 ** 20) })).status, 413);
});

test('others can check our tokens with the published keys, and those hold no private part', async (t) => {
  const { send, get, owner, platform } = await open(t);
  const { body } = await get('', owner);
  const published = await send({ method: 'GET', url: '/token/jwks.json' });
  assert.equal(published.status, 200);
  for (const key of published.body.keys) {
    assert.deepEqual(Object.keys(key).sort(), ['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y']);
  }
  const { payload } = await jwtVerify(body.token, createLocalJWKSet(published.body), {
    audience: 'localhost:8080',
    issuer: 'lading',
    currentDate: new Date(platform.now()),
  });
  assert.equal(payload.jti?.length, 36);
});

test('the region is that of the host that was asked, and of the first for any other', async (t) => {
  const { send, owner } = await open(t);
  for (const host of ['LOCALHOST:8080', 'evil.example.com']) {
    const { body } = await send({ method: 'GET', url: '/token', headers: { host, authorization: owner } });
    assert.equal(decodeJwt(body.token).aud, 'localhost:8080');
  }
});
