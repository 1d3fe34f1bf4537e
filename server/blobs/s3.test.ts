import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { test } from 'node:test';
import { newObjectKey } from '#core/ids.ts';
import {
  cutAfter,
  empty,
  listAll,
  MiB,
  openFaulty,
  openStore,
  prefix,
  sha256,
  testOnS3,
  unavailable,
  writeNew,
} from '#test/s3-world.ts';
import { readAll, testBlobStore } from './blob-store.contract.ts';

testOnS3(() => {
  testBlobStore('s3', async (t) => (await openStore(t)).store);

  test('objects of every size come back, and no unfinished upload stays behind', async (t) => {
    const { store, bucket } = await openStore(t);
    const sizes = [0, 1, 5 * MiB - 1, 5 * MiB, 5 * MiB + 1, 8 * MiB - 1, 8 * MiB, 8 * MiB + 1, 16 * MiB, 64 * MiB];
    const keys: string[] = [];
    for (const size of sizes) {
      const { key, bytes } = await writeNew(store, size);
      keys.push(key);
      assert.equal(await store.size(key), size);
      assert.equal(sha256((await readAll(store, key)) ?? assert.fail()), sha256(bytes), `${size} bytes`);
    }
    assert.deepEqual(await listAll(bucket), { objects: keys.toSorted(), uploads: [] });
  });

  test('the whole of an empty object is a range too', async (t) => {
    const { store } = await openStore(t);
    const { key } = await writeNew(store, 0);
    assert.equal((await readAll(store, key, { start: 0, end: -1 }))?.length, 0);
  });

  test('an object shorter than the range is an error, never a short answer', async (t) => {
    const { store } = await openStore(t);
    const { key } = await writeNew(store, 1000);
    await assert.rejects(store.read(key, { start: 0, end: 1000 }), /1000 bytes .* not the 1001/);
    await assert.rejects(store.read(key, { start: 2000, end: 3000 }));
  });

  test('of a large body that breaks off neither an object nor a part remains', async (t) => {
    const { store, bucket } = await openStore(t);
    for (const size of [MiB, 9 * MiB, 40 * MiB]) {
      await assert.rejects(store.write(newObjectKey(), cutAfter(randomBytes(size))), /the line was cut/);
      assert.deepEqual(await listAll(bucket), empty, `${size} bytes`);
    }
  });

  test('small, large and empty parts are joined, the large ones on the server', async (t) => {
    const { proxy, store, bucket } = await openFaulty(t);
    const sizes = [
      6 * MiB,
      1,
      12 * MiB,
      5 * MiB - 1,
      0,
      ...Array.from({ length: 40 }, (_, n) => n * 1000),
      20 * MiB,
      3,
    ];
    const parts: { key: string; bytes: Buffer }[] = [];
    for (const size of sizes) parts.push(await writeNew(store, size));
    const whole = Buffer.concat(parts.map(({ bytes }) => bytes));
    const [joined, keys] = [newObjectKey(), parts.map(({ key }) => key)];
    proxy.seen.length = 0;
    assert.equal(await store.join(joined, keys), whole.length);
    const large = [sizes.indexOf(6 * MiB), sizes.indexOf(20 * MiB)].map((n) => keys[n] ?? '');
    const readHere = proxy.seen.filter((line) => line.startsWith('GET') && line.includes(large[0] ?? ''));
    assert.deepEqual(readHere, []);
    assert.equal(sha256((await readAll(store, joined)) ?? assert.fail()), sha256(whole));
    for (const key of keys) await store.remove(key);
    assert.deepEqual(await listAll(bucket), { objects: [joined], uploads: [] });
  });

  test('memory does not grow with the object', async (t) => {
    const { store } = await openStore(t);
    const chunk = randomBytes(64 * 1024);
    let peak = 0;
    let before = 0;
    async function* gibibyte() {
      for (let n = 0; n < 1024 * 16; n++) {
        // What the first 128 MiB take is what there is: pieces on their way and their spares.
        if (n === 128 * 16) before = process.memoryUsage().rss;
        if (n % 64 === 0) peak = Math.max(peak, process.memoryUsage().rss);
        // A chunk of a socket is memory of its own.
        yield Buffer.from(chunk);
      }
    }
    const key = newObjectKey();
    assert.equal(await store.write(key, gibibyte()), 1024 * MiB);
    t.diagnostic(`${Math.round(before / MiB)} MiB after 128 MiB, ${Math.round(peak / MiB)} MiB at most`);
    assert.ok(peak - before < 128 * MiB, `${before} grew to ${peak}`);
    await store.remove(key);
  });

  test('memory does not grow with the number of writers', async (t) => {
    const { store } = await openStore(t);
    const chunk = randomBytes(64 * 1024);
    const before = process.memoryUsage().arrayBuffers;
    let peak = 0;
    async function* bytes() {
      for (let n = 0; n < 16 * 17; n++) {
        peak = Math.max(peak, process.memoryUsage().arrayBuffers);
        yield Buffer.from(chunk);
      }
    }
    const keys = Array.from({ length: 40 }, newObjectKey);
    await Promise.all(keys.map(async (key) => assert.equal(await store.write(key, bytes()), 17 * MiB)));
    t.diagnostic(`${Math.round(before / MiB)} MiB before, ${Math.round(peak / MiB)} MiB at most`);
    // 128 MiB that all share, a quarter of one for each that waits, and what the collector has not come to.
    assert.ok(peak - before < 300 * MiB, `${before} grew to ${peak}`);
    await Promise.all(keys.map((key) => store.remove(key, { isWhole: true })));
  });

  test('a hundred reads at once each get their own bytes', async (t) => {
    const { store } = await openStore(t);
    const objects: { key: string; bytes: Buffer }[] = [];
    for (let n = 0; n < 10; n++) objects.push(await writeNew(store, MiB + n));
    const reads = Array.from({ length: 100 }, async (_, n) => {
      const { key, bytes } = objects[n % 10] ?? assert.fail();
      const range = { start: n, end: bytes.length - 1 };
      assert.ok((await readAll(store, key, range))?.equals(bytes.subarray(n)));
    });
    await Promise.all(reads);
  });

  test('a read that is given up holds no connection', async (t) => {
    const { store } = await openStore(t);
    const { key } = await writeNew(store, 8 * MiB);
    const before = countConnections();
    for (let n = 0; n < 20; n++) {
      const stream = (await store.read(key)) ?? assert.fail();
      if (n % 2) await once(stream, 'readable');
      stream.destroy();
      await once(stream, 'close');
    }
    // Some of an earlier test may be ending yet.
    const more = countConnections() - before;
    assert.ok(more < 10, `${more} connections`);
  });

  test('removing what was whole is one request', async (t) => {
    const { proxy, store, bucket } = await openFaulty(t);
    const { key } = await writeNew(store, 9 * MiB);
    proxy.seen.length = 0;
    await store.remove(key, { isWhole: true });
    assert.deepEqual(proxy.seen, [`DELETE /${bucket}/${prefix}/${key}`]);
    await store.remove(key, { isWhole: false });
    assert.equal(proxy.seen.length, 3);
    assert.deepEqual(await listAll(bucket), empty);
  });

  test('an upload that was begun unheard does not outlast the one that was', async (t) => {
    const { proxy, store, bucket } = await openFaulty(t);
    let begun = 0;
    proxy.fault = ({ method, url }) =>
      method === 'POST' && url?.includes('?uploads') && begun++ === 0 ? { loseAnswer: true } : undefined;
    const { key } = await writeNew(store, 9 * MiB);
    assert.equal(begun, 2);
    assert.deepEqual(await listAll(bucket), { objects: [key], uploads: [] });
  });

  test('readiness writes to the bucket now and then, and leaves nothing in it', async (t) => {
    const { proxy, store, bucket } = await openFaulty(t);
    for (let n = 0; n < 10; n++) await store.check();
    assert.deepEqual(
      proxy.seen.map((line) => line.split(' ')[0]),
      ['PUT', 'DELETE'],
    );
    assert.deepEqual(await listAll(bucket), empty);
  });

  test('a bucket that keeps what is removed is known', async (t) => {
    const { proxy, store } = await openFaulty(t);
    assert.equal(await store.keepsVersions(), false);
    const body = '<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>';
    proxy.fault = ({ url }) => (url?.includes('versioning') ? { answer: 200, body } : undefined);
    assert.equal(await store.keepsVersions(), true);
    proxy.fault = () => ({ answer: 403, body: '<Error><Code>AccessDenied</Code><Message>no</Message></Error>' });
    await assert.rejects(store.keepsVersions(), unavailable(/refuses our credentials/));
  });

  test('a client may read the object itself at a signed URL, whole or in part, and only where that is wanted', async (t) => {
    const { store } = await openStore(t, { redirects: true });
    const { key, bytes } = await writeNew(store, 100_000);
    const url = (await store.redirect?.(key)) ?? assert.fail();
    assert.ok(Buffer.from(await (await fetch(url)).arrayBuffer()).equals(bytes));
    const part = await fetch(url, { headers: { range: 'bytes=10-19' } });
    assert.equal(part.status, 206);
    assert.ok(Buffer.from(await part.arrayBuffer()).equals(bytes.subarray(10, 20)));
    assert.equal(new URL(url).searchParams.get('X-Amz-Expires'), '300');
    const other = url.replace(key, newObjectKey());
    assert.equal((await fetch(other)).status, 403);
    assert.equal((await openStore(t)).store.redirect, undefined);
  });
});

const countConnections = () => process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length;
