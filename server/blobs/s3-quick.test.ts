import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { newObjectKey } from '#core/ids.ts';
import { inChunks, MiB, openFaulty, openStore, testOnS3, writeNew } from '#test/s3-world.ts';
import { readAll } from './blob-store.contract.ts';

/** The AWS client says who it is, the short way does not. */
const isQuick = ({ headers }: IncomingMessage) => headers['user-agent'] === undefined;

testOnS3(() => {
  test('objects, parts and ranges go the short way, one request each', async (t) => {
    const { proxy, store } = await openFaulty(t);
    const quick: string[] = [];
    proxy.fault = (request) => {
      if (isQuick(request)) quick.push(`${request.method} ${request.headers.range ?? ''}`);
      return undefined;
    };
    const small = await writeNew(store, 1000);
    const large = await writeNew(store, 17 * MiB);
    assert.ok((await readAll(store, small.key))?.equals(small.bytes));
    assert.equal(await store.size(large.key), large.bytes.length);
    const range = { start: 7 * MiB, end: 9 * MiB };
    assert.ok((await readAll(store, large.key, range))?.equals(large.bytes.subarray(range.start, range.end + 1)));
    assert.deepEqual(quick, ['PUT ', 'PUT ', 'PUT ', 'PUT ', 'GET ', 'HEAD ', 'GET bytes=7340032-9437184']);
    assert.equal(proxy.seen.length, quick.length + 2, 'a multipart upload begins and ends');
  });

  test('whatever is wrong with the short way, the ordinary one is taken, and for the next requests too', async (t) => {
    const faults = [
      { answer: 403 },
      { answer: 500 },
      { cutRequestAfter: 0 },
      { loseAnswer: true },
      { answer: 200, body: 'of unknown length' },
    ] as const;
    for (const fault of faults) {
      const { proxy, store } = await openFaulty(t);
      let spoilt = 0;
      proxy.fault = (request) => {
        if (!isQuick(request)) return undefined;
        spoilt++;
        return fault;
      };
      const { key, bytes } = await writeNew(store, 9 * MiB);
      assert.ok((await readAll(store, key))?.equals(bytes), JSON.stringify(fault));
      // Two parts were on their way before the first one came back.
      assert.ok(spoilt <= 2, `${spoilt} requests of the short way`);
    }
  });

  test('a missing object is asked for once more, and the short way stays open', async (t) => {
    const { proxy, store } = await openFaulty(t);
    let quick = 0;
    proxy.fault = (request) => {
      if (isQuick(request)) quick++;
      return undefined;
    };
    for (let n = 0; n < 3; n++) assert.equal(await store.read(newObjectKey()), undefined);
    assert.equal(quick, 3);
  });

  test('a reader that takes its time gets every byte, and holds up nobody', async (t) => {
    const { store } = await openStore(t);
    const { key, bytes } = await writeNew(store, 6 * MiB);
    const waiting = (await store.read(key)) ?? assert.fail();
    await once(waiting, 'readable');
    const reads = Array.from({ length: 20 }, async (_, n) => {
      const stream = (await store.read(key)) ?? assert.fail();
      let at = 0;
      for await (const chunk of stream) {
        for (let turns = (n * at) % 7; turns > 0; turns--) await turn();
        assert.ok(bytes.subarray(at, at + chunk.length).equals(chunk), `at ${at}`);
        at += chunk.length;
        stream.giveBack?.(chunk);
      }
      assert.equal(at, bytes.length);
    });
    await Promise.all(reads);
    assert.ok(waiting.readableLength < MiB, `${waiting.readableLength} bytes wait for one who does not read`);
    assert.ok(Buffer.concat(await waiting.toArray()).equals(bytes));
  });

  test('connections serve one request after the other, and end with the store', async (t) => {
    const { proxy, store } = await openFaulty(t);
    const sockets = new Set<IncomingMessage['socket']>();
    proxy.fault = ({ socket }) => {
      sockets.add(socket);
      return undefined;
    };
    const { key } = await writeNew(store, 300_000);
    for (let n = 0; n < 10; n++) await readAll(store, key);
    // One is free again a turn after its answer.
    assert.ok(sockets.size <= 2, `${sockets.size} connections`);
    store.close();
    await Promise.all([...sockets].map((socket) => socket.closed || once(socket, 'close')));
  });

  test('many at once, of all sizes, each get their own bytes', async (t) => {
    const { store } = await openStore(t);
    const sizes = Array.from({ length: 60 }, (_, n) => (n % 3 === 0 ? n * 100 : n * 20_011));
    await Promise.all(
      sizes.map(async (size) => {
        const [key, bytes] = [newObjectKey(), randomBytes(size)];
        await store.write(key, inChunks(bytes, 9_973));
        for (let n = 0; n < 3; n++) assert.ok((await readAll(store, key))?.equals(bytes), `${size} bytes`);
      }),
    );
  });
});
