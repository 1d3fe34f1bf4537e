import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { type UpstreamCheck, upstreamSteps } from '#core/upstream.ts';
import { makeAuthority } from '#test/servers/certificates.ts';
import { type Instead, type ScriptedRegistry, startRegistry } from '#test/servers/registry.ts';
import { alice, check, messageOf, outbound, outline, quickly, targetOf } from '#test/upstream-checks.ts';
import { openUpstream } from './upstream.ts';

/** A token that says whom it is for, signed by nobody. */
const jwtOf = (claims: object) =>
  ['{"alg":"none"}', JSON.stringify(claims), 'x'].map((part) => Buffer.from(part).toString('base64url')).join('.');

test('credentials that open a registry pass every step, with Basic and with a token', async (t) => {
  const registry = await startRegistry(t);
  for (const auth of ['basic', 'bearer'] as const) {
    registry.auth = auth;
    const result = await check(targetOf(registry, { namespace: 'team/app' }));
    assert.equal(outline(result), 'pspppp', JSON.stringify(result.steps));
    assert.deepEqual(
      result.steps.map(({ step }) => step),
      upstreamSteps,
    );
    assert.match(messageOf(result, 'token'), /accepts the user name and the password/);
    assert.match(messageOf(result, 'namespace'), /may be read/);
    assert.ok(result.latencyMs >= 0 && result.latencyMs < 5000);
    assert.equal(result.rateLimit, null);
    assert.equal(result.credentialsExpireAt, null);
  }
});

test('wrong credentials fail at the token step, with Basic, with a token, and where everybody may come in', async (t) => {
  const registry = await startRegistry(t);
  const credentials = { username: 'alice', password: 'wrong horse' };
  for (const auth of ['basic', 'bearer', 'open'] as const) {
    registry.auth = auth;
    const result = await check(targetOf(registry, { credentials, namespace: 'team/app' }));
    assert.equal(outline(result), auth === 'open' ? 'pspsfs' : 'psppfs');
    assert.match(messageOf(result, 'token'), /refuses the user name or the password \(401\)/);
    assert.doesNotMatch(JSON.stringify(result), /wrong horse/);
  }
});

test('a registry that lets everybody in proves nothing of a password, and says so', async (t) => {
  const registry = await startRegistry(t);
  registry.auth = 'open';
  registry.repositories.set('public', ['*']);
  const named = await check(targetOf(registry));
  assert.equal(outline(named), 'pspsss');
  assert.match(messageOf(named, 'token'), /cannot be told whether the user name and the password are right/);
  const anonymous = await check(targetOf(registry, { credentials: null, namespace: 'public' }));
  assert.equal(outline(anonymous), 'pspssp');
  // What is private asks for credentials after all.
  assert.equal(outline(await check(targetOf(registry, { namespace: 'team/app' }))), 'pspssp');
  const stranger = await check(targetOf(registry, { credentials: null, namespace: 'team/app' }));
  assert.equal(outline(stranger), 'pspsss');
});

test('a token service that gives tokens to everybody proves only what its tokens tell', async (t) => {
  const registry = await startRegistry(t);
  Object.assign(registry, { auth: 'bearer', givesToStrangers: true, forgivesWrong: true });
  const wrong = { username: 'alice', password: 'wrong horse' };
  const vague = await check(targetOf(registry, { credentials: wrong }));
  assert.equal(outline(vague), 'psppps');
  assert.match(messageOf(vague, 'token'), /gives one to everybody: it cannot be told/);
  registry.toToken = ({ user }) => jwtOf({ sub: user, jti: String(Math.random()) });
  const known = await check(targetOf(registry));
  assert.match(messageOf(known, 'token'), /accepts the user name and the password/);
  const unknown = await check(targetOf(registry, { credentials: wrong }));
  assert.equal(outline(unknown), 'psppfs');
  assert.match(messageOf(unknown, 'token'), /does not know the user name or the password/);
});

test('without credentials public content is reached, and private content is not', async (t) => {
  const registry = await startRegistry(t);
  registry.repositories.set('public', ['*']);
  const target = targetOf(registry, { credentials: null, namespace: 'public' });
  registry.auth = 'bearer';
  assert.match(messageOf(await check(target), 'token'), /lets nobody in without credentials/);
  registry.givesToStrangers = true;
  assert.equal(outline(await check(target)), 'pspppp');
  assert.ok(registry.seen.every(({ headers }) => !headers.authorization?.startsWith('Basic')));
  registry.auth = 'basic';
  const basic = await check(target);
  assert.equal(outline(basic), 'psppfs');
  assert.match(messageOf(basic, 'token'), /Add a user name and a password/);
});

test('a namespace is a repository, or what is below it is looked for', async (t) => {
  const registry = await startRegistry(t);
  registry.repositories.set('team-other/x', ['alice']).set('team.x', ['alice']).set('secret/app', ['bob']);
  for (const auth of ['basic', 'bearer'] as const) {
    registry.auth = auth;
    const at = async (namespace: string) => {
      const result = await check(targetOf(registry, { namespace }));
      return `${outline(result).at(-1)} ${messageOf(result, 'namespace')}`;
    };
    registry.lists = true;
    assert.match(await at('team/app'), /^p team\/app is a repository/);
    assert.match(await at('/team/'), /^p team\/app may be read/);
    assert.match(await at('Team'), /^p team\/app may be read/);
    assert.match(await at('nothing'), /^s .* lists no repository below nothing/);
    assert.match(await at('secret'), /^s .* lists no repository below secret/);
    assert.match(await at('not a name'), /^f .* cannot be the name/);
    assert.match(await at('../../x'), /^f .* cannot be the name/);
    registry.listsAfterKnown = true;
    assert.match(await at('team'), /^p team\/app may be read/);
    registry.listsAfterKnown = false;
    registry.lists = false;
    assert.match(await at('team'), /^s .* does not list what is below it/);
  }
});

test('what a registry lists but does not let read is a failure', async (t) => {
  const registry = await startRegistry(t);
  for (const status of [401, 403]) {
    registry.before = ({ path }) => (path.startsWith('/v2/team/app/') ? { status } : undefined);
    const result = await check(targetOf(registry, { namespace: 'team' }));
    assert.equal(outline(result), 'pspppf');
    assert.match(messageOf(result, 'namespace'), /does not let these credentials read team\/app/);
  }
});

const notRegistries: [Instead, RegExp][] = [
  [{ status: 200, headers: { 'content-type': 'text/html' }, body: '<html>hello</html>' }, /not as a registry does/],
  [{ status: 200, headers: { 'content-type': 'application/json' }, body: '[1]' }, /not as a registry does/],
  [{ status: 404, body: 'not found' }, /no registry API at \/v2\/ \(404\)/],
  [{ status: 403 }, /refuses to be asked from here/],
  [{ status: 429, headers: { 'retry-after': '17' } }, /too much \(429\)\. It may be asked again in 17 seconds/],
  [{ status: 429, headers: { 'retry-after': 'Wed, 21 Oct 2026 07:28:00 GMT' } }, /again at 2026-10-21T07:28:00\.000Z/],
  [{ status: 429, headers: { 'retry-after': '<script>' } }, /Try again later/],
  [{ status: 503 }, /out of order: it answered 503/],
  [{ status: 418 }, /answered 418/],
  ['cut', /broke off/],
  [{ status: 200, body: 'x'.repeat(1024 * 1024 + 1) }, /more than 1048576 bytes/],
  [{ status: 302, headers: { location: '/v2/' } }, /redirects too often/],
  [{ status: 302 }, /redirects too often, or to nothing/],
];

test('what is no registry fails at the registry step, with what was found there', async (t) => {
  const registry = await startRegistry(t);
  for (const [instead, sentence] of notRegistries) {
    registry.before = () => instead;
    const result = await check(targetOf(registry));
    assert.equal(outline(result), 'psfsss', JSON.stringify(instead).slice(0, 80));
    assert.match(messageOf(result, 'registry'), sentence);
  }
});

test('a challenge that says nothing useful fails at its own step', async (t) => {
  const registry = await startRegistry(t);
  for (const [challenge, sentence] of [
    [null, /does not say how/],
    ['Negotiate', /in a way that container clients do not know/],
    ['Bearer realm="file:///etc/passwd"', /in a way/],
    ['Bearer realm="/token"', /in a way/],
    ['Bearer service="x"', /in a way/],
  ] as const) {
    registry.challenge = challenge;
    const result = await check(targetOf(registry));
    assert.equal(outline(result), 'pspfss', String(challenge));
    assert.match(messageOf(result, 'challenge'), sentence);
  }
});

const bomb = '['.repeat(500_000);
const noTokens: [Instead, RegExp][] = [
  [{ status: 200, body: '{}' }, /with no token/],
  [{ status: 200, body: '{"token":""}' }, /with no token/],
  [{ status: 200, body: '{"token":"a\\r\\nx-evil: 1"}' }, /with no token/],
  [{ status: 200, body: '{"token":{"a":1}}' }, /with no token/],
  [{ status: 200, body: bomb }, /with no token/],
  [{ status: 200, body: `{"token":"${'x'.repeat(2 * 1024 * 1024)}"}` }, /more than 1048576 bytes/],
  [{ status: 200, body: `{"token":"${'x'.repeat(100_000)}"}` }, /with no token/],
  [{ status: 403 }, /refuses the user name or the password \(403\)/],
  [{ status: 429, headers: { 'retry-after': '5' } }, /again in 5 seconds/],
  [{ status: 500 }, /out of order/],
  ['cut', /broke off/],
];

test('a token service that gives no token fails the token step', async (t) => {
  const registry = await startRegistry(t);
  registry.auth = 'bearer';
  for (const [instead, sentence] of noTokens) {
    registry.before = ({ path }) => (path.startsWith('/token') ? instead : undefined);
    const result = await check(targetOf(registry));
    assert.equal(outline(result), 'psppfs', JSON.stringify(instead).slice(0, 80));
    assert.match(messageOf(result, 'token'), sentence);
  }
});

test('a token by its other name is a token, and one that the registry refuses is none', async (t) => {
  const registry = await startRegistry(t);
  registry.auth = 'bearer';
  registry.tokens.set('made-before', { user: 'alice', repositories: [], mayList: false });
  const answering = (body: string) => {
    registry.before = ({ path }) => (path.startsWith('/token') ? { status: 200, body } : undefined);
  };
  answering('{"access_token":"made-before"}');
  assert.equal(outline(await check(targetOf(registry))), 'psppps');
  answering('{"token":"of-somebody-else"}');
  const refused = await check(targetOf(registry));
  assert.equal(outline(refused), 'psppfs');
  assert.match(messageOf(refused, 'token'), /does not accept the token/);
});

test('the service that a challenge names is told to the token service, with a scope for a repository alone', async (t) => {
  const registry = await startRegistry(t);
  registry.auth = 'bearer';
  await check(targetOf(registry, { namespace: 'team/app' }));
  const asked = registry.seen.filter(({ path }) => path.startsWith('/token'));
  assert.deepEqual(
    asked.map(({ path, headers }) => [path, headers.authorization === undefined]),
    [
      ['/token?service=registry', false],
      // Whether anybody else gets one.
      ['/token?service=registry', true],
      ['/token?service=registry&scope=repository%3Ateam%2Fapp%3Apull', false],
    ],
  );
});

test('what is told of the rest of the pulls is kept, if it has a window', async (t) => {
  const registry = await startRegistry(t);
  const rateLimit = async (headers: Record<string, string>) => {
    registry.headers = headers;
    return (await check(targetOf(registry))).rateLimit;
  };
  assert.deepEqual(await rateLimit({ 'ratelimit-limit': '100;w=21600', 'ratelimit-remaining': '76;w=21600' }), {
    limit: 100,
    remaining: 76,
    windowSeconds: 21600,
  });
  assert.equal(await rateLimit({ 'ratelimit-limit': '100', 'ratelimit-remaining': '76' }), null);
  assert.equal(await rateLimit({ 'ratelimit-limit': 'many;w=1', 'ratelimit-remaining': '76' }), null);
  assert.equal(await rateLimit({ 'ratelimit-limit': '100;w=21600' }), null);
});

test('a server that is silent or slow fails in time, and like one that is not there', async (t) => {
  const registry = await startRegistry(t);
  registry.before = () => 'hang';
  const silent = await quickly.check(targetOf(registry));
  assert.equal(outline(silent), 'fsssss');
  assert.match(messageOf(silent, 'reach'), /did not answer within/);
  registry.auth = 'bearer';
  registry.before = ({ path }) => (path.startsWith('/token') ? 'hang' : undefined);
  const slow = await quickly.check(targetOf(registry));
  assert.equal(outline(slow), 'psppfs');
  assert.ok(slow.latencyMs < 2000);
  const free = createServer();
  await new Promise<void>((resolve) => free.listen(0, '127.0.0.1', resolve));
  const { port } = free.address() as { port: number };
  await new Promise((resolve) => free.close(resolve));
  const gone = await quickly.check(targetOf({ host: `127.0.0.1:${port}` }));
  assert.equal(outline(gone), 'fsssss');
  assert.match(messageOf(gone, 'reach'), /No connection to 127\.0\.0\.1 on port/);
});

test('however long a registry draws it out, a check ends in its time and with few requests', async (t) => {
  const registry = await startRegistry(t);
  const few = openUpstream(outbound, { limits: { requests: 3 } });
  const result = await few.check(targetOf(registry, { namespace: 'team' }));
  assert.equal(outline(result), 'pspppf');
  assert.match(messageOf(result, 'namespace'), /too many requests/);
  assert.equal(registry.seen.length, 3);
  registry.before = ({ path }) => (path.startsWith('/v2/team') ? 'hang' : undefined);
  const short = openUpstream(outbound, { limits: { checkMs: 500 } });
  const slow = await short.check(targetOf(registry, { namespace: 'team' }));
  assert.equal(outline(slow), 'pspppf');
  assert.ok(slow.latencyMs < 2000);
});

test('two hundred checks of a silent registry wait for it together', async (t) => {
  const registry = await startRegistry(t);
  registry.before = () => 'hang';
  const started = performance.now();
  const results = await Promise.all(Array.from({ length: 200 }, () => quickly.check(targetOf(registry))));
  assert.ok(results.every((result) => outline(result) === 'fsssss'));
  assert.ok(performance.now() - started < 20_000);
});

test('a certificate that nobody vouches for fails at the TLS step', async (t) => {
  const tls = makeAuthority(t).issue('registry', { altName: 'IP:127.0.0.1' });
  const registry = await startRegistry(t, { tls });
  const result = await check(targetOf(registry, { scheme: 'https' }));
  assert.equal(outline(result), 'pfssss');
  assert.match(messageOf(result, 'tls'), /authority that is not trusted here/);
  assert.equal(registry.seen.length, 0);
  const plain = await startRegistry(t);
  assert.equal(outline(await check(targetOf(plain, { scheme: 'https' }))), 'pfssss');
});

test('no sentence repeats what a server says', async (t) => {
  const registry = await startRegistry(t);
  const echo = (seen: ScriptedRegistry['seen'][number]): Instead => ({
    status: seen.headers.authorization === undefined ? 401 : 403,
    headers: { 'www-authenticate': 'Basic realm="alice:correct horse"', 'x-echo': seen.headers.authorization ?? '' },
    body: JSON.stringify({ errors: [{ code: 'DENIED', message: `${seen.headers.authorization} correct horse` }] }),
  });
  registry.before = echo;
  const result: UpstreamCheck = await check(targetOf(registry));
  assert.equal(outline(result), 'psppfs');
  assert.doesNotMatch(JSON.stringify(result), /correct horse|Y29ycmVjd|YWxpY2U6/);
});

test('what opens a registry is what is stored, unless its provider makes a token of it', async (t) => {
  const registry = await startRegistry(t);
  const logIn = (provider: 'oci' | 'gcr', credentials = alice) =>
    quickly.logIn({ ...targetOf(registry, { provider }), credentials });
  assert.deepEqual(await logIn('oci'), { ...alice, expiresAt: null });
  assert.deepEqual(await logIn('gcr', { username: '', password: '{"type":"service_account"}' }), {
    username: '_json_key',
    password: '{"type":"service_account"}',
    expiresAt: null,
  });
  assert.equal(registry.seen.length, 0);
});
