import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { Failure } from '#core/failure.ts';
import { parseCursor, parseLimit, toCursor } from './paging.ts';

test('a cursor is 24 characters that need no escaping, and comes back as it was', () => {
  fc.assert(
    fc.property(fc.uuid(), fc.integer({ min: 1, max: 65_535 }), (id, size) => {
      const text = toCursor({ id, size });
      assert.match(text, /^[A-Za-z0-9_-]{24}$/);
      assert.deepEqual(parseCursor(text), { id, size });
    }),
  );
});

test('what is no cursor is refused, whatever it is', () => {
  const good = toCursor({ id: randomUUID(), size: 50 });
  const noSize = randomBytes(18).fill(0, 16).toString('base64url');
  for (const text of ['', 'x', `${good}x`, good.slice(1), ` ${good}`, `${good}=`, `${good.slice(1)}*`, noSize]) {
    assert.throws(() => parseCursor(text), Failure, text);
  }
  fc.assert(
    fc.property(fc.string(), (text) => {
      try {
        assert.equal(toCursor(parseCursor(text)), text);
      } catch (error) {
        assert.ok(error instanceof Failure);
      }
    }),
  );
});

const bounds = { fallback: 50, max: 200 };

test('a limit above the maximum is lowered to it, however large it is', () => {
  assert.equal(parseLimit('201', bounds), 200);
  assert.equal(parseLimit('9'.repeat(400), bounds), 200);
  assert.equal(parseLimit('9223372036854775808', bounds), 200);
});

test('a limit that is not a number of things is refused with what is allowed', () => {
  for (const text of ['0', '-1', '1.5', '1e3', 'ten', '0x10', ' 5', 'NaN']) {
    assert.throws(() => parseLimit(text, bounds), /limit is a whole number from 1 to 200/, text);
  }
  assert.equal(parseLimit(undefined, bounds), 50);
  assert.equal(parseLimit('0', { ...bounds, min: 0 }), 0);
});
