import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fastify } from 'fastify';
import type { Platform } from '#core/platform.ts';
import { openOci } from '#test/oci-client.ts';
import { type Peer, peerOf, senderOf } from './peer.ts';
import { isInRanges, parseAddressRange, plainSite, type Site } from './site.ts';

const trustedProxies = ['10.0.0.0/8', 'fd00::/8', '192.0.2.7'].map(parseAddressRange);
const region = { id: '1', slug: 'eu', name: 'EU', host: 'eu.example.com' };
const platform = {
  config: { regions: [region, { ...region, slug: 'us', host: 'us.example.com:5000' }] },
} as unknown as Platform;

type Asked = { headers?: Record<string, string>; from?: string; site?: Partial<Site> };

async function peerFor({ headers = {}, from = '203.0.113.5', site: changes = {} }: Asked): Promise<Peer> {
  const site = { ...plainSite, ...changes };
  const isTrusted = (address: string) => isInRanges(address, site.trustedProxies);
  const app = fastify({ trustProxy: site.trustedProxies.length > 0 && isTrusted });
  let peer: Peer | undefined;
  let sender: unknown;
  app.get('/', async (request) => {
    peer = peerOf(platform, site, request);
    sender = senderOf(site, request.raw);
    assert.deepEqual(sender, { ip: request.ip, host: request.host }, 'past Fastify the same comes out');
    return 'ok';
  });
  await app.inject({ url: '/', headers: { host: 'eu.example.com', ...headers }, remoteAddress: from });
  assert.ok(peer && sender);
  return peer;
}

test('the host decides the region, whatever its case; any other host is the first', async () => {
  const slugs = ['US.example.com:5000', 'us.example.com', 'eu.example.com', 'elsewhere.example.com'].map(
    async (host) => (await peerFor({ headers: { host } })).region.slug,
  );
  assert.deepEqual(await Promise.all(slugs), ['us', 'eu', 'eu', 'eu']);
});

const links: readonly [string, Asked, string][] = [
  ['the host of a region', { headers: { host: 'US.example.com:5000' } }, 'http://us.example.com:5000'],
  [
    'the host of the public URL',
    { headers: { host: 'hub.example.com' }, site: { publicUrl: 'https://hub.example.com' } },
    'http://hub.example.com',
  ],
  [
    'a host that is not ours, with a public URL',
    { headers: { host: 'evil.example.net' }, site: { publicUrl: 'https://hub.example.com', isWildcard: true } },
    'https://hub.example.com',
  ],
  [
    'any host, where nobody said what we are called and every address is listened on',
    { headers: { host: '192.168.1.4:8080' }, site: { isWildcard: true } },
    'http://192.168.1.4:8080',
  ],
];
for (const [name, asked, expected] of links) {
  test(`links begin with ${expected} for ${name}`, async () => assert.equal((await peerFor(asked)).baseUrl, expected));
}

// A client sends its credentials to the realm: a forged name must not become one.
for (const host of [
  'evil.example.net/x',
  'evil.example.net?',
  'a b',
  'user@evil.example.net',
  '"quoted"',
  '<x>',
  '..',
  'x:1:2',
  '[::1',
]) {
  test(`the host ${JSON.stringify(host)} never becomes a link`, async () => {
    const { baseUrl } = await peerFor({ headers: { host }, site: { isWildcard: true } });
    assert.ok(!baseUrl.includes(host), baseUrl);
    assert.match(baseUrl, /^http:\/\/[0-9.:]+$/);
  });
}

const forwarded = {
  'x-forwarded-for': '198.51.100.9',
  'x-forwarded-proto': 'https',
  'x-forwarded-host': 'us.example.com:5000',
};

// Security test 26: without the list of proxies anyone could write an address into the audit log, or choose the realm.
for (const from of ['203.0.113.5', '::1', '127.0.0.1', '192.0.2.8', '::ffff:203.0.113.5']) {
  for (const site of [{}, { trustedProxies }]) {
    test(`forwarded headers of ${from}, ${site.trustedProxies ? 'no listed proxy' : 'without a list'}, count for nothing`, async () => {
      const peer = await peerFor({ headers: forwarded, from, site });
      assert.equal(peer.address, from.replace('::ffff:', ''));
      assert.equal(peer.region.slug, 'eu');
      assert.equal(peer.baseUrl, 'http://eu.example.com');
    });
  }
}

for (const from of ['10.1.2.3', '::ffff:10.1.2.3', 'fd00::1', '192.0.2.7']) {
  test(`forwarded headers of ${from}, a listed proxy, count`, async () => {
    const peer = await peerFor({ headers: forwarded, from, site: { trustedProxies } });
    assert.equal(peer.address, '198.51.100.9');
    assert.equal(peer.region.slug, 'us');
    assert.equal(peer.baseUrl, 'https://us.example.com:5000');
  });
}

test('of a chain of addresses the nearest that is no listed proxy is the client', async () => {
  const headers = { 'x-forwarded-for': '1.1.1.1, 198.51.100.9, 10.9.9.9' };
  assert.equal((await peerFor({ headers, from: '10.1.2.3', site: { trustedProxies } })).address, '198.51.100.9');
});

test('a scheme that a proxy makes up is answered as http', async () => {
  const headers = { 'x-forwarded-proto': 'javascript' };
  assert.equal(
    (await peerFor({ headers, from: '10.1.2.3', site: { trustedProxies } })).baseUrl,
    'http://eu.example.com',
  );
});

test('the real app follows its list of proxies', async (t) => {
  const { ask } = await openOci(t, { site: { ...plainSite, trustedProxies } });
  const headers = { 'x-forwarded-proto': 'https', 'x-forwarded-host': 'localhost:8080' };
  const challengeFrom = async (from: string) =>
    (await ask('GET', '/v2/', { headers, from })).headers['www-authenticate'];
  assert.match((await challengeFrom('10.0.0.1')) ?? '', /realm="https:\/\/localhost:8080\/token"/);
  assert.match((await challengeFrom('203.0.113.5')) ?? '', /realm="http:\/\/localhost:8080\/token"/);
});
