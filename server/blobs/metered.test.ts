import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeTestDirectory } from '#test/database.ts';
import { openDiskStore } from './disk.ts';
import { meterStore } from './metered.ts';

const key = '00112233445566778899aabbccddeeff';

async function* bytes(...chunks: string[]) {
  for (const chunk of chunks) yield Buffer.from(chunk);
}

test('what a store did and what it could not do are counted, a client that goes away is not', async (t) => {
  const directory = join(makeTestDirectory(t), 'objects');
  const { store, meter } = meterStore(await openDiskStore(directory));
  const count = (call: string, outcome: string) =>
    meter()
      .find(({ name }) => name === 'store_calls_total')
      ?.samples.find(({ labels }) => labels.call === call && labels.outcome === outcome)?.value;

  await store.write(key, bytes('foo', 'bar'));
  assert.equal(await store.size(key), 6);
  assert.equal(await store.size(key.replaceAll('0', '1')), undefined);
  assert.deepEqual([count('write', 'done'), count('size', 'done'), count('read', 'done')], [1, 2, 0]);

  async function* cut() {
    yield Buffer.from('half');
    throw Object.assign(new Error('aborted'), { code: 'ECONNRESET' });
  }
  await assert.rejects(store.write(key.replaceAll('0', '2'), cut()), /aborted/);
  assert.equal(count('write', 'failed'), 0);

  rmSync(directory, { recursive: true });
  writeFileSync(directory, 'no directory any more');
  await assert.rejects(store.check());
  assert.deepEqual([count('check', 'done'), count('check', 'failed')], [0, 1]);
  const seconds = meter().find(({ name }) => name === 'store_seconds_total')?.samples ?? [];
  assert.ok((seconds.find(({ labels }) => labels.call === 'write')?.value ?? 0) > 0);
  assert.equal(
    seconds.some(({ labels }) => labels.call === 'redirect'),
    false,
    'what a store cannot do is not counted',
  );
});
