import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { newObjectKey } from '#core/ids.ts';
import type { BlobStore, ByteRange } from '#core/platform.ts';
import type { Scope } from '#test/database.ts';

// What the core relies on in every blob store.

const MiB = 1024 * 1024;

export function testBlobStore(name: string, open: (t: Scope) => Promise<BlobStore>): void {
  const on = (guarantee: string) => `${name}: ${guarantee}`;

  test(on('bytes come back as they were written, whatever the chunks'), async (t) => {
    const store = await open(t);
    const sizes = [0, 1, 1000, 256 * 1024 - 1, 256 * 1024, MiB, MiB + 1, 3 * MiB + 7];
    for (const size of sizes) {
      const bytes = randomBytes(size);
      for (const chunk of [size > MiB ? 50_000 : 999, 64 * 1024, 5 * MiB]) {
        const key = newObjectKey();
        assert.equal(await store.write(key, chunksOf(bytes, chunk)), size);
        assert.equal(await store.size(key), size);
        assert.ok((await readAll(store, key))?.equals(bytes), `${size} bytes in chunks of ${chunk}`);
      }
    }
  });

  test(on('empty chunks change nothing'), async (t) => {
    const store = await open(t);
    const key = newObjectKey();
    const chunks = [Buffer.alloc(0), Buffer.from('ab'), Buffer.alloc(0), Buffer.from('c'), Buffer.alloc(0)];
    assert.equal(await store.write(key, streamOf(chunks)), 3);
    assert.equal((await readAll(store, key))?.toString(), 'abc');
  });

  test(on('a range is read with both ends'), async (t) => {
    const store = await open(t);
    const bytes = randomBytes(3 * MiB);
    const key = newObjectKey();
    await store.write(key, chunksOf(bytes, 100_000));
    const last = bytes.length - 1;
    const ranges: ByteRange[] = [
      { start: 0, end: 0 },
      { start: 0, end: last },
      { start: last, end: last },
      { start: 512 * 1024 - 1, end: 512 * 1024 },
      { start: 12_345, end: 2_345_678 },
    ];
    for (const range of ranges) {
      const expected = bytes.subarray(range.start, range.end + 1);
      assert.ok((await readAll(store, key, range))?.equals(expected), JSON.stringify(range));
    }
  });

  test(on('what is not there is undefined, and removing it succeeds'), async (t) => {
    const store = await open(t);
    const key = newObjectKey();
    assert.equal(await store.read(key), undefined);
    assert.equal(await store.read(key, { start: 0, end: 5 }), undefined);
    assert.equal(await store.size(key), undefined);
    await store.remove(key);
  });

  test(on('a removed object is gone, and no other with it'), async (t) => {
    const store = await open(t);
    const [gone, kept] = [newObjectKey(), newObjectKey()];
    for (const key of [gone, kept]) await store.write(key, streamOf([Buffer.from(key)]));
    await store.remove(gone);
    await store.remove(gone);
    assert.equal(await store.read(gone), undefined);
    assert.equal(await store.size(gone), undefined);
    assert.equal((await readAll(store, kept))?.toString(), kept);
  });

  test(on('of a body that breaks off nothing remains'), async (t) => {
    const store = await open(t);
    for (const size of [0, 10, 3 * MiB]) {
      const key = newObjectKey();
      await assert.rejects(store.write(key, cutAfter(size)), /cut/);
      assert.equal(await store.size(key), undefined);
      assert.equal(await store.read(key), undefined);
      await store.remove(key);
    }
  });

  test(on('an object is not there before it is whole'), async (t) => {
    const store = await open(t);
    const key = newObjectKey();
    const { promise: looked, resolve: goOn } = Promise.withResolvers<void>();
    async function* bytes() {
      yield randomBytes(2 * MiB);
      assert.equal(await store.size(key), undefined);
      assert.equal(await store.read(key), undefined);
      goOn();
      yield randomBytes(10);
    }
    const written = store.write(key, bytes());
    await looked;
    assert.equal(await written, 2 * MiB + 10);
    assert.equal(await store.size(key), 2 * MiB + 10);
  });

  test(on('joined parts are one object in their order, and stay what they were'), async (t) => {
    const store = await open(t);
    const parts = await Promise.all(
      [5, 0, 2 * MiB, 1, MiB].map(async (size) => {
        const [key, bytes] = [newObjectKey(), randomBytes(size)];
        await store.write(key, chunksOf(bytes, 64 * 1024));
        return { key, bytes };
      }),
    );
    const whole = Buffer.concat(parts.map(({ bytes }) => bytes));
    const joined = newObjectKey();
    const keys = parts.map(({ key }) => key);
    assert.equal(await store.join(joined, keys), whole.length);
    assert.ok((await readAll(store, joined))?.equals(whole));
    for (const { key, bytes } of parts) assert.ok((await readAll(store, key))?.equals(bytes));
    for (const key of keys) await store.remove(key);
    assert.ok((await readAll(store, joined))?.equals(whole), 'the parts may go');
  });

  test(on('joining without one of the parts says so and leaves nothing'), async (t) => {
    const store = await open(t);
    const [there, missing, joined] = [newObjectKey(), newObjectKey(), newObjectKey()];
    await store.write(there, streamOf([randomBytes(MiB)]));
    assert.equal(await store.join(joined, [there, missing]), undefined);
    assert.equal(await store.size(joined), undefined);
    assert.equal(await store.size(there), MiB);
  });

  test(on('a hundred writers at once each get their own bytes'), async (t) => {
    const store = await open(t);
    const objects = Array.from({ length: 100 }, (_, n) => ({ key: newObjectKey(), bytes: randomBytes(300_000 + n) }));
    await Promise.all(objects.map(({ key, bytes }) => store.write(key, chunksOf(bytes, 17_000))));
    for (const { key, bytes } of objects) assert.ok((await readAll(store, key))?.equals(bytes));
  });

  test(on('a store that can take a write says so'), async (t) => {
    const store = await open(t);
    await store.check();
  });
}

export async function readAll(store: BlobStore, key: string, range?: ByteRange): Promise<Buffer | undefined> {
  const stream = await store.read(key, range);
  return stream && Buffer.concat(await stream.toArray());
}

export async function* streamOf(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks;
}

async function* chunksOf(bytes: Buffer, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function* cutAfter(size: number): AsyncGenerator<Uint8Array> {
  if (size > 0) yield randomBytes(size);
  throw new Error('the line was cut');
}
