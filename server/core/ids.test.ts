import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newId, newObjectKey } from './ids.ts';
import { isUuid } from './names.ts';

test('ids made one after the other sort so, also within a millisecond', () => {
  const ids = Array.from({ length: 20_000 }, newId);
  assert.deepEqual([...ids].sort(), ids);
  assert.equal(new Set(ids).size, ids.length);
});

test('an id is a UUID of version 7 with the time in front', () => {
  const before = Date.now();
  const id = newId();
  assert.ok(isUuid(id));
  assert.match(id, /^.{14}7.{4}[89ab]/);
  const ms = Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
  // The test above may have drawn ids from a few milliseconds to come.
  assert.ok(ms >= before && ms < before + 1000, `${ms} is not near ${before}`);
});

test('object keys are spread by their first byte and never alike', () => {
  const keys = Array.from({ length: 10_000 }, newObjectKey);
  assert.equal(new Set(keys).size, keys.length);
  assert.equal(new Set(keys.map((key) => key.slice(0, 2))).size, 256);
  for (const key of keys) assert.match(key, /^([0-9a-f]{2})\/\1[0-9a-f]{38}$/);
});
