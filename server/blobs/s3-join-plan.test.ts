import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type PlannedPiece, planJoin, type SourceRange } from './s3-join-plan.ts';

const limits = { min: 5, max: 20 };

const rangesOf = (piece: PlannedPiece): SourceRange[] => ('copy' in piece ? [piece.copy] : piece.send);
const lengthOf = ({ range }: SourceRange) => range.end - range.start + 1;
const bytesOf = (piece: PlannedPiece) => rangesOf(piece).reduce((sum, part) => sum + lengthOf(part), 0);

test('a joined object has every byte once and in order, in pieces as large as S3 wants them', () => {
  const size = fc.oneof(fc.integer({ min: 0, max: 6 }), fc.integer({ min: 0, max: 100 }));
  fc.assert(
    fc.property(fc.array(size, { maxLength: 30 }), (sizes) => {
      const sources = sizes.map((size, n) => ({ key: `k${n}`, size }));
      const plan = planJoin(sources, limits);
      const bytes = plan.flatMap(rangesOf).flatMap(({ from, range }) => {
        return Array.from({ length: range.end - range.start + 1 }, (_, n) => `${from}:${range.start + n}`);
      });
      const expected = sources.flatMap(({ key, size }) => Array.from({ length: size }, (_, n) => `${key}:${n}`));
      assert.deepEqual(bytes, expected);
      for (const piece of plan.slice(0, -1)) assert.ok(bytesOf(piece) >= limits.min, JSON.stringify(plan));
      for (const piece of plan) {
        assert.ok(bytesOf(piece) <= limits.max, JSON.stringify(plan));
        const source = 'copy' in piece && sources.find(({ key }) => key === piece.copy.from);
        if (source) assert.ok(source.size > limits.min, `a range of a small object: ${JSON.stringify(plan)}`);
      }
    }),
    { numRuns: 2000 },
  );
});

test('only what is too small to be copied passes through us, and what it takes to make it large enough', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 100 }), { maxLength: 30 }), (sizes) => {
      const plan = planJoin(
        sizes.map((size, n) => ({ key: `k${n}`, size })),
        limits,
      );
      const sent = plan.filter((piece) => 'send' in piece).reduce((sum, piece) => sum + bytesOf(piece), 0);
      const small = sizes.filter((size) => size > 0 && size < 2 * limits.min).length;
      assert.ok(sent <= small * 2 * limits.min, JSON.stringify(plan));
    }),
    { numRuns: 2000 },
  );
});

test('large objects are copied without a byte passing through us, and a small one at the end is not', () => {
  assert.deepEqual(
    planJoin(
      [
        { key: 'a', size: 24 },
        { key: 'b', size: 6 },
        { key: 'c', size: 2 },
      ],
      limits,
    ),
    [
      { copy: { from: 'a', range: { start: 0, end: 14 } } },
      { copy: { from: 'a', range: { start: 15, end: 23 } } },
      { copy: { from: 'b', range: { start: 0, end: 5 } } },
      { send: [{ from: 'c', range: { start: 0, end: 1 } }] },
    ],
  );
});
