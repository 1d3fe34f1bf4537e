import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Failure } from '#core/failure.ts';
import { makeTestDirectory } from '#test/database.ts';
import { findServeHolder, takeServeLock } from './serve-lock.ts';

test('a second taker is refused by the name of the first, until that one ends', (t) => {
  const dataDir = makeTestDirectory(t);
  const lock = takeServeLock(dataDir);
  assert.throws(
    () => takeServeLock(dataDir),
    (error: Failure) => error.reason === 'conflict' && error.message.includes(`process ${process.pid}`),
  );
  lock.release();
  takeServeLock(dataDir).release();
  assert.equal(existsSync(join(dataDir, 'serve.pid')), false);
});

test('what a crashed process left behind holds nothing', (t) => {
  const dataDir = makeTestDirectory(t);
  writeFileSync(join(dataDir, 'serve.pid'), '{"pid":1,"startedAt":"2026-01-01T00:00:00.000Z"}');
  writeFileSync(join(dataDir, 'serve.lock'), '');
  takeServeLock(dataDir).release();
});

test('who serves, and with which keys, is known as long as it serves', (t) => {
  const dataDir = makeTestDirectory(t);
  assert.equal(findServeHolder(dataDir), undefined);
  const lock = takeServeLock(dataDir);
  lock.describe({ masterKeyIds: ['new', 'old'] });
  const { pid, masterKeyIds } = findServeHolder(dataDir) ?? assert.fail();
  assert.deepEqual([pid, masterKeyIds], [process.pid, ['new', 'old']]);
  lock.release();
  writeFileSync(join(dataDir, 'serve.pid'), '{"pid":1,"startedAt":"2026-01-01T00:00:00.000Z"}');
  assert.equal(findServeHolder(dataDir), undefined, 'what a crash left behind');
});
