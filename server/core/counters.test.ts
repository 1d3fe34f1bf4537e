import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { findBroken } from '#test/invariants.ts';
import { type Native, openNative } from '#test/native-client.ts';
import { digestOf, imageType } from '#test/oci-client.ts';
import { operationHandlers } from './operation-handlers.ts';
import { runNextOperation } from './operation-runs.ts';

// The counters after each thing that changes them, and that each is what a recount finds.

const indexType = 'application/vnd.oci.image.index.v1+json';
const repository = '/registries/acme/repositories/app';

async function open(t: TestContext) {
  const native = await openNative(t);
  return { ...native, ...actionsOf(native) };
}

function actionsOf({ oci, call, platform }: Native) {
  return {
    /** An empty index: content as small as it can be. */
    async push(reference: string, note: string, more: object = {}): Promise<string> {
      const body = JSON.stringify({
        schemaVersion: 2,
        mediaType: indexType,
        manifests: [],
        ...more,
        annotations: { note },
      });
      const path = `/v2/acme/app/manifests/${reference === '' ? digestOf(body) : reference}`;
      const answer = await oci('PUT', path, { headers: { 'content-type': indexType }, body });
      assert.equal(answer.status, 201, answer.text);
      return digestOf(body);
    },
    async remove(reference: string): Promise<void> {
      const { status, text } = await oci('DELETE', `/v2/acme/app/manifests/${reference}`);
      assert.equal(status, 202, text);
    },
    async expect(images: number, tags: number): Promise<void> {
      const { json } = await call(`GET ${repository}`);
      assert.deepEqual([json.imageCount, json.tagCount], [images, tags]);
      assert.deepEqual(await findBroken(platform), []);
    },
  };
}

const signatureOf = (digest: string) => `${digest.replace(':', '-')}.sig`;

test('images and tags are counted as they are pushed, pushed again, moved and removed', async (t) => {
  const { push, remove, expect } = await open(t);
  const first = await push('v1', 'one');
  await expect(1, 1);
  await push('v1', 'one');
  await push('latest', 'one');
  await expect(1, 2);
  const second = await push('latest', 'two');
  await expect(2, 2);
  await push(`${second}?tag=a&tag=b&tag=latest`, 'two');
  await expect(2, 4);
  await remove('v1');
  await expect(2, 3);
  await remove(first);
  await expect(1, 3);
  await remove(second);
  await expect(0, 0);
});

test('a referrer never counts as an image, whatever its tags', async (t) => {
  const { push, remove, expect } = await open(t);
  const digest = await push('v1', 'image');
  const subject = { subject: { mediaType: imageType, digest, size: 1 } };
  const referrer = await push('', 'referrer', subject);
  await push('sbom', 'referrer', subject);
  await expect(1, 2);
  await remove('sbom');
  await remove(referrer);
  await expect(1, 1);
});

test('a manifest is an attachment as long as all its tags belong to a subject', async (t) => {
  const { push, remove, expect } = await open(t);
  const image = await push('v1', 'image');
  await push(signatureOf(image), 'signature');
  await expect(1, 2);
  await push('my-signature', 'signature');
  await expect(2, 3);
  await push('my-signature', 'other');
  await expect(2, 3);
  await push(signatureOf(image), 'other');
  await expect(3, 3);
  await remove('my-signature');
  await expect(2, 2);
  await remove(signatureOf(image));
  await expect(3, 1);
});

test('a signature that came before its image stops being one of its own when the image comes', async (t) => {
  const { push, remove, expect } = await open(t);
  const image = await push('', 'image');
  await remove(image);
  const signature = await push(signatureOf(image), 'signature');
  await expect(1, 1);
  await push('v1', 'image');
  await expect(1, 2);
  await remove(image);
  await expect(0, 1);
  await remove(signature);
  await expect(0, 0);
});

test('a registry counts the repositories it lists: from the first manifest on, until they are deleted', async (t) => {
  const { push, remove, call, platform, oci } = await open(t);
  const count = async () => {
    assert.deepEqual(await findBroken(platform), []);
    return (await call('GET /registries/acme')).json.repositoryCount;
  };
  await oci('POST', '/v2/acme/app/blobs/uploads/');
  assert.equal(await count(), 0);
  await remove(await push('', 'first'));
  assert.equal(await count(), 1, 'an emptied repository is listed until a collection finds nothing in it');
  await push('v1', 'second');
  assert.equal(await count(), 1);
  assert.equal((await call(`DELETE ${repository}`)).status, 202, 'an open upload keeps it from going at once');
  assert.equal(await count(), 0);
  await push('v1', 'second');
  assert.equal(await count(), 1, 'the name is free again');
  await runNextOperation(platform, 'test', operationHandlers);
  assert.equal(await count(), 1);
  assert.equal((await call(`DELETE ${repository}`)).status, 204);
  assert.equal(await count(), 0);
});
