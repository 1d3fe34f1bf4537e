import assert from 'node:assert/strict';
import { test } from 'node:test';
import { operationHandlers } from '#core/operation-handlers.ts';
import { runNextOperation } from '#core/operation-runs.ts';
import { digestOf, imageType, pushBlob, pushImage } from '#test/oci-client.ts';
import { openSelectel, type Selectel } from '#test/selectel-client.ts';

async function openGarbage(t: Parameters<typeof openSelectel>[0]) {
  const selectel = await openSelectel(t);
  const registry = `/registries/${selectel.team.registryId}`;
  const show = async () => (await selectel.call(`GET /v1${registry}`)).json;
  return { ...selectel, show, path: `/v1${registry}/garbage-collection` };
}

/** A blob that nothing needs and an image without tags; the rest is tagged. All leases have ended. */
async function litter({ oci, clock }: Selectel): Promise<void> {
  await pushImage(oci, 'acme/app', 'v1', ['kept']);
  await pushBlob(oci, 'acme/app', 'needed by nobody');
  const [config, layer] = [await pushBlob(oci, 'acme/app', '{}'), await pushBlob(oci, 'acme/app', 'untagged')];
  const body = JSON.stringify({
    schemaVersion: 2,
    mediaType: imageType,
    config: { mediaType: 'application/vnd.oci.empty.v1+json', digest: config, size: 2 },
    layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: layer, size: 8 }],
  });
  const url = `/v2/acme/app/manifests/${digestOf(body)}`;
  assert.equal((await oci('PUT', url, { headers: { 'content-type': imageType }, body })).status, 201);
  clock.advance(24 * 3600_000);
}

for (const deleteUntagged of [false, true]) {
  test(`a collection ${deleteUntagged ? 'with' : 'without'} untagged images frees what the size said`, async (t) => {
    const selectel = await openGarbage(t);
    const { call, path, show, platform } = selectel;
    await litter(selectel);
    const size = await call(`GET ${path}/size`);
    assert.equal(size.status, 200);
    const { sizeNonReferenced, sizeSummary, sizeUntagged } = size.json;
    assert.equal(sizeNonReferenced, 'needed by nobody'.length);
    assert.ok(sizeUntagged > 'untagged'.length);
    assert.deepEqual(size.json, { sizeNonReferenced, sizeSummary: sizeNonReferenced + sizeUntagged, sizeUntagged });

    const before = (await show()).size;
    const started = await call(`POST ${path}?delete-untagged=${deleteUntagged}`);
    assert.deepEqual([started.status, started.text], [201, '']);
    assert.equal((await show()).status, 'GARBAGE_COLLECTION');
    const again = await call(`POST ${path}`);
    assert.deepEqual([again.status, Object.keys(again.json)], [409, ['error']]);
    while (await runNextOperation(platform, 'test', operationHandlers));
    const { status, size: after } = await show();
    assert.deepEqual([status, before - after], ['ACTIVE', deleteUntagged ? sizeSummary : sizeNonReferenced]);
    const left = (await call(`GET ${path}/size`)).json;
    assert.equal(left.sizeSummary, deleteUntagged ? 0 : sizeUntagged);
  });
}

test('an empty registry has nothing to free', async (t) => {
  const { call, path } = await openGarbage(t);
  assert.deepEqual((await call(`GET ${path}/size`)).json, { sizeNonReferenced: 0, sizeSummary: 0, sizeUntagged: 0 });
});

test('a registry that is being deleted starts no collection', async (t) => {
  const { call, path, team } = await openGarbage(t);
  await call(`DELETE /v1/registries/${team.registryId}`);
  assert.equal((await call(`POST ${path}`)).status, 409);
});
