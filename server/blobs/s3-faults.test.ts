import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { test } from 'node:test';
import { CreateMultipartUploadCommand, UploadPartCommand } from '@aws-sdk/client-s3';
import { newObjectKey } from '#core/ids.ts';
import {
  empty,
  inChunks,
  listAll,
  MiB,
  openFaulty,
  openStore,
  partsArrived,
  prefix,
  s3Server,
  sha256,
  testOnS3,
  unavailable,
  writeNew,
} from '#test/s3-world.ts';
import { readAll, streamOf } from './blob-store.contract.ts';
import { openS3Store } from './s3.ts';

testOnS3(() => {
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
      const { UploadId } = await s3Server().client.send(new CreateMultipartUploadCommand(upload));
      const part = { ...upload, UploadId, PartNumber: 1, Body: randomBytes(MiB) };
      await s3Server().client.send(new UploadPartCommand(part));
    }
    await store.remove(key);
    assert.deepEqual(await listAll(bucket), { objects: [], uploads: [`${key}0`] });
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

  test('where the clock of this machine is six minutes slow, URLs are signed by the one that is right', async (t) => {
    const { store, bucket } = await openStore(t);
    const { key, bytes } = await writeNew(store, 1000);
    const right = Date.now();
    t.mock.timers.enable({ apis: ['Date'], now: right - 6 * 60_000 });
    const location = { bucket, prefix, endpoint: s3Server().endpoint, region: undefined, isPathStyle: true };
    for (const [now, status] of [
      [Date.now, 403],
      [() => right, 200],
    ] as const) {
      const slow = openS3Store(location, { redirects: true, now });
      t.after(() => slow.close());
      const answer = await fetch((await slow.redirect?.(key)) ?? assert.fail());
      assert.equal(answer.status, status);
      const body = Buffer.from(await answer.arrayBuffer());
      assert.equal(body.equals(bytes), status === 200);
    }
  });

  test('a bucket that does not exist is said so', async (t) => {
    const location = { bucket: 'nobody-made-it', prefix: '', endpoint: s3Server().endpoint, region: undefined };
    const store = openS3Store({ ...location, isPathStyle: true });
    t.after(() => store.close());
    const refusal = unavailable(/^The bucket that holds the images does not exist/);
    await assert.rejects(store.check(), refusal);
    await assert.rejects(store.read(newObjectKey()), refusal);
    await assert.rejects(store.size(newObjectKey()), refusal);
    await assert.rejects(store.write(newObjectKey(), streamOf([Buffer.from('x')])), refusal);
  });
});
