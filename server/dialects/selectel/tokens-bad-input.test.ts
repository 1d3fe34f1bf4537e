// Hostile text in every path, query, header and body of the token routes, over a real socket, because clients in between
// would tidy it up. Whatever comes, the answer is a refusal in the vendor's form, never a 500, and nothing has changed.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Scope } from '#test/database.ts';
import { seedKey, seedTeam } from '#test/platform.ts';
import { openSocket, type Send } from '#test/raw-requests.ts';
import { type Json, openSelectel, type Selectel } from '#test/selectel-client.ts';
import { assertRefused } from '#test/selectel-world.ts';

type World = Selectel & { raw: Send; id: string; secret: string; registryId: string };

const unknown = '01a00000-0000-7000-8000-000000000000';
const noExpiry = { isSet: false };
const good = { name: 'a', expiration: noExpiry, scope: { modeRW: false, allRegistries: true } };

async function open(t: Scope): Promise<World> {
  const selectel = await openSelectel(t);
  const made = (await selectel.call('POST /v2/tokens', { body: good })).json;
  const raw = await openSocket(selectel.app, '/api', { 'x-auth-token': selectel.team.secret });
  return { ...selectel, raw, id: made.id, secret: made.token, registryId: selectel.team.registryId };
}

const tokensOf = async ({ platform }: Selectel) =>
  JSON.stringify(
    (await platform.db.selectFrom('actors').selectAll().where('kind', '=', 'token').orderBy('id').execute()).map(
      (row) => ({ ...row, last_used_at: 0 }),
    ),
  );

/** Every route that names a token, `*` being its id or its value. */
const named = [
  'GET /v1/token/*',
  'DELETE /v1/token/*',
  'POST /v1/token/*/refresh',
  'GET /v2/tokens/*',
  'PATCH /v2/tokens/*',
  'DELETE /v2/tokens/*',
  'POST /v2/tokens/*/refresh',
  'POST /v2/tokens/*/regenerate',
  'POST /v2/tokens/*/revoke',
];

const bodyFor = (asked: string) =>
  /^(PATCH|POST .*\/(refresh|regenerate)$)/.test(asked) ? JSON.stringify({ expiration: noExpiry }) : undefined;

const segments = [
  ...['..', '%2e%2e', '%2e%2e%2f%2e%2e%2fetc%2fpasswd', '%2f', '%00', 'a%00b', '%ff%fe', '%', '%zz', '%ED%A0%80'],
  ...['%F0%9F%92%A9', '%CE%B1', "'%20or%20'1'='1", '%22', '%5c', '%25', '_', '-1', 'null', '__proto__'],
  ...['constructor', 'undefined', 'ldg_token_', unknown, unknown.toUpperCase(), 'x'.repeat(300), 'x'.repeat(5000)],
];

test('no name of a token is more than not found, or malformed', async (t) => {
  const world = await open(t);
  const before = await tokensOf(world);
  for (const route of named) {
    for (const segment of segments) {
      const asked = route.replace('*', segment);
      assertRefused(await world.raw(asked, { body: bodyFor(route) }), asked, 400, 404);
    }
  }
  for (const asked of [
    'PUT /v2/tokens',
    'GET /v1/token',
    'GET /v1/tokens',
    'POST /v2/token',
    `PUT /v1/token/${unknown}`,
  ]) {
    assertRefused(await world.raw(asked), asked, 404);
  }
  assert.equal(await tokensOf(world), before);
});

// Without this test a lookup that forgets the team hands one team's registries to all.
test('another team’s token is not found, in the words for what never was', async (t) => {
  const world = await open(t);
  const other = await seedTeam(world.platform, 'other');
  const before = await tokensOf(world);
  for (const route of named) {
    const answers = [];
    for (const name of route.includes('/v1/') ? [world.secret, `${world.secret}x`] : [world.id, unknown]) {
      const headers = { 'x-auth-token': other.secret };
      answers.push(await world.raw(route.replace('*', name), { headers, body: bodyFor(route) }));
    }
    assertRefused(answers[0] as Json, route, route === 'DELETE /v1/token/*' ? 400 : 404);
    const [found, none] = answers.map((answer) => ({ ...answer, headers: { ...answer.headers, date: '' } }));
    assert.deepEqual(found, none, route);
  }
  const list = await world.call('GET /v2/tokens', { key: other.secret });
  assert.deepEqual(list.json, { tokens: [], totalCount: 0 });
  const body = { ...good, scope: { modeRW: true, allRegistries: false, registryIds: [world.registryId] } };
  assertRefused((await world.call('POST /v2/tokens', { key: other.secret, body })) as Json, 'their registry', 400);
  assert.equal(await tokensOf(world), before);
});

test('a key without the permission is denied, and one that is no key is not signed in', async (t) => {
  const world = await open(t);
  const { platform, team } = world;
  const before = await tokensOf(world);
  const create = ['POST /v1/token', 'POST /v2/tokens'];
  const routes = [...named, ...create, 'GET /v2/tokens'];
  const keyOf = async (...permissions: string[]) => (await seedKey(platform, team.teamId, { permissions })).secret;
  const reader = await keyOf('tokens:read', 'images:pull', 'images:push', 'images:delete');
  const other = await keyOf('registries:read', 'registries:create', 'garbage:collect', 'keys:write');
  const puller = await keyOf('tokens:read', 'tokens:write', 'images:pull');
  const rw = (await world.call('POST /v2/tokens', { body: { ...good, scope: { modeRW: true, allRegistries: true } } }))
    .json;
  const ask = async (route: string, key: string, { token, id }: { token: string; id: string }) => {
    const asked = route.replace('*', route.includes('/v1/') ? token : id);
    const body = route === 'POST /v2/tokens' ? JSON.stringify(good) : bodyFor(route);
    return world.raw(asked, { headers: { 'x-auth-token': key }, body });
  };
  const made = { token: world.secret, id: world.id };
  for (const route of routes) {
    assertRefused(await ask(route, other, made), route, 403);
    const answer = await ask(route, reader, made);
    if (route.startsWith('GET')) assert.equal(answer.status, 200, route);
    else assertRefused(answer, route, 403);
    for (const key of ['', 'x', `${reader}x`, world.secret, 'a b'])
      assertRefused(await ask(route, key, made), route, 401);
  }
  // Nobody makes, widens or renews what is wider than the own key.
  for (const route of [
    'POST /v1/token',
    'POST /v1/token/*/refresh',
    'POST /v2/tokens/*/refresh',
    'POST /v2/tokens/*/regenerate',
  ]) {
    assertRefused(await ask(route, puller, rw), route, 403);
  }
  const widen = { headers: { 'x-auth-token': puller }, body: JSON.stringify({ scope: { modeRW: true } }) };
  assertRefused(await world.raw(`PATCH /v2/tokens/${world.id}`, widen), 'widening', 403);
  await world.call(`DELETE /v2/tokens/${rw.id}`);
  assert.equal(await tokensOf(world), before);
});

test('a key bound to a project neither sees nor makes what reaches beyond it', async (t) => {
  const world = await open(t);
  const { platform, team, call } = world;
  const key = (await seedKey(platform, team.teamId, { permissions: ['*'], projectIds: [team.projectId] })).secret;
  await call('POST /v1/registries', { body: { name: 'common' } });
  const common = (await call('GET /v1/registries?search=common')).json[0].id;
  const scope = { modeRW: true, allRegistries: false, registryIds: [common] };
  const beyond = await call('POST /v2/tokens', { key, body: { ...good, scope } });
  assert.ok(beyond.status === 400 || beyond.status === 403, beyond.text);
  for (const route of ['PATCH /v2/tokens/*', 'POST /v2/tokens/*/regenerate', 'DELETE /v2/tokens/*']) {
    const asked = route.replace('*', world.id);
    assertRefused(await world.raw(asked, { headers: { 'x-auth-token': key }, body: bodyFor(route) }), route, 403);
  }
  const { token } = (await call('POST /v1/token', { key })).json;
  const tried = async (registry: string) => {
    const url = `/v2/${registry}/app/blobs/uploads/`;
    const authorization = `Basic ${Buffer.from(`token:${token}`).toString('base64')}`;
    return (await world.app.inject({ method: 'POST', url, headers: { authorization } })).statusCode;
  };
  assert.deepEqual([await tried('acme'), await tried('common')], [202, 403]);
});

test('no query is more than invalid, a wrong word is answered with those there are, and limits are kept', async (t) => {
  const { raw } = await open(t);
  const words = ['-1', '1.5', '1e3', 'NaN', 'Infinity', '0x10', '%205', 'TRUE', '%00', '%ff%fe', '[]', '%25', "'"];
  const strict: [string, string[]][] = [
    ['POST /v1/token', ['ttl', 'docker-config']],
    ['POST /v2/tokens', ['docker-config']],
    ['GET /v2/tokens', ['limit', 'offset', 'sort_field', 'sort_type', 'scope_mode']],
  ];
  for (const [asked, names] of strict) {
    const body = asked.startsWith('POST') ? JSON.stringify(good) : undefined;
    for (const name of names) {
      for (const word of [...words, 'x'.repeat(3000)]) {
        const what = `${asked}?${name}=${word.slice(0, 50)}`;
        assertRefused(await raw(`${asked}?${name}=${word}`, { body }), what, 400);
      }
      assertRefused(await raw(`${asked}?${name}=1&${name}=1`, { body }), `${name} twice`, 400);
    }
  }
  assertRefused(await raw('GET /v2/tokens?limit=0'), 'limit 0', 400);
  assertRefused(await raw(`GET /v2/tokens?search=${'x'.repeat(3000)}`), 'a long search', 400);
  assertRefused(await raw('GET /v2/tokens?search=%00'), 'NUL', 400);
  for (const limit of ['1001', '9223372036854775808', '9'.repeat(30)]) {
    assert.equal((await raw(`GET /v2/tokens?limit=${limit}&offset=${limit}`)).status, 200, limit);
  }
  assert.match((await raw('POST /v1/token?ttl=1d')).json.error, /12h, 1y/);
  assert.match((await raw('GET /v2/tokens?scope_mode=wo')).json.error, /ro, rw/);
  assert.match((await raw('GET /v2/tokens?sort_field=id')).json.error, /createdAt, name, lastUsedAt, expiresAt/);
});

const values: unknown[] = [
  ...[0, -1, 1.5, 1e308, '', 'x', 'a\0b', '\ud800', '\u202e', 'x'.repeat(5000), '<script>', true, {}, [], [[]], [null]],
  ...[['\0'], { toString: 'x' }, Array.from({ length: 2000 }, (_, i) => `n${i}`)],
];

test('no value of a body is more than invalid', async (t) => {
  const { raw, id } = await open(t);
  const places: ((value: unknown) => object)[] = [
    (value) => ({ ...good, name: value }),
    (value) => ({ ...good, scope: value }),
    (value) => ({ ...good, expiration: value }),
    (value) => ({ ...good, expiration: { isSet: value, expiresAt: '2030-01-01T00:00:00Z' } }),
    (value) => ({ ...good, expiration: { isSet: true, expiresAt: value } }),
    (value) => ({ ...good, scope: { ...good.scope, modeRW: value } }),
    (value) => ({ ...good, scope: { ...good.scope, allRegistries: value } }),
    (value) => ({ ...good, scope: { modeRW: true, allRegistries: false, registryIds: value } }),
  ];
  const asked = ['POST /v2/tokens', ...['refresh', 'regenerate'].map((action) => `POST /v2/tokens/${id}/${action}`)];
  let taken = 0;
  for (const one of [...asked, `PATCH /v2/tokens/${id}`]) {
    for (const [i, place] of places.entries()) {
      for (const value of values) {
        const answer = await raw(one, { body: JSON.stringify(place(value)) });
        const what = `${one} ${i} ${JSON.stringify(value).slice(0, 50)}`;
        if (answer.status >= 300) assertRefused(answer, what, 400);
        else taken++;
      }
    }
  }
  assert.ok(taken > 0);
  const bodies = ['null', '[]', '"x"', '1', 'true', '{', '{"name":', '{"a":1}{', '\ufeff{}', '{"__proto__":{"a":1}}'];
  bodies.push('', '['.repeat(100_000), `{"name":"${'x'.repeat(1_100_000)}"}`);
  for (const one of asked) {
    for (const body of bodies) assertRefused(await raw(one, { body }), `${one} ${body.slice(0, 40)}`, 400, 413);
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data', 'x']) {
      const answer = await raw(one, { body: JSON.stringify(good), headers: { 'content-type': type } });
      assertRefused(answer, `${one} ${type}`, 400);
    }
  }
});
