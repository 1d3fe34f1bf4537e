import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newObjectKey } from '#core/ids.ts';
import type { Scope } from './database.ts';
import { findBroken, findRestless } from './invariants.ts';
import { pushBlob } from './oci-client.ts';
import { openRegistry, type Registry } from './registry-client.ts';
import { listKeys } from './store-view.ts';

// Tests end by asking whether anything is broken, and that is worth what it would find. On each kind of store.

async function openWithBlob(t: Scope): Promise<Registry & { key: string }> {
  const registry = await openRegistry(t);
  await pushBlob(registry.owner, 'acme/app', 'a layer');
  const { key } = await registry.platform.db.selectFrom('objects').select('key').executeTakeFirstOrThrow();
  assert.deepEqual(await findBroken(registry.platform), []);
  return { ...registry, key };
}

async function* once(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
}

test('what lies in the store is listed, whole or not, and nothing else', async (t) => {
  const { platform, key } = await openWithBlob(t);
  const { storeView, blobs } = platform;
  const half = newObjectKey();
  await storeView.leaveUnfinished(half);
  assert.deepEqual(await storeView.listObjects(), new Map([[key, 7]]));
  assert.deepEqual(await storeView.listUnfinished(), [half]);
  assert.deepEqual(await listKeys(storeView), new Set([half, key]));
  assert.equal((await storeView.readObject(key)).toString(), 'a layer');
  await blobs.check();
  for (const one of [half, key]) await blobs.remove(one);
  assert.deepEqual(await listKeys(storeView), new Set());
});

test('bytes that no row speaks of are found, finished or not', async (t) => {
  const { platform } = await openWithBlob(t);
  const [whole, half] = [newObjectKey(), newObjectKey()];
  await platform.blobs.write(whole, once('nobody knows me'));
  await platform.storeView.leaveUnfinished(half);
  const unowned = [whole, half].map((key) => `bytes without a row in objects: ${key}`);
  assert.deepEqual((await findBroken(platform)).toSorted(), unowned.toSorted());
});

test('a write that has not ended is found where nothing may be left', async (t) => {
  const { platform, key } = await openWithBlob(t);
  await platform.storeView.leaveUnfinished(key);
  assert.deepEqual(await findBroken(platform), [], 'its row is there');
  assert.deepEqual(await findRestless(platform), [`a write at rest: ${key}`]);
});

test('an object that was lost, cut or changed is found', async (t) => {
  const { platform, key } = await openWithBlob(t);
  const { storeView } = platform;
  await storeView.replaceObject(key, Buffer.from('A layer'));
  assert.match((await findBroken(platform)).join(), /^an object with other bytes: [^,]+$/);
  await storeView.replaceObject(key, Buffer.from('a la'));
  assert.match((await findBroken(platform)).join(), /^a stored object of the wrong size: \S+ has 4 bytes, [^,]+ 7$/);
  await storeView.loseObject(key);
  assert.deepEqual(await findBroken(platform), [`a stored object without its bytes: ${key}`]);
});
