import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newGathering, pieceBytes, sharedBytes } from './s3-gather.ts';

const MiB = 1024 * 1024;

test('clients that are slow to fill a piece do not keep others waiting for memory', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const slow = Array.from({ length: sharedBytes / pieceBytes }, () => newGathering(pieceBytes));
  for (const each of slow) await each.add(Buffer.alloc(MiB, 1));
  const fast = newGathering(pieceBytes);
  let isAdded = false;
  const added = fast.add(Buffer.alloc(MiB, 2)).then(() => {
    isAdded = true;
  });
  t.mock.timers.tick(19_999);
  await Promise.resolve();
  assert.equal(isAdded, false, 'all that pieces share is taken');
  t.mock.timers.tick(1);
  await added;
  assert.ok(fast.end().bytes.equals(Buffer.alloc(MiB, 2)));
  for (const each of [...slow, fast]) each.release(true);
});

test('what a piece holds is what was added, whatever memory it is in', async () => {
  for (let round = 0; round < 3; round++) {
    const piece = newGathering(pieceBytes);
    const chunks = [1000, 250_000, 10_000, 3 * MiB].map((size, n) => Buffer.alloc(size, round * 10 + n));
    for (const chunk of chunks) await piece.add(chunk);
    const { bytes, release } = piece.end();
    assert.ok(bytes.equals(Buffer.concat(chunks)));
    release(true);
  }
});
