import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startCollection } from '#core/collection.ts';
import type { Reading } from '#core/readings.ts';
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

test('what waits too long and what was given up is counted', async (t) => {
  const { platform, ask } = await openOci(t);
  const team = await seedTeam(platform, 'team-a');
  const read = async (name: string) =>
    Number(new RegExp(`^lading_${name} (\\S+)$`, 'm').exec((await ask('GET', '/metrics')).text)?.[1]);
  assert.deepEqual([await read('operations_oldest_seconds'), await read('registries_failed')], [0, 0]);

  const collection = { registry: team.registryId, deleteUntagged: false };
  const operation = await startCollection(platform, team.owner, collection);
  await platform.db
    .updateTable('operations')
    .set({ created_at: platform.now() - 3600_000 })
    .where('id', '=', operation.id)
    .execute();
  await platform.db.updateTable('registries').set({ status_reason: 'the store is full' }).execute();
  assert.equal(Math.round((await read('operations_oldest_seconds')) / 60), 60);
  assert.equal(await read('registries_failed'), 1);
  assert.equal(await read('operations_queued'), 1);

  const object = { size: 1, refs: 0, state: 'doomed' as const, attempts: 0 };
  for (const [key, minutesAgo] of [
    ['a', 5],
    ['b', 15],
  ] as const) {
    await platform.db
      .insertInto('objects')
      .values({ ...object, key, remove_after: platform.now() - minutesAgo * 60_000 })
      .execute();
  }
  assert.deepEqual([await read('removals_waiting'), await read('removals_overdue')], [2, 1]);
});

test('while the database is away the process tells of itself, and no old number of the database', async (t) => {
  const failing: Reading = {
    name: 'job_failing',
    help: 'What a job says.',
    kind: 'gauge',
    samples: [{ labels: { job: 'sweep' }, value: 1 }],
  };
  // Two parts of the process may speak of the same thing.
  const more: Reading = { ...failing, samples: [{ labels: { job: 'renew' }, value: 0 }] };
  const { platform, ask } = await openOci(t, { meters: [() => [failing], () => [more]] });
  const before = (await ask('GET', '/metrics')).text;
  assert.match(before, /^lading_database_up 1$/m);
  assert.match(before, /^lading_uploads 0$/m);

  await platform.db.schema.alterTable('uploads').renameTo('uploads_elsewhere').execute();
  const { status, text } = await ask('GET', '/metrics');
  assert.equal(status, 200);
  assert.match(text, /^lading_database_up 0$/m);
  assert.doesNotMatch(text, /^lading_(?:uploads|registries|connections)\b.* \d/m);
  assert.match(text, /^lading_job_failing\{job="sweep"\} 1$/m);
  assert.match(text, /^lading_job_failing\{job="renew"\} 0$/m);
});
