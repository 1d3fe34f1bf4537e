import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import {
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  ListPartsCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { newObjectKey } from '#core/ids.ts';
import type { Scope } from '#test/database.ts';
import { type FaultProxy, startFaultProxy } from '#test/servers/fault-proxy.ts';
import { type S3Server, s3ServerProgram, startS3 } from '#test/servers/s3.ts';
import { readAll, streamOf, testBlobStore } from './blob-store.contract.ts';
import { openS3Store, type S3Store } from './s3.ts';

const MiB = 1024 * 1024;
const prefix = 'some/where';

let server: S3Server;

/** Credentials are what the AWS clients find, and nothing of ours has a place for them. */
async function startServer(): Promise<void> {
  server = await startS3();
  process.env.AWS_ACCESS_KEY_ID = server.credentials.accessKeyId;
  process.env.AWS_SECRET_ACCESS_KEY = server.credentials.secretAccessKey;
}

type Opened = { store: S3Store; bucket: string };

async function openStore(t: Scope, { endpoint = server.endpoint, redirects = false } = {}): Promise<Opened> {
  const bucket = await server.makeBucket();
  const store = openS3Store({ bucket, prefix, endpoint, region: undefined, isPathStyle: true }, { redirects });
  t.after(() => store.close());
  return { store, bucket };
}

/** A store behind a proxy that spoils what the test tells it to. */
async function openFaulty(t: Scope): Promise<Opened & { proxy: FaultProxy }> {
  const proxy = await startFaultProxy(t, server.endpoint);
  return { proxy, ...(await openStore(t, { endpoint: proxy.url })) };
}

/** Everything in the bucket, finished or not, without the prefix. */
async function listAll(bucket: string): Promise<{ objects: string[]; uploads: string[] }> {
  const [objects, uploads] = await Promise.all([
    server.client.send(new ListObjectsV2Command({ Bucket: bucket })),
    server.client.send(new ListMultipartUploadsCommand({ Bucket: bucket })),
  ]);
  const withoutPrefix = (key = '') => key.slice(prefix.length + 1);
  return {
    objects: (objects.Contents ?? []).map(({ Key }) => withoutPrefix(Key)),
    uploads: (uploads.Uploads ?? []).map(({ Key }) => withoutPrefix(Key)),
  };
}

async function partsArrived(bucket: string, key: string, count: number): Promise<void> {
  for (;;) {
    const { Uploads = [] } = await server.client.send(new ListMultipartUploadsCommand({ Bucket: bucket }));
    const UploadId = Uploads.find(({ Key }) => Key === `${prefix}/${key}`)?.UploadId;
    const upload = { Bucket: bucket, Key: `${prefix}/${key}`, UploadId };
    const { Parts = [] } = await server.client.send(new ListPartsCommand(upload));
    if (Parts.length === count) return;
  }
}

const empty = { objects: [], uploads: [] };
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const unavailable = (message: RegExp) => ({ reason: 'unavailable', message });

async function* inChunks(bytes: Buffer, size = 100_000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function* cutAfter(bytes: Buffer): AsyncGenerator<Uint8Array> {
  yield* inChunks(bytes);
  throw new Error('the line was cut');
}

async function writeNew(store: S3Store, size: number): Promise<{ key: string; bytes: Buffer }> {
  const [key, bytes] = [newObjectKey(), randomBytes(size)];
  assert.equal(await store.write(key, inChunks(bytes)), size);
  return { key, bytes };
}

function testOnServer(): void {
  before(startServer);
  after(() => server.stop());

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

  test('joining large parts of which one is gone leaves neither an object nor a part', async (t) => {
    const { proxy, store, bucket } = await openFaulty(t);
    const [first, gone] = [await writeNew(store, 6 * MiB), await writeNew(store, 6 * MiB)];
    // It goes after it was asked for its size.
    proxy.fault = ({ method, url }) => {
      const isCopy = method === 'PUT' && url?.includes('partNumber=2');
      if (isCopy) return { answer: 404, body: '<Error><Code>NoSuchKey</Code><Message>gone</Message></Error>' };
      return undefined;
    };
    assert.equal(await store.join(newObjectKey(), [first.key, gone.key]), undefined);
    proxy.fault = () => undefined;
    assert.deepEqual(await listAll(bucket), { objects: [first.key, gone.key].toSorted(), uploads: [] });
  });

  test('removing an object that is being written ends the write in an error, and nothing remains', async (t) => {
    const { store, bucket } = await openStore(t);
    const key = newObjectKey();
    async function* bytes() {
      yield* inChunks(randomBytes(20 * MiB));
      // A part that arrives during the abort may outlive it, on AWS too: then the second removal, a day later, takes it.
      await partsArrived(bucket, key, 2);
      await store.remove(key);
      yield randomBytes(20 * MiB);
    }
    await assert.rejects(store.write(key, bytes()), unavailable(/interrupted for too long/));
    assert.deepEqual(await listAll(bucket), empty);
  });

  test('what an earlier process left of a write is removed with its key, and nothing of other keys', async (t) => {
    const { store, bucket } = await openStore(t);
    const key = newObjectKey();
    for (const Key of [`${prefix}/${key}`, `${prefix}/${key}`, `${prefix}/${key}0`]) {
      const upload = { Bucket: bucket, Key };
      const { UploadId } = await server.client.send(new CreateMultipartUploadCommand(upload));
      const part = { ...upload, UploadId, PartNumber: 1, Body: randomBytes(MiB) };
      await server.client.send(new UploadPartCommand(part));
    }
    await store.remove(key);
    assert.deepEqual(await listAll(bucket), { objects: [], uploads: [`${key}0`] });
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
    for (let n = 0; n < 20; n++) {
      const stream = (await store.read(key)) ?? assert.fail();
      if (n % 2) await once(stream, 'readable');
      stream.destroy();
      await once(stream, 'close');
    }
    const open = process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length;
    assert.ok(open < 10, `${open} connections`);
  });

  test('connections that are cut, answers that are lost and busy answers end in whole objects', async (t) => {
    const { proxy, store, bucket } = await openFaulty(t);
    const slowDown = '<Error><Code>SlowDown</Code><Message>slow down</Message></Error>';
    const faults = [
      { cutRequestAfter: 100_000 },
      { loseAnswer: true },
      { answer: 500 },
      { answer: 503, body: slowDown },
    ] as const;
    for (const fault of faults) {
      const spoilt = new Set<string>();
      // The first attempt at each request, whatever it is for.
      proxy.fault = ({ method, url }) => {
        const request = `${method} ${url}`.replace(/uploadId=[^&]*/, '');
        if (spoilt.has(request)) return undefined;
        spoilt.add(request);
        return fault;
      };
      const { key, bytes } = await writeNew(store, 20 * MiB);
      assert.equal(sha256((await readAll(store, key)) ?? assert.fail()), sha256(bytes), JSON.stringify(fault));
      assert.equal(await store.size(key), bytes.length);
      await store.remove(key);
    }
    assert.deepEqual(await listAll(bucket), empty);
  });

  test('an upload that was completed unheard, and that the store then knows nothing of, is a success', async (t) => {
    const { proxy, store, bucket } = await openFaulty(t);
    let completions = 0;
    proxy.fault = ({ method, url }) => {
      if (method !== 'POST' || !url?.includes('uploadId=')) return undefined;
      if (completions++ === 0) return { loseAnswer: true };
      return { answer: 404, body: '<Error><Code>NoSuchUpload</Code><Message>unknown</Message></Error>' };
    };
    const { key } = await writeNew(store, 9 * MiB);
    assert.equal(completions, 2);
    assert.deepEqual(await listAll(bucket), { objects: [key], uploads: [] });
  });

  test('a store that does not recover is unavailable, never "not there", and keeps nothing once it is back', async (t) => {
    const { proxy, store, bucket } = await openFaulty(t);
    const { key } = await writeNew(store, 10);
    for (const fault of [{ answer: 500 }, { answer: 503 }, { cutRequestAfter: 0 }]) {
      proxy.fault = () => fault;
      const refusal = unavailable(/^The storage that holds the images does not answer/);
      await assert.rejects(store.read(key), refusal);
      await assert.rejects(store.size(key), refusal);
      await assert.rejects(store.remove(key), refusal);
      await assert.rejects(store.join(newObjectKey(), [key]), refusal);
      await assert.rejects(store.check(), refusal);
      await assert.rejects(store.write(newObjectKey(), inChunks(randomBytes(MiB))), refusal);
      await assert.rejects(store.write(newObjectKey(), inChunks(randomBytes(9 * MiB))), refusal);
    }
    proxy.fault = () => undefined;
    await store.check();
    assert.deepEqual(await listAll(bucket), { objects: [key], uploads: [] });
  });

  test('parts that cannot be aborted while the store is gone are removed with the key later', async (t) => {
    const { proxy, store, bucket } = await openFaulty(t);
    const key = newObjectKey();
    proxy.fault = ({ method, url }) =>
      method === 'DELETE' || url?.includes('partNumber=2') ? { answer: 500 } : undefined;
    await assert.rejects(store.write(key, inChunks(randomBytes(20 * MiB))), { reason: 'unavailable' });
    assert.deepEqual(await listAll(bucket), { objects: [], uploads: [key] });
    proxy.fault = () => undefined;
    await store.remove(key);
    assert.deepEqual(await listAll(bucket), empty);
  });

  test('an answer that breaks off or stalls is an error of the stream', async (t) => {
    const { proxy, store } = await openFaulty(t);
    const { key } = await writeNew(store, 4 * MiB);
    proxy.fault = () => ({ cutAnswerAfter: MiB });
    await assert.rejects(readAll(store, key));
    proxy.fault = () => ({ stallAnswerAfter: MiB });
    t.mock.timers.enable({ apis: ['setInterval'] });
    const stream = (await store.read(key)) ?? assert.fail();
    await once(stream, 'readable');
    t.mock.timers.tick(120_000);
    assert.equal(stream.destroyed, false, 'bytes are waiting for a slow client');
    let read = 0;
    await assert.rejects(async () => {
      for await (const chunk of stream) {
        read += chunk.length;
        if (read === MiB) setImmediate(() => t.mock.timers.tick(120_000));
      }
    }, /has stopped sending/);
  });

  test('a 404 that does not name the key is not taken for "not there"', async (t) => {
    const { proxy, store } = await openFaulty(t);
    const { key } = await writeNew(store, 10);
    proxy.fault = () => ({ answer: 404, body: 'no such page' });
    await assert.rejects(store.read(key));
    await assert.rejects(store.size(key));
  });

  test('what the operator must mend is said as what it is', async (t) => {
    const { proxy, store } = await openFaulty(t);
    const table: [number, string, RegExp][] = [
      [507, 'InsufficientStorage', /is full/],
      [400, 'XMinioStorageFull', /is full/],
      [403, 'QuotaExceeded', /is full/],
      [403, 'AccessDenied', /refuses our credentials/],
      [403, 'SignatureDoesNotMatch', /refuses our credentials/],
      [404, 'NoSuchBucket', /bucket .* does not exist/],
      [503, 'SlowDown', /asks us to slow down/],
    ];
    for (const [status, code, sentence] of table) {
      proxy.fault = () => ({ answer: status, body: `<Error><Code>${code}</Code><Message>no</Message></Error>` });
      for (const size of [10, 9 * MiB]) {
        const written = store.write(newObjectKey(), inChunks(randomBytes(size)));
        await assert.rejects(written, { ...unavailable(sentence), code });
      }
      await assert.rejects(store.read(newObjectKey()), unavailable(sentence));
    }
  });

  test('a bucket that does not exist is said so', async (t) => {
    const location = { bucket: 'nobody-made-it', prefix: '', endpoint: server.endpoint, region: undefined };
    const store = openS3Store({ ...location, isPathStyle: true });
    t.after(() => store.close());
    const refusal = unavailable(/^The bucket that holds the images does not exist/);
    await assert.rejects(store.check(), refusal);
    await assert.rejects(store.read(newObjectKey()), refusal);
    await assert.rejects(store.size(newObjectKey()), refusal);
    await assert.rejects(store.write(newObjectKey(), streamOf([Buffer.from('x')])), refusal);
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
}

if (s3ServerProgram !== undefined) testOnServer();
else test('on a real S3 server', { skip: 'LADING_TEST_S3_SERVER names none; .ci/install builds one' }, () => {});
