import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seedTeam } from '#test/platform.ts';
import { type Json, openSelectel } from '#test/selectel-client.ts';

const hour = 3600_000;
const noExpiry = { expiresAt: '0001-01-01T00:00:00Z', isSet: false };
const everywhere = { allRegistries: true, modeRW: true };
const unknown = '0198c0de-0000-7000-8000-000000000000';

test('a token is made, shown without its secret, changed and deleted', async (t) => {
  const { call, team } = await openSelectel(t);
  const body = {
    expiration: { expiresAt: '2030-01-01T00:00:00Z', isSet: true },
    name: 'my-token',
    scope: { allRegistries: false, modeRW: true, registryIds: [team.registryId] },
  };
  const made = await call('POST /v2/tokens', { body: { ...body, extra: 1 } });
  assert.equal(made.status, 201, made.text);
  const { token, ...shown } = made.json;
  assert.match(token, /^ldg_token_[\w-]{43}$/);
  assert.deepEqual(shown, { createdAt: '2026-01-01T00:00:00Z', ...body, id: shown.id, status: 'active' });
  assert.deepEqual((await call(`GET /v2/tokens/${shown.id}`)).json, shown);
  assert.deepEqual((await call('GET /v2/tokens')).json, { tokens: [shown], totalCount: 1 });
  const changed = await call(`PATCH /v2/tokens/${shown.id}`, { body: { name: 'my-new-token' } });
  assert.deepEqual([changed.status, changed.json], [200, { ...shown, name: 'my-new-token' }]);
  const gone = await call(`DELETE /v2/tokens/${shown.id}`);
  assert.deepEqual([gone.status, gone.text], [204, '']);
  for (const path of ['', '/refresh', '/regenerate', '/revoke']) {
    const again = await call(`${path ? 'POST' : 'GET'} /v2/tokens/${shown.id}${path}`, { body: { isSet: false } });
    assert.deepEqual([again.status, again.json], [404, { error: 'Token not found.' }], path);
  }
});

test('docker-config answers the file itself, and nothing else of the token', async (t) => {
  const { call } = await openSelectel(t);
  const body = { expiration: noExpiry, scope: everywhere };
  const made = await call('POST /v2/tokens?docker-config=true', { body });
  assert.equal(made.status, 201);
  const { password } = made.json.auths['localhost:8080'];
  const auth = Buffer.from(`token:${password}`).toString('base64');
  assert.deepEqual(made.json, { auths: { 'localhost:8080': { username: 'token', password, auth } } });
  assert.ok('token' in (await call('POST /v2/tokens?docker-config=false', { body })).json);
});

test('a change leaves alone what it does not name, inside the scope too', async (t) => {
  const { call, team } = await openSelectel(t);
  const expiration = { expiresAt: '2030-01-01T00:00:00Z', isSet: true };
  const listed = { allRegistries: false, modeRW: true, registryIds: [team.registryId] };
  const { id } = (await call('POST /v2/tokens', { body: { expiration, name: 'a', scope: everywhere } })).json;
  const steps: [object | undefined, object][] = [
    [{}, { name: 'a', expiration, scope: { ...everywhere, registryIds: [] } }],
    [undefined, { name: 'a', expiration, scope: { ...everywhere, registryIds: [] } }],
    [{ scope: listed }, { name: 'a', expiration, scope: listed }],
    [{ scope: { modeRW: false } }, { name: 'a', expiration, scope: { ...listed, modeRW: false } }],
    [
      { name: 'b', scope: null },
      { name: 'b', expiration, scope: { ...listed, modeRW: false } },
    ],
    // The whole of it, as the vendor's own client sends on every change.
    [
      { expiration: noExpiry, scope: listed },
      { name: 'b', expiration: noExpiry, scope: listed },
    ],
    [
      { scope: { ...listed, allRegistries: true } },
      { name: 'b', expiration: noExpiry, scope: { ...everywhere, registryIds: [] } },
    ],
    [{ scope: { registryIds: [team.registryId] } }, { name: 'b', expiration: noExpiry, scope: listed }],
    [{ name: '' }, { name: '', expiration: noExpiry, scope: listed }],
  ];
  for (const [body, expected] of steps) {
    const changed = await call(`PATCH /v2/tokens/${id}`, { body });
    assert.equal(changed.status, 200, changed.text);
    const { name, expiration, scope } = changed.json;
    assert.deepEqual({ name, expiration, scope }, expected);
  }
});

test('refresh and regenerate take the new expiry wrapped, as documented, and bare, as the client sends it', async (t) => {
  const { call, clock } = await openSelectel(t);
  const made = (await call('POST /v2/tokens', { body: { expiration: noExpiry, scope: everywhere } })).json;
  const expiration = { expiresAt: '2029-03-20T00:00:00Z', isSet: true };
  for (const action of ['refresh', 'regenerate']) {
    for (const [body, expected] of [
      [{ expiration }, expiration],
      [{ expiration: noExpiry }, noExpiry],
      [expiration, expiration],
      [noExpiry, noExpiry],
      [{ isSet: true, expiresAt: '2029-03-20T03:00:00.000000001+03:00' }, expiration],
    ]) {
      const answer = await call(`POST /v2/tokens/${made.id}/${action}`, { body });
      assert.equal(answer.status, 200, answer.text);
      const { token, ...shown } = answer.json;
      assert.equal(token !== undefined, action === 'regenerate');
      assert.notEqual(token, made.token);
      assert.deepEqual([shown.id, shown.status, shown.expiration], [made.id, 'active', expected]);
    }
    for (const body of [undefined, {}, { expiration: {} }, { isSet: true }, { expiration: { isSet: true } }]) {
      assert.equal((await call(`POST /v2/tokens/${made.id}/${action}`, { body })).status, 400);
    }
    const late = { expiresAt: new Date(clock.now()).toISOString(), isSet: true };
    assert.equal((await call(`POST /v2/tokens/${made.id}/${action}`, { body: late })).status, 400);
  }
});

test('refresh wakes an expired token, not a revoked one; regenerate wakes either; revoking twice is no fault', async (t) => {
  const { call, clock } = await openSelectel(t);
  const soon = { isSet: true, expiresAt: new Date(clock.now() + hour).toISOString() };
  const { id } = (await call('POST /v2/tokens', { body: { expiration: soon, scope: everywhere } })).json;
  const status = async () => (await call(`GET /v2/tokens/${id}`)).json.status;
  clock.advance(2 * hour);
  assert.equal(await status(), 'expired');
  assert.equal((await call(`POST /v2/tokens/${id}/refresh`, { body: noExpiry })).json.status, 'active');
  for (let i = 0; i < 2; i++) {
    const revoked = await call(`POST /v2/tokens/${id}/revoke`, { headers: { 'content-type': 'application/json' } });
    assert.deepEqual([revoked.status, revoked.text], [204, '']);
    assert.equal(await status(), 'revoked');
  }
  assert.equal((await call(`POST /v2/tokens/${id}/refresh`, { body: noExpiry })).json.status, 'revoked');
  const anew = (await call(`POST /v2/tokens/${id}/regenerate`, { body: noExpiry })).json;
  assert.deepEqual([anew.id, anew.status], [id, 'active']);
  assert.equal(await status(), 'active');
});

test('the list is paged, searched, sorted and narrowed to a mode, and counts what the filters leave', async (t) => {
  const { call, clock, platform } = await openSelectel(t);
  const other = await seedTeam(platform, 'other');
  const make = async (name: string, modeRW: boolean, days: number, key?: string) => {
    clock.advance(1000);
    const expiration = days
      ? { isSet: true, expiresAt: new Date(clock.now() + days * 24 * hour).toISOString() }
      : noExpiry;
    const body = { name, expiration, scope: { modeRW, allRegistries: true } };
    return (await call('POST /v2/tokens', { body, key })).json;
  };
  await make('theirs', true, 1, other.secret);
  await make('deploy', true, 30);
  const used = await make('build', false, 0);
  await make('Deploy-2', false, 10);
  await make('zeta', true, 20);
  await call('GET /v1/registries', { key: used.token });
  const list = async (query: string) => {
    const { json, text, status } = await call(`GET /v2/tokens${query}`);
    assert.equal(status, 200, text);
    return [json.tokens.map((one: Json) => one.name).join(' '), json.totalCount];
  };
  assert.deepEqual(await list(''), ['deploy build Deploy-2 zeta', 4]);
  assert.deepEqual(await list('?'), ['deploy build Deploy-2 zeta', 4]);
  assert.deepEqual(await list('?sort_type=desc'), ['zeta Deploy-2 build deploy', 4]);
  assert.deepEqual(await list('?limit=2&offset=1'), ['build Deploy-2', 4]);
  assert.deepEqual(await list('?limit=100000&offset=4'), ['', 4]);
  assert.deepEqual(await list('?sort_field=name'), ['Deploy-2 build deploy zeta', 4]);
  assert.deepEqual(await list('?sort_field=expiresAt'), ['Deploy-2 zeta deploy build', 4]);
  assert.deepEqual(await list('?sort_field=lastUsedAt&sort_type=desc&limit=1'), ['build', 4]);
  assert.deepEqual(await list('?search=DEPLOY'), ['deploy Deploy-2', 2]);
  assert.deepEqual(await list('?scope_mode=ro'), ['build Deploy-2', 2]);
  assert.deepEqual(await list('?scope_mode=rw&search=e&limit=1'), ['deploy', 2]);
  assert.deepEqual(await list('?search=%25&scope_mode='), ['', 0]);
  assert.deepEqual(await list('?unknown=1&search='), ['deploy build Deploy-2 zeta', 4]);
  for (let i = 0; i < 8; i++) await make(`more-${i}`, true, 0);
  assert.equal((await call('GET /v2/tokens')).json.tokens.length, 10);
});

test('every token of the team is in the list, and nobody else’s secret', async (t) => {
  const { call, app, team, platform } = await openSelectel(t);
  await call('POST /v1/token');
  await app.inject({
    method: 'POST',
    url: '/lading/v1/tokens',
    headers: { authorization: `Bearer ${team.secret}` },
    payload: { name: 'native', scope: 'ro', registryIds: [team.registryId] },
  });
  await platform.db
    .insertInto('actors')
    .values({
      ...(await platform.db.selectFrom('actors').selectAll().where('kind', '=', 'token').executeTakeFirstOrThrow()),
      id: unknown,
      kind: 'robot',
      secret_hash: 'robot',
    })
    .execute();
  const { tokens, totalCount } = (await call('GET /v2/tokens')).json;
  assert.deepEqual([tokens.map((one: Json) => one.name), totalCount], [['', 'native'], 2]);
  assert.deepEqual(tokens[1].expiration, noExpiry);
  assert.deepEqual(tokens[1].scope, { allRegistries: false, modeRW: false, registryIds: [team.registryId] });
});

test('no token is wider than was said: what a creation leaves out is refused', async (t) => {
  const { call, team, platform } = await openSelectel(t);
  const other = await seedTeam(platform, 'other');
  const scope = { modeRW: false, allRegistries: false, registryIds: [team.registryId] };
  const expiration = noExpiry;
  const refused: [unknown, RegExp][] = [
    [undefined, /expiration is missing/],
    [{}, /expiration is missing/],
    [{ scope }, /expiration is missing/],
    [{ expiration }, /scope\.modeRW is missing/],
    [{ expiration, scope: {} }, /scope\.modeRW is missing/],
    [{ expiration, scope: { modeRW: true } }, /scope\.allRegistries is missing/],
    [{ expiration, scope: { modeRW: true, allRegistries: false } }, /registries/],
    [{ expiration, scope: { ...scope, registryIds: [] } }, /registries/],
    [{ expiration, scope: { ...scope, registryIds: [unknown] } }, /no registry/],
    [{ expiration, scope: { ...scope, registryIds: [team.registryId, other.registryId] } }, /no registry/],
    [{ expiration, scope: { ...scope, registryIds: ['acme'] } }, /no registry/],
    [{ expiration: {}, scope }, /expiration\.isSet is missing/],
    [{ expiration: { expiresAt: '2030-01-01T00:00:00Z' }, scope }, /expiration\.isSet is missing/],
    [{ expiration: { isSet: true }, scope }, /expiration\.expiresAt is missing/],
    [{ expiration: { isSet: true, expiresAt: '0001-01-01T00:00:00Z' }, scope }, /future/],
    [{ expiration: { isSet: true, expiresAt: '2025-12-31T23:59:59Z' }, scope }, /future/],
    [{ expiration: { isSet: true, expiresAt: 'tomorrow' }, scope }, /must be a time/],
    [{ expiration: { isSet: true, expiresAt: '2030-01-01' }, scope }, /must be a time/],
    [{ expiration: { isSet: true, expiresAt: '2030-02-31T25:00:00Z' }, scope }, /must be a time/],
    [{ expiration: { isSet: 'true' }, scope }, /isSet must be true or false/],
    [{ expiration: [], scope }, /expiration must be an object/],
    [{ expiration, scope: 'rw' }, /scope must be an object/],
    [{ expiration, scope, name: 5 }, /name must be a text/],
    [{ expiration, scope, name: 'a\0b' }, /name/],
  ];
  for (const [body, message] of refused) {
    const { status, json, text } = await call('POST /v2/tokens', { body });
    assert.equal(status, 400, `${JSON.stringify(body)} ${text}`);
    assert.match(json.error, message);
    assert.deepEqual(Object.keys(json), ['error']);
  }
  assert.equal((await call('GET /v2/tokens')).json.totalCount, 0);
  const made = await call('POST /v2/tokens', {
    body: { expiration, scope: { modeRW: true, allRegistries: true, registryIds: [unknown] } },
  });
  assert.deepEqual(made.json.scope, { allRegistries: true, modeRW: true, registryIds: [] });
});

// Without this test a body handed on whole lets its sender choose secrets, teams and rights.
test('what a body says beyond name, scope and expiration is ignored', async (t) => {
  const { call, team, platform } = await openSelectel(t);
  const other = await seedTeam(platform, 'other');
  const extras = {
    ...{
      id: unknown,
      token: 'chosen',
      secret: 'chosen',
      secret_hash: 'x',
      status: 'revoked',
      revokedAt: 1,
      kind: 'key',
    },
    ...{
      createdAt: '2001-01-01T00:00:00Z',
      lastUsedAt: '2001-01-01T00:00:00Z',
      teamId: other.teamId,
      team_id: other.teamId,
    },
    ...{ permissions: ['*'], modeRW: true, allRegistries: true, registryIds: null, projectIds: [], generation: 7 },
  };
  const scope = { modeRW: false, allRegistries: false, registryIds: [team.registryId] };
  const body = { name: 'a', expiration: noExpiry, scope };
  const inside = { scope: { ...scope, permissions: ['*'] }, expiration: { ...noExpiry, lifetimeMs: 1 } };
  const made = (await call('POST /v2/tokens', { body: { ...body, ...extras, ...inside } })).json;
  assert.match(made.token, /^ldg_token_/);
  const { token: _, ...shown } = made;
  const expected = { ...body, id: made.id, createdAt: '2026-01-01T00:00:00Z', status: 'active' };
  assert.deepEqual(shown, expected);
  assert.notEqual(made.id, unknown);
  const row = () => platform.db.selectFrom('actors').selectAll().where('id', '=', made.id).executeTakeFirstOrThrow();
  const before = await row();
  for (const request of [`PATCH /v2/tokens/${made.id}`, `POST /v2/tokens/${made.id}/refresh`]) {
    const answer = await call(request, { body: { ...extras, ...inside } });
    assert.deepEqual([answer.status, answer.json], [200, expected], request);
  }
  assert.deepEqual(await row(), before);
  assert.equal((await call('GET /v2/tokens', { key: other.secret })).json.totalCount, 0);
});
