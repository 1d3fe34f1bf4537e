import assert from 'node:assert/strict';
import { test } from 'node:test';
import { operationHandlers } from '#core/operation-handlers.ts';
import { runNextOperation } from '#core/operation-runs.ts';
import { type Json, type Native, openNative } from '#test/native-client.ts';
import { pushBlob, pushImage } from '#test/oci-client.ts';

const repositories = '/registries/acme/repositories';
const work = ({ platform }: Native) => runNextOperation(platform, 'test', operationHandlers);
const names = (answer: Json) => answer.json.items.map((one: Json) => one.name);

test('a repository is listed from its first manifest on', async (t) => {
  const { call, oci, team, platform } = await openNative(t);
  await pushBlob(oci, 'acme/backend/api', 'only a blob');
  assert.deepEqual(names(await call(`GET ${repositories}`)), []);
  assert.equal((await call(`GET ${repositories}/backend%2Fapi`)).status, 404);
  platform.clock.advance(1000);
  await pushImage(oci, 'acme/backend/api', 'v1', ['a layer']);
  const { json, status } = await call(`GET ${repositories}/backend%2Fapi`);
  assert.equal(status, 200);
  assert.deepEqual((await call(`GET ${repositories}`)).json.items, [json]);
  const registry = (await call('GET /registries/acme')).json;
  assert.deepEqual(json, {
    id: json.id,
    name: 'backend/api',
    registryId: team.registryId,
    type: 'image',
    sizeBytes: registry.sizeBytes,
    imageCount: 1,
    tagCount: 1,
    createdAt: json.createdAt,
    updatedAt: new Date(platform.now()).toISOString(),
  });
});

test('repositories are searched, sorted by name and paged', async (t) => {
  const { call, oci } = await openNative(t);
  for (const name of ['web', 'api/v2', 'api/v1', 'db_x']) await pushImage(oci, `acme/${name}`, 'v1');
  assert.deepEqual(names(await call(`GET ${repositories}`)), ['api/v1', 'api/v2', 'db_x', 'web']);
  assert.deepEqual(names(await call(`GET ${repositories}?sort=-name&limit=2`)), ['web', 'db_x']);
  assert.deepEqual(names(await call(`GET ${repositories}?search=API`)), ['api/v1', 'api/v2']);
  assert.deepEqual(names(await call(`GET ${repositories}?search=_`)), ['db_x']);
  const first = await call(`GET ${repositories}?limit=3`);
  const second = await call(`GET ${repositories}?limit=3&cursor=${first.json.nextCursor}`);
  assert.deepEqual(names(second), ['web']);
  assert.equal(second.json.nextCursor, null);
});

test('what the newest tagged manifest is decides the type: signatures and untagged ones do not count', async (t) => {
  const { call, oci, platform } = await openNative(t);
  const digest = await pushBlob(oci, 'acme/chart', '{}');
  const helm = { mediaType: 'application/vnd.cncf.helm.config.v1+json', digest, size: 2 };
  const body = JSON.stringify({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: helm,
    layers: [],
  });
  const headers = { 'content-type': 'application/vnd.oci.image.manifest.v1+json' };
  const pushed = await oci('PUT', '/v2/acme/chart/manifests/1.0.0', { headers, body });
  assert.equal(pushed.status, 201);
  platform.clock.advance(1000);
  await pushImage(oci, 'acme/chart', `${pushed.headers['docker-content-digest']?.replace(':', '-')}.sig`);
  assert.equal((await call(`GET ${repositories}/chart`)).json.type, 'helm-chart');
  platform.clock.advance(1000);
  await pushImage(oci, 'acme/chart', 'image', ['newer']);
  assert.equal((await call(`GET ${repositories}/chart`)).json.type, 'image');
});

test('a small repository is gone with the answer, and all it held', async (t) => {
  const native = await openNative(t);
  const { call, oci, platform } = native;
  await pushImage(oci, 'acme/app', 'v1', ['one', 'two']);
  await pushImage(oci, 'acme/other', 'v1', ['two', 'three']);
  const other = (await call(`GET ${repositories}/other`)).json.sizeBytes;
  const deleted = await call(`DELETE ${repositories}/app`);
  assert.equal(deleted.status, 204);
  assert.equal(deleted.text, '');
  assert.equal((await call(`DELETE ${repositories}/app`)).status, 404);
  assert.equal(
    (await call('GET /registries/acme')).json.sizeBytes,
    other,
    'what the other shares is still charged once',
  );
  assert.equal((await oci('GET', '/v2/acme/app/manifests/v1')).status, 404);
  assert.equal((await oci('GET', '/v2/acme/other/manifests/v1')).status, 200);
  const rows = await platform.db.selectFrom('repositories').select('name').execute();
  assert.deepEqual(
    rows.map((row) => row.name),
    ['other'],
  );
  const [event] = (await call('GET /audit-events?action=repository.delete')).json.items;
  assert.equal(event.target.name, 'acme/app');
  assert.equal(await work(native), false, 'nothing is left for the background');
});

test('a large repository is out of reach with the answer, its name free, and emptied in the background', async (t) => {
  const native = await openNative(t);
  const { call, oci, platform } = native;
  const layers = Array.from({ length: 120 }, (_, i) => `layer ${i}`);
  await pushImage(oci, 'acme/app', 'v1', layers);
  await oci('POST', '/v2/acme/app/blobs/uploads/');
  const deleted = await call(`DELETE ${repositories}/app`);
  assert.equal(deleted.status, 202);
  assert.equal(deleted.json.kind, 'delete_repository');
  assert.equal((await call(`GET ${repositories}/app`)).status, 404);
  assert.deepEqual(names(await call(`GET ${repositories}`)), []);
  assert.equal((await oci('GET', '/v2/acme/app/manifests/v1')).status, 404);
  await pushImage(oci, 'acme/app', 'v2', ['new']);
  const fresh = (await call(`GET ${repositories}/app`)).json;
  assert.equal(await work(native), true);
  const operation = (await call(`GET /operations/${deleted.json.id}`)).json;
  assert.equal(operation.state, 'done');
  assert.ok(operation.freedBytes > 0);
  assert.equal((await call('GET /registries/acme')).json.sizeBytes, fresh.sizeBytes);
  assert.equal((await oci('GET', '/v2/acme/app/manifests/v2')).status, 200);
  assert.equal((await platform.db.selectFrom('uploads').select('id').execute()).length, 0);
  assert.equal((await platform.db.selectFrom('repositories').select('id').execute()).length, 1);
});

test('nothing in a registry that is being deleted can be changed', async (t) => {
  const native = await openNative(t);
  const { call, oci } = native;
  const digest = await pushImage(oci, 'acme/app', 'v1');
  await pushImage(
    oci,
    'acme/app',
    'v2',
    Array.from({ length: 101 }, (_, i) => `layer ${i}`),
  );
  await call(`DELETE ${repositories}/app`);
  await pushImage(oci, 'acme/app', 'v1');
  assert.equal((await call('DELETE /registries/acme')).status, 202);
  for (const path of ['app', `app/images/${digest}`, 'app/tags/v1']) {
    assert.equal((await call(`DELETE ${repositories}/${path}`)).status, 409, path);
  }
  // Both operations meet in the repository that is being emptied.
  while (await work(native));
  assert.equal((await call('GET /registries/acme')).status, 404);
  const states = (await call('GET /operations')).json.items.map((one: Json) => one.state);
  assert.deepEqual(states, ['done', 'done']);
});
