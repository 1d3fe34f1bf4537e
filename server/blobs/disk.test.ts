import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readlinkSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { newObjectKey } from '#core/ids.ts';
import { makeTestDirectory } from '#test/database.ts';
import { readAll, streamOf, testBlobStore } from './blob-store.contract.ts';
import { openDiskStore } from './disk.ts';

const MiB = 1024 * 1024;

testBlobStore('disk', (t) => openDiskStore(makeTestDirectory(t)));

test('no key reaches outside the directory', async (t) => {
  const dir = makeTestDirectory(t);
  writeFileSync(join(dir, 'secret'), 'outside');
  const store = await openDiskStore(join(dir, 'store'));
  const keys = [
    '../secret',
    'ab/../../secret',
    '/etc/passwd',
    '',
    '.',
    '..',
    'ab//cd',
    'ab/',
    'a\0b',
    'ab/cd.part',
    'a\\..\\b',
  ];
  for (const key of keys) {
    await assert.rejects(store.read(key), /not an object key/, key);
    await assert.rejects(store.size(key), /not an object key/, key);
    await assert.rejects(store.write(key, streamOf([])), /not an object key/, key);
    await assert.rejects(store.join(newObjectKey(), [key]), /not an object key/, key);
    await assert.rejects(store.remove(key), /not an object key/, key);
  }
  assert.deepEqual(listFiles(dir), ['secret']);
});

test('only whole objects are in the directory, readable by their owner only', async (t) => {
  const dir = makeTestDirectory(t);
  const store = await openDiskStore(dir);
  const key = newObjectKey();
  await store.write(key, streamOf([randomBytes(10)]));
  await store.check();
  assert.equal(await store.join(newObjectKey(), [key, newObjectKey()]), undefined);
  assert.deepEqual(listFiles(dir), [key]);
  assert.equal(statSync(join(dir, key)).mode & 0o777, 0o600);
});

test('an object that is open stays readable when it is removed', async (t) => {
  const store = await openDiskStore(makeTestDirectory(t));
  const [key, bytes] = [newObjectKey(), randomBytes(3 * MiB)];
  await store.write(key, streamOf([bytes]));
  const stream = await store.read(key);
  await store.remove(key);
  assert.ok(Buffer.concat((await stream?.toArray()) ?? []).equals(bytes));
});

test('removing an object that is being written ends the write in an error, and nothing remains', async (t) => {
  const dir = makeTestDirectory(t);
  const store = await openDiskStore(dir);
  const key = newObjectKey();
  async function* bytes() {
    yield randomBytes(MiB);
    await store.remove(key);
    yield randomBytes(MiB);
  }
  await assert.rejects(store.write(key, bytes()), { reason: 'unavailable', message: /interrupted for too long/ });
  assert.deepEqual(listFiles(dir), []);
});

test('what an earlier process left of a write is removed with its key', async (t) => {
  const dir = makeTestDirectory(t);
  const store = await openDiskStore(dir);
  mkdirSync(join(dir, 'ab'));
  writeFileSync(join(dir, 'ab/ab12.part'), 'half');
  await store.remove('ab/ab12');
  assert.deepEqual(listFiles(dir), []);
});

test('a file shorter than the range is an error, never a short answer', async (t) => {
  const dir = makeTestDirectory(t);
  const store = await openDiskStore(dir);
  const key = newObjectKey();
  await store.write(key, streamOf([randomBytes(MiB)]));
  truncateSync(join(dir, key), 1000);
  await assert.rejects(readAll(store, key, { start: 0, end: MiB - 1 }), /ends at 1000/);
});

test('a chunk that was given back carries later bytes, and readers at the same time get only their own', async (t) => {
  const store = await openDiskStore(makeTestDirectory(t));
  const objects = [1, 2].map(() => ({ key: newObjectKey(), bytes: randomBytes(5 * MiB + 1) }));
  for (const { key, bytes } of objects) await store.write(key, streamOf([bytes]));
  const memory = new Set<ArrayBufferLike>();
  let chunks = 0;
  for (let round = 0; round < 3; round++) {
    const reads = objects.map(async ({ key, bytes }) => {
      const stream = (await store.read(key)) ?? assert.fail();
      const copies: Buffer[] = [];
      for await (const chunk of stream) {
        copies.push(Buffer.from(chunk));
        memory.add(chunk.buffer);
        chunks++;
        stream.giveBack?.(chunk);
      }
      assert.ok(Buffer.concat(copies).equals(bytes));
    });
    await Promise.all(reads);
  }
  assert.ok(memory.size < chunks / 3, `${memory.size} buffers for ${chunks} chunks`);
});

test('an error that is not "not there" is not taken for it', async (t) => {
  const dir = makeTestDirectory(t);
  const store = await openDiskStore(dir);
  writeFileSync(join(dir, 'ab'), 'a file where a folder should be');
  await assert.rejects(store.read('ab/ab12'), { code: 'ENOTDIR' });
  await assert.rejects(store.size('ab/ab12'), { code: 'ENOTDIR' });
  await assert.rejects(store.remove('ab/ab12'), { code: 'ENOTDIR' });
});

test('no file stays open: read to the end, given up, or broken off', async (t) => {
  const dir = makeTestDirectory(t);
  const store = await openDiskStore(dir);
  const key = newObjectKey();
  await store.write(key, streamOf([randomBytes(3 * MiB)]));
  await readAll(store, key);
  for (const giveUpAfter of [0, 1]) {
    const stream = await store.read(key);
    if (giveUpAfter) await once(stream ?? assert.fail(), 'readable');
    stream?.destroy();
    await once(stream ?? assert.fail(), 'close');
  }
  await assert.rejects(store.write(newObjectKey(), breakingOff()));
  assert.deepEqual(openFilesBelow(dir), []);
});

test('a full disk is refused as unavailable, and all goes on when there is space again', async (t) => {
  const unmount = { dir: '' };
  t.after(() => unmount.dir && execFileSync('umount', [unmount.dir]));
  const dir = makeTestDirectory(t);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', dir], { stdio: 'ignore' });
  } catch {
    return t.skip('needs the right to mount a small file system');
  }
  unmount.dir = dir;
  const store = await openDiskStore(dir);
  const full = { reason: 'unavailable', message: /^The disk that holds the images is full/ };
  const [first, second] = [newObjectKey(), newObjectKey()];
  await store.write(first, streamOf([randomBytes(3 * MiB)]));
  await assert.rejects(store.write(second, streamOf([randomBytes(MiB), randomBytes(2 * MiB)])), full);
  assert.deepEqual(listFiles(dir), [first]);
  await assert.rejects(store.write(second, endlessly()), full);
  await store.remove(first);
  await store.write(second, streamOf([randomBytes(2 * MiB)]));
  await store.check();
});

test('readiness fails when the directory is gone', async (t) => {
  const dir = makeTestDirectory(t);
  const store = await openDiskStore(join(dir, 'store'));
  execFileSync('rm', ['-r', join(dir, 'store')]);
  await assert.rejects(store.check(), { code: 'ENOENT' });
});

function listFiles(dir: string): string[] {
  return readdirSync(dir, { recursive: true, encoding: 'utf8' }).filter((name) => statSync(join(dir, name)).isFile());
}

function openFilesBelow(dir: string): string[] {
  const links = readdirSync('/proc/self/fd').map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return '';
    }
  });
  return links.filter((path) => path.startsWith(dir));
}

async function* breakingOff(): AsyncGenerator<Uint8Array> {
  yield randomBytes(2 * MiB);
  throw new Error('the line was cut');
}

async function* endlessly(): AsyncGenerator<Uint8Array> {
  for (;;) yield randomBytes(100_000);
}
