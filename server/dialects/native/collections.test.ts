import assert from 'node:assert/strict';
import { test } from 'node:test';
import { leaseMs } from '#core/links.ts';
import { operationHandlers } from '#core/operation-handlers.ts';
import { runNextOperation } from '#core/operation-runs.ts';
import { openNative } from '#test/native-client.ts';
import { pushBlob, pushImage } from '#test/oci-client.ts';

const path = '/registries/acme/garbage-collection';

test('a collection is previewed, started, watched to its end, and never started twice', async (t) => {
  const { call, oci, platform } = await openNative(t);
  await pushImage(oci, 'acme/app', 'v1', ['needed']);
  await pushBlob(oci, 'acme/app', 'not needed');
  const leased = (await call(`GET ${path}`)).json;
  assert.deepEqual(leased, {
    unreferencedBytes: 0,
    untaggedBytes: 0,
    totalBytes: 0,
    leasedBytes: 10,
    leasedUntil: new Date(platform.now() + leaseMs).toISOString(),
  });
  platform.clock.advance(leaseMs + 1);
  const preview = (await call(`GET ${path}`)).json;
  assert.deepEqual([preview.unreferencedBytes, preview.totalBytes, preview.leasedUntil], [10, 10, null]);
  const started = await call(`POST ${path}`, { body: {} });
  assert.equal(started.status, 202);
  assert.deepEqual([started.json.kind, started.json.state], ['garbage_collection', 'queued']);
  assert.equal((await call('GET /registries/acme')).json.status, 'collecting');
  const second = await call(`POST ${path}`, { body: { deleteUntagged: true } });
  assert.equal(second.status, 409);
  assert.match(second.json.detail, /already/);
  await runNextOperation(platform, 'test', operationHandlers);
  const done = (await call(`GET /operations/${started.json.id}`)).json;
  assert.deepEqual([done.state, done.freedBytes, done.progress], ['done', 10, { repositories: 1, links: 1 }]);
  assert.equal((await call('GET /registries/acme')).json.status, 'active');
});

test('what a collection cannot be asked is refused with a reason', async (t) => {
  const { call } = await openNative(t);
  assert.equal((await call(`POST ${path}`, { body: { deleteUntagged: 'yes' } })).status, 400);
  assert.equal((await call(`POST ${path}`, { body: { untagged: true } })).status, 400);
  assert.equal((await call('POST /registries/nothing/garbage-collection', { body: {} })).status, 404);
  assert.equal((await call('GET /registries/nothing/garbage-collection')).status, 404);
});
