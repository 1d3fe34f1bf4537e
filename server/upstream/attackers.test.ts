// Tests 9 to 11 of the list that the history of other registries makes: addresses inside, realms on foreign hosts,
// redirects that would carry credentials away.

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { UpstreamCheck } from '#core/upstream.ts';
import type { AllowedUpstream } from '#outbound/addresses.ts';
import { openOutbound } from '#outbound/outbound.ts';
import { openInternet } from '#test/servers/internet.ts';
import { type ScriptedRegistry, sawNoSecret, startRegistry } from '#test/servers/registry.ts';
import { alice, check, messageOf, outline, targetOf } from '#test/upstream-checks.ts';
import { openUpstream } from './upstream.ts';

type Resolve = Parameters<typeof openOutbound>[0]['resolve'];

const checkWith = (allowed: readonly AllowedUpstream[], resolve?: Resolve) =>
  openUpstream(openOutbound({ allowed, ...(resolve && { resolve }) })).check;

const addressesOf =
  (...addresses: string[]): Resolve =>
  async () =>
    addresses.map((address) => ({ address, family: 4 }));

// Every way to write the loopback address, and places that only this machine reaches.
const insideHosts = [
  '127.0.0.1',
  '127.1',
  '2130706433',
  '0x7f000001',
  '0x7f.1',
  '0177.0.0.1',
  '0',
  '0.0.0.0',
  '[::1]',
  '[::]',
  '[::ffff:127.0.0.1]',
  '[::ffff:7f00:1]',
  '[64:ff9b::7f00:1]',
  'localhost',
  'LOCALHOST',
  'localhost.',
  '169.254.169.254',
  '10.0.0.1',
  '192.168.1.1',
  '172.16.0.1',
  '100.100.100.200',
  '[fd00:ec2::254]',
];

test('a host inside is refused however it is written, and nothing there is connected to', async (t) => {
  const inside = await startRegistry(t);
  const guarded = checkWith([{ host: 'other.test', port: undefined }]);
  for (const name of insideHosts) {
    for (const scheme of ['http', 'https'] as const) {
      const result = await guarded(targetOf({ host: `${name}:${inside.port}` }, { scheme }));
      assert.equal(outline(result), 'fsssss', `${scheme}://${name}`);
      assert.match(messageOf(result, 'reach'), /LADING_UPSTREAM_ALLOW/);
    }
  }
  assert.equal(inside.connections(), 0);
});

test('a name that leads inside is refused, with all of its addresses or some, now or later', async (t) => {
  const inside = await startRegistry(t);
  const elsewhere = await startRegistry(t, { address: '127.0.0.9' });
  const target = targetOf({ host: `r.example.com:${inside.port}` }, { scheme: 'https' });
  assert.equal(outline(await checkWith([], addressesOf('127.0.0.1', '10.0.0.1'))(target)), 'fsssss');
  const allowed = [{ range: '127.0.0.9/32' }];
  // Of several addresses only the allowed one is tried, and that has nothing on this port.
  assert.equal(outline(await checkWith(allowed, addressesOf('127.0.0.1', '127.0.0.9'))(target)), 'fsssss');
  assert.equal(inside.connections(), 0);
  // First an address that may be reached, a moment later one inside.
  let asked = 0;
  elsewhere.auth = 'bearer';
  const rebinding: Resolve = async () => [{ address: ++asked === 1 ? '127.0.0.9' : '127.0.0.1', family: 4 }];
  const rebound = targetOf({ host: `r.example.com:${elsewhere.port}` });
  elsewhere.realm = `http://r.example.com:${elsewhere.port}/token`;
  const result = await checkWith(allowed, rebinding)(rebound);
  assert.equal(outline(result), 'psppfs');
  assert.match(messageOf(result, 'token'), /No address was found for r\.example\.com that may be reached from here/);
  assert.ok(sawNoSecret(elsewhere, alice.password));
  assert.equal(inside.connections(), 0);
});

test('what is no host is not asked, and nothing is thrown', async (t) => {
  const inside = await startRegistry(t);
  for (const host of [
    '',
    'a b',
    `x@${inside.host}`,
    `${inside.host}/x`,
    `${inside.host}?`,
    '[::1',
    'a:99999',
    'a\\b',
  ]) {
    const result = await check(targetOf({ host }));
    assert.equal(outline(result), 'fsssss', host);
  }
  assert.equal(inside.connections(), 0);
});

async function twoServers(t: TestContext): Promise<{ registry: ScriptedRegistry; inside: ScriptedRegistry }> {
  return { registry: await startRegistry(t), inside: await startRegistry(t, { address: '127.0.0.2' }) };
}

test('a redirect inward is refused at every step, with credentials and without', async (t) => {
  const { registry, inside } = await twoServers(t);
  const guarded = checkWith([{ host: '127.0.0.1', port: registry.port }]);
  registry.auth = 'bearer';
  registry.givesToStrangers = true;
  registry.repositories.set('team/app', ['*']);
  const places = [
    ['/v2/', 'psfsss'],
    ['/token', 'psppfs'],
    ['/v2/team/app/', 'pspppf'],
  ] as const;
  for (const location of [
    inside.url,
    `http://127.0.0.2:${inside.port}/v2/`,
    'http://169.254.169.254/latest',
    'file:///etc/passwd',
  ]) {
    for (const [path, expected] of places) {
      registry.before = (seen) => (seen.path.startsWith(path) ? { status: 302, headers: { location } } : undefined);
      for (const credentials of [alice, null]) {
        const result = await guarded(targetOf(registry, { credentials, namespace: 'team/app' }));
        assert.equal(outline(result), expected, `${path} to ${location}: ${JSON.stringify(result.steps)}`);
      }
    }
  }
  assert.equal(inside.connections(), 0);
});

test('a token service inside is refused, with credentials and without', async (t) => {
  const { registry, inside } = await twoServers(t);
  const guarded = checkWith([{ host: '127.0.0.1', port: registry.port }]);
  registry.auth = 'bearer';
  for (const realm of [
    `${inside.url}/token`,
    `https://localhost:${inside.port}/`,
    'http://169.254.169.254/',
    'http://[::1]/',
  ]) {
    registry.realm = realm;
    for (const credentials of [alice, null]) {
      const tokenHost = new URL(realm).host;
      for (const change of [{ tokenHost: null }, { tokenHost }]) {
        const result = await guarded(targetOf(registry, { credentials, ...change }));
        assert.equal(outline(result), 'psppfs', realm);
      }
    }
  }
  assert.equal(inside.connections(), 0);
});

test('a token service of somebody else gets nothing, until the connection names it', async (t) => {
  const internet = openInternet(t);
  const registry = await internet.serve('registry.example.com');
  const stranger = await internet.serve('tokens.example.org');
  registry.auth = 'bearer';
  stranger.tokens = registry.tokens;
  stranger.repositories = registry.repositories;
  registry.realm = `${stranger.url}/token`;
  const { check: test } = openUpstream(internet.outbound);
  const refused = await test(targetOf(registry, { scheme: 'https', namespace: 'team/app' }));
  assert.equal(outline(refused), 'ppppfs');
  assert.match(messageOf(refused, 'token'), /name tokens\.example\.org as the token host of the connection/);
  assert.equal(stranger.connections(), 0);
  const named = { scheme: 'https', namespace: 'team/app', tokenHost: 'tokens.example.org' } as const;
  assert.equal(outline(await test(targetOf(registry, named))), 'pppppp');
  assert.ok(stranger.seen.length > 0);
  // The password was the token service's alone, and the tokens the registry's.
  assert.ok(registry.seen.every(({ headers }) => !/^Basic/.test(headers.authorization ?? '')));
  assert.ok(stranger.seen.every(({ headers }) => !/^Bearer/.test(headers.authorization ?? '')));
});

test('a registry that takes passwords itself is not refused for a foreign token service', async (t) => {
  const { registry, inside } = await twoServers(t);
  registry.challenge = `Bearer realm="${inside.url}/token", Basic realm="registry"`;
  assert.equal(outline(await check(targetOf(registry))), 'psppps');
  assert.equal(inside.connections(), 0);
});

test('an encrypted registry never sends credentials to a token service in the open', async (t) => {
  const internet = openInternet(t);
  const registry = await internet.serve('registry.example.com');
  const open = await startRegistry(t);
  Object.assign(registry, { auth: 'bearer', realm: `${open.url}/token` });
  const { check: test } = openUpstream(internet.outbound);
  const result = await test(targetOf(registry, { scheme: 'https', tokenHost: open.host }));
  assert.equal(outline(result), 'ppppfs');
  assert.match(messageOf(result, 'token'), /must be asked over https/);
  assert.equal(open.connections(), 0);
});

// GHSA-vh4v-2xq2-g5cg, CVE-2026-50151: clients that took their credentials along.
test('a redirect to another host takes neither the password nor the token there', async (t) => {
  const { registry, inside: other } = await twoServers(t);
  const detour = (path: string) => {
    registry.before = (seen) =>
      seen.path.startsWith(path) ? { status: 307, headers: { location: `${other.url}${seen.path}` } } : undefined;
  };
  const results: UpstreamCheck[] = [];
  for (const auth of ['basic', 'bearer'] as const) {
    registry.auth = auth;
    for (const path of ['/v2/', '/token', '/v2/team/app/']) {
      detour(path);
      results.push(await check(targetOf(registry, { namespace: 'team/app' })));
    }
  }
  assert.equal(other.connections(), 0);
  assert.deepEqual(results.map(outline), ['psfsss', 'pspppp', 'pspppf', 'psfsss', 'psppfs', 'pspppf']);
  assert.match(messageOf(results[0] as UpstreamCheck, 'registry'), /If that is the registry, enter its host/);
});

test('without credentials a redirect is followed, with no token of the first host', async (t) => {
  const { registry, inside: other } = await twoServers(t);
  other.auth = 'open';
  other.repositories.set('public', ['*']);
  Object.assign(registry, { auth: 'bearer', givesToStrangers: true });
  registry.repositories.set('public', ['*']);
  registry.before = ({ path }) =>
    path.startsWith('/v2/public/') ? { status: 307, headers: { location: `${other.url}${path}` } } : undefined;
  const result = await check(targetOf(registry, { credentials: null, namespace: 'public' }));
  assert.equal(outline(result), 'pspppp');
  assert.equal(other.seen.length, 1);
  assert.equal(other.seen[0]?.headers.authorization, undefined);
});
