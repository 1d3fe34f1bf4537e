import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildApp } from '#server/app.ts';
import { basic } from '#test/oci-client.ts';
import { openTestPlatform, seedKey, seedTeam } from '#test/platform.ts';
import { callerOf, openSelectel } from '#test/selectel-client.ts';

const hour = 3600_000;
const hidden = { error: 'Token not found.' };
const malformed = { error: 'Invalid or malformed token.' };

test('a version 1 token lives half a day or a year, and may do everything in every registry', async (t) => {
  const { call, clock, app, team } = await openSelectel(t);
  const now = clock.now() / 1000;
  for (const [query, seconds] of [
    ['', 43_200],
    ['?ttl=', 43_200],
    ['?ttl=12h&docker-config=false', 43_200],
    ['?ttl=1y', 31_536_000],
  ] as const) {
    const made = await call(`POST /v1/token${query}`);
    assert.equal(made.status, 201, made.text);
    assert.match(made.json.token, /^ldg_token_[\w-]{43}$/);
    assert.deepEqual(made.json, { expireAt: now + seconds, expireIn: seconds, token: made.json.token });
    assert.equal(made.headers['cache-control'], 'no-store');
  }
  const { tokens, totalCount } = (await call('GET /v2/tokens')).json;
  assert.equal(totalCount, 4);
  assert.deepEqual(tokens[0].scope, { allRegistries: true, modeRW: true, registryIds: [] });
  assert.equal(tokens[0].name, '');
  const { token } = (await call('POST /v1/token')).json;
  const url = `/v2/${team.registryName}/app/blobs/uploads/`;
  const started = await app.inject({ method: 'POST', url, headers: { authorization: basic(token, 'token') } });
  assert.equal(started.statusCode, 202);
});

test('docker-config answers the very file that docker login writes, for the host that was asked', async (t) => {
  const { call, platform } = await openSelectel(t);
  const elsewhere = await buildApp(platform, {
    site: { publicUrl: 'https://cr.example.com', isWildcard: false, trustedProxies: [] },
  });
  t.after(() => elsewhere.close());
  const owner = (await seedKey(platform, (await seedTeam(platform, 'other')).teamId)).secret;
  for (const [asked, host] of [
    [call, 'localhost:8080'],
    [callerOf(elsewhere, owner), 'localhost:8080'],
  ] as const) {
    const made = await asked('POST /v1/token?docker-config=true&ttl=1y');
    assert.equal(made.status, 201);
    assert.match(made.headers['content-type'] ?? '', /^application\/json/);
    const { password } = made.json.auths[host];
    assert.match(password, /^ldg_token_/);
    const auth = Buffer.from(`token:${password}`).toString('base64');
    assert.deepEqual(made.json, { auths: { [host]: { username: 'token', password, auth } } });
    assert.equal((await asked(`GET /v1/token/${password}`)).status, 200);
  }
  const forged = await callerOf(elsewhere, owner)('POST /v1/token?docker-config=true', {
    headers: { host: 'evil.example.net' },
  });
  assert.deepEqual(Object.keys(forged.json.auths), ['cr.example.com']);
});

test('refresh keeps the value and gives the whole lifetime again', async (t) => {
  const { call, clock } = await openSelectel(t);
  const { token, expireAt } = (await call('POST /v1/token')).json;
  clock.advance(5 * hour);
  const got = await call(`GET /v1/token/${token}`);
  assert.equal(got.status, 200);
  assert.deepEqual(got.json, { expireAt, expireIn: 7 * 3600 });
  const refreshed = await call(`POST /v1/token/${token}/refresh`, { headers: { 'content-type': 'application/json' } });
  assert.equal(refreshed.status, 200);
  assert.deepEqual(refreshed.json, { expireAt: expireAt + 5 * 3600, expireIn: 12 * 3600, token });
});

test('a revoked, an expired, an unknown and another team’s token are answered alike', async (t) => {
  const { call, clock, platform, team } = await openSelectel(t);
  const other = await seedTeam(platform, 'other');
  const make = async (key?: string) => (await call('POST /v1/token', { key })).json.token as string;
  const [revoked, expired, foreign] = [await make(), await make(), await make(other.secret)];
  const gone = await call(`DELETE /v1/token/${revoked}`);
  assert.deepEqual([gone.status, gone.text], [204, '']);
  clock.advance(13 * hour);
  // The last: signed in with, but an API key is no token.
  for (const token of [revoked, expired, 'no-such-token', foreign, team.secret]) {
    const got = await call(`GET /v1/token/${token}`);
    assert.deepEqual([got.status, got.json], [404, hidden], token);
    const refreshed = await call(`POST /v1/token/${token}/refresh`);
    assert.deepEqual([refreshed.status, refreshed.json], [404, hidden], token);
    const again = await call(`DELETE /v1/token/${token}`);
    assert.deepEqual([again.status, again.json], [400, malformed], token);
  }
  const { tokens } = (await call('GET /v2/tokens')).json;
  assert.deepEqual(
    tokens.map((one: { status: string }) => one.status),
    ['revoked', 'expired'],
  );
});

test('a token of version 2 without an end is found by its value, with an end that is far away', async (t) => {
  const { call } = await openSelectel(t);
  const body = { expiration: { isSet: false }, scope: { modeRW: false, allRegistries: true } };
  const { token, id } = (await call('POST /v2/tokens', { body })).json;
  const got = (await call(`GET /v1/token/${token}`)).json;
  assert.equal(new Date(got.expireAt * 1000).getUTCFullYear(), 9999);
  assert.equal((await call(`POST /v1/token/${token}/refresh`)).json.expireAt, got.expireAt);
  assert.equal((await call(`DELETE /v1/token/${token}`)).status, 204);
  assert.equal((await call(`GET /v2/tokens/${id}`)).json.status, 'revoked');
});

// A token that is good for a year would lie in every log store and its backups.
test('the value in the path stands in no log line, no error and no audit event', { timeout: 20_000 }, async (t) => {
  const lines: unknown[] = [];
  const add = (...line: unknown[]) => void lines.push(line);
  const platform = await openTestPlatform(t, { log: { debug: add, info: add, warn: add, error: add } });
  const team = await seedTeam(platform, 'acme');
  const app = await buildApp(platform);
  t.after(() => app.close());
  const call = callerOf(app, team.secret, '/selectel/api');
  const { token } = (await call('POST /v1/token')).json;
  const odd = `%6cdg_token_${token.slice('ldg_token_'.length)}`;
  const base = await app.listen({ host: '127.0.0.1', port: 0 });
  const unrouted = [token, `${token}x`].flatMap((value) => [
    `PUT /v1/token/${value}`,
    `POST /v1/token/${value}/refreshed`,
    `GET /v2/tokens/${value}`,
  ]);
  const routed = [odd, token, `${token}x`].flatMap((value) => [
    `GET /v1/token/${value}`,
    `HEAD /v1/token/${value}`,
    `POST /v1/token/${value}/refresh`,
    `DELETE /v1/token/${value}`,
    `GET /v1/token/${value}?token=${value}`,
  ]);
  const asked = [...unrouted, ...routed];
  for (const one of asked) {
    const [method = '', path = ''] = one.split(' ');
    const headers = { 'x-auth-token': team.secret };
    await fetch(`${base}/selectel/api${path}`, { method, headers });
  }
  while (lines.length < asked.length + 1) await new Promise(setImmediate);
  const events = await platform.db.selectFrom('audit_events').selectAll().execute();
  assert.deepEqual(
    events.map(({ action }) => action),
    ['token.create', 'token.refresh', 'token.revoke'],
  );
  const secret = token.slice('ldg_token_'.length);
  assert.ok(!JSON.stringify([lines, events]).includes(secret));
  assert.ok(JSON.stringify(lines).includes('GET /selectel/api/v1/token/:token'));
});
