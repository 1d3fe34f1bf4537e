import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { test } from 'node:test';
import { newProgressLine } from './copy-progress.ts';

/** What a terminal of this width is sent. */
function showOn(columns: number): string {
  const chunks: string[] = [];
  const stream = new Writable({
    write(chunk, _encoding, done) {
      chunks.push(String(chunk));
      done();
    },
  });
  let now = 0;
  const terminal = Object.assign(stream, { isTTY: true, columns }) as unknown as NodeJS.WriteStream;
  const line = newProgressLine(terminal, () => (now += 1000));
  const objects = { phase: 'objects', total: 1_234_567, totalBytes: 987_654_321_000 } as const;
  line.report({ ...objects, done: 1000, doneBytes: 1_000_000 });
  line.report({ ...objects, done: 500_000, doneBytes: 123_456_789_000 });
  return chunks.at(-1) ?? '';
}

// The next line is written over it, which it cannot be once the terminal has broken it.
test('the progress line stays within the terminal', () => {
  for (const columns of [20, 40, 80, 100, 120]) {
    const shown = showOn(columns).replace(/^\r/, '').replace('\u001b[K', '');
    assert.ok(shown.length < columns && shown.includes('12 %'), `${columns}: ${shown}`);
  }
  assert.match(showOn(120), /\[#{3} {21}\] 12 %: 500000 of 1234567 objects, 115\.0 GiB of 919\.8 GiB, /);
});
