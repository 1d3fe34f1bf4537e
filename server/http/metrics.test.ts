import assert from 'node:assert/strict';
import { test } from 'node:test';
import { basic, openOci, pushImage, withAuthorization } from '#test/oci-client.ts';
import { seedTeam } from '#test/platform.ts';
import { parseAddressRange, plainSite } from './site.ts';

const metricsToken = 'a-token-for-the-scraper';
const site = { ...plainSite, trustedProxies: [parseAddressRange('127.0.0.2')] };

const readers: readonly [string, string, Record<string, string>, number][] = [
  ['this machine', '127.0.0.1', {}, 200],
  ['this machine by IPv6', '::1', {}, 200],
  ['this machine by mapped IPv4', '::ffff:127.0.0.1', {}, 200],
  ['another machine', '192.0.2.1', {}, 401],
  ['another machine with the token', '192.0.2.1', { authorization: `Bearer ${metricsToken}` }, 200],
  ['another machine with a wrong token', '192.0.2.1', { authorization: 'Bearer wrong' }, 401],
  ['another machine with the token as Basic', '192.0.2.1', { authorization: basic(metricsToken) }, 401],
  // A proxy on this machine speaks for strangers, whether or not it is listed.
  ['a listed proxy on this machine', '127.0.0.2', {}, 401],
  ['a proxy on this machine that is not listed', '127.0.0.1', { 'x-forwarded-for': '192.0.2.1' }, 401],
  ['another machine that claims to be this one', '192.0.2.1', { 'x-forwarded-for': '127.0.0.1' }, 401],
];
for (const [name, from, headers, status] of readers) {
  test(`metrics asked by ${name}: ${status}`, async (t) => {
    const { ask } = await openOci(t, { site, metricsToken });
    assert.equal((await ask('GET', '/metrics', { from, headers })).status, status);
  });
}

test('pushes, pulls, requests and sizes are counted, and no label names a tenant', async (t) => {
  const { platform, ask } = await openOci(t);
  const team = await seedTeam(platform, 'secret-team');
  const client = withAuthorization(ask, basic(team.secret));
  await pushImage(client, 'secret-team/secret-app', 'v1', ['layer']);
  await client('GET', '/v2/secret-team/secret-app/manifests/v1');
  await client('GET', '/v2/secret-team/secret-app/manifests/v2');
  await client('HEAD', '/v2/secret-team/secret-app/manifests/v1');
  const { text } = await ask('GET', '/metrics');
  assert.match(text, /^lading_pushes_total 1$/m);
  assert.match(text, /^lading_pulls_total 1$/m);
  assert.match(
    text,
    /^lading_http_request_seconds_count\{surface="oci",route="\/v2\/\*",method="GET",status="404",region="local"\} 1$/m,
  );
  const { size } = await platform.db.selectFrom('registries').select('size').executeTakeFirstOrThrow();
  assert.match(text, new RegExp(`^lading_size_bytes ${size}$`, 'm'));
  assert.match(text, /^lading_operations_queued 0$/m);
  assert.match(text, /^lading_connections\{status="failed"\} 0$/m);
  assert.match(text, /^lading_connections_expiring 0$/m);
  assert.doesNotMatch(text, /secret-team|secret-app/);
});
