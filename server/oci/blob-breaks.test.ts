import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import type { BlobStore } from '#core/platform.ts';
import { listen, openRegistry, type Registry, sha256, uploadBlob } from '#test/registry-client.ts';
import { openWire } from '#test/registry-socket.ts';

const MiB = 2 ** 20;

/** A store that breaks off after so many bytes of each read. Answers where the reads began. */
function breakReads({ platform: { blobs } }: Registry, after: number): number[] {
  const begun: number[] = [];
  const read = blobs.read.bind(blobs);
  const broken: BlobStore['read'] = async (key, range) => {
    begun.push(range?.start ?? 0);
    const stream = await read(key, range);
    if (!stream) return undefined;
    async function* some(bytes: Readable) {
      let left = after;
      for await (const chunk of bytes) {
        if (left > 0) yield Buffer.from(chunk.subarray(0, left));
        left -= chunk.length;
        if (left < 0) throw new Error('the line was cut');
      }
    }
    return Readable.from(some(stream), { objectMode: false });
  };
  Object.assign(blobs, { read: broken });
  return begun;
}

test('a store that breaks off in the middle of a blob is asked for the rest, and the client sees nothing of it', async (t) => {
  const registry = await openRegistry(t);
  const bytes = randomBytes(5 * MiB);
  const digest = await uploadBlob(registry.owner, 'acme/app', bytes);
  const begun = breakReads(registry, 2 * MiB);
  const wire = await openWire(registry, await listen(registry));
  wire.head(`GET /v2/acme/app/blobs/${digest}`);
  assert.equal(sha256((await wire.answer()).bytes), digest);
  wire.head(`GET /v2/acme/app/blobs/${digest}`, [`Range: bytes=${MiB}-`]);
  assert.ok((await wire.answer()).bytes.equals(bytes.subarray(MiB)));
  wire.head(`GET /v2/acme/app/blobs/${digest}`, [`Range: bytes=0-9,${MiB}-${4 * MiB}`]);
  assert.ok((await wire.answer()).bytes.includes(bytes.subarray(MiB, 4 * MiB + 1)));
  assert.deepEqual(
    begun.map((at) => at / MiB),
    [0, 2, 4, 1, 3, 0, 1, 3],
  );
});

test('a store that gives nothing any more ends the connection, and the blob looks cut', async (t) => {
  const registry = await openRegistry(t);
  const digest = await uploadBlob(registry.owner, 'acme/app', randomBytes(MiB));
  breakReads(registry, 0);
  const wire = await openWire(registry, await listen(registry));
  wire.head(`GET /v2/acme/app/blobs/${digest}`);
  await assert.rejects(wire.answer(), /the connection ended after/);
});

// What would break without this: nobody is told when the connection ends, and whoever may pull takes all open files.
for (const headers of [[], ['Range: bytes=0-9,1000-9000000']]) {
  test(`answers that wait for their turn on a connection open nothing (${headers})`, async (t) => {
    const registry = await openRegistry(t);
    const bytes = randomBytes(20 * MiB);
    const digest = await uploadBlob(registry.owner, 'acme/app', bytes);
    const streams = watchReads(registry);
    const port = await listen(registry);
    const wire = await openWire(registry, port);
    wire.socket.pause();
    for (let n = 0; n < 4; n++) wire.head(`GET /v2/acme/app/blobs/${digest}`, headers);
    const other = await openWire(registry, port);
    for (let n = 0; n < 10 || streams.length === 0; n++) {
      other.head(`GET /v2/acme/app/blobs/${digest}`, ['Range: bytes=0-0']);
      assert.equal((await other.answer()).bytes.length, 1);
    }
    assert.ok(streams.filter(({ closed }) => !closed).length <= 1);
    wire.socket.resume();
    for (let n = 0; n < 2; n++) assert.ok((await wire.answer()).bytes.includes(bytes.subarray(1000, 9_000_000)));
    wire.cut();
    // Not `once`: that an unfinished stream ends with an error is as it should be.
    for (const stream of streams) if (!stream.closed) await new Promise((resolve) => stream.once('close', resolve));
  });
}

function watchReads({ platform: { blobs } }: Registry): Readable[] {
  const streams: Readable[] = [];
  const read = blobs.read.bind(blobs);
  const watched: BlobStore['read'] = async (key, range) => {
    const stream = await read(key, range);
    if (stream && range?.end !== 0) streams.push(stream);
    return stream;
  };
  Object.assign(blobs, { read: watched });
  return streams;
}
