import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import type { ByteRange } from './platform.ts';
import { readSteadily } from './steady-reading.ts';

const bytes = randomBytes(1000);
const whole = { start: 0, end: bytes.length - 1 };
const cut = () => new Error('the line was cut');

/** A store that gives so many bytes each time it is asked, and then breaks off. */
function brokenStore(given: readonly number[]) {
  const asked: ByteRange[] = [];
  const open = async (range: ByteRange) => {
    const count = given[asked.length] ?? 0;
    asked.push(range);
    const end = Math.min(range.end + 1, range.start + count);
    async function* read() {
      for (let at = range.start; at < end; at += 100) yield bytes.subarray(at, Math.min(at + 100, end));
      if (end <= range.end) throw cut();
    }
    return Readable.from(read(), { objectMode: false });
  };
  return { asked, open };
}

async function readAll(open: (range: ByteRange) => Promise<Readable>, range: ByteRange): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of readSteadily({ opened: await open(range), range, reopen: open })) chunks.push(chunk);
  return Buffer.concat(chunks);
}

test('a read that breaks off again and again goes on where it broke, each byte once', async () => {
  const { open, asked } = brokenStore([150, 0, 0, 333, 1, 1000]);
  assert.ok((await readAll(open, whole)).equals(bytes));
  assert.deepEqual(
    asked.map(({ start }) => start),
    [0, 150, 150, 150, 483, 484],
  );
});

test('a range is resumed inside itself', async () => {
  const { open, asked } = brokenStore([10, 1000]);
  assert.ok((await readAll(open, { start: 100, end: 199 })).equals(bytes.subarray(100, 200)));
  assert.deepEqual(asked[1], { start: 110, end: 199 });
});

test('a store that gives nothing any more is unavailable, and never a shorter whole', async () => {
  const { open, asked } = brokenStore([500]);
  await assert.rejects(readAll(open, whole), { reason: 'unavailable', message: /broke off/ });
  assert.equal(asked.length, 4);
});

test('a stream that ends early without an error is read on, too', async () => {
  const asked: number[] = [];
  const open = async ({ start, end }: ByteRange) => {
    asked.push(start);
    return Readable.from([bytes.subarray(start, Math.min(end + 1, start + 400))], { objectMode: false });
  };
  assert.ok((await readAll(open, whole)).equals(bytes));
  assert.deepEqual(asked, [0, 400, 800]);
});

test('who stops reading ends the stream', async () => {
  const { open } = brokenStore([1000]);
  const opened = await open(whole);
  for await (const chunk of readSteadily({ opened, range: whole, reopen: open })) {
    assert.ok(chunk.length > 0);
    break;
  }
  assert.equal(opened.destroyed, true);
});
