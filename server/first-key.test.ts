import assert from 'node:assert/strict';
import { existsSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { findActorBySecret, forgetActors } from '#core/actors.ts';
import { makeTestDirectory } from '#test/database.ts';
import { openTestPlatform, seedKey, type TestPlatform } from '#test/platform.ts';
import { ensureFirstKey } from './first-key.ts';

test('the first start makes a key, in a file that only its owner may read; the second makes none', async (t) => {
  const platform = await openTestPlatform(t);
  const dataDir = makeTestDirectory(t);
  const first = await ensureFirstKey(platform, { dataDir, bootstrapKey: undefined });
  const file = join(dataDir, 'bootstrap-key');
  assert.equal(first?.keyFile, file);
  assert.equal(readFileSync(file, 'utf8'), `${first?.secret}\n`);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.ok(await findActorBySecret(platform, first?.secret ?? ''));
  assert.equal(await ensureFirstKey(platform, { dataDir, bootstrapKey: undefined }), undefined);
  assert.equal(readFileSync(file, 'utf8'), `${first?.secret}\n`);
  assert.equal(existsSync(`${file}.new`), false);
});

test('a crash between the database and the file does not lose the key', async (t) => {
  const platform = await openTestPlatform(t);
  const dataDir = makeTestDirectory(t);
  const first = await ensureFirstKey(platform, { dataDir, bootstrapKey: undefined });
  const file = join(dataDir, 'bootstrap-key');
  renameSync(file, `${file}.new`);
  await ensureFirstKey(platform, { dataDir, bootstrapKey: undefined });
  assert.equal(readFileSync(file, 'utf8'), `${first?.secret}\n`);
});

const revokeAll = async (platform: TestPlatform) => {
  await platform.db.updateTable('actors').set({ revoked_at: platform.now() }).execute();
  forgetActors(platform);
};

test('the file of a key that was revoked goes at the next start', async (t) => {
  const platform = await openTestPlatform(t);
  const dataDir = makeTestDirectory(t);
  const first = await ensureFirstKey(platform, { dataDir, bootstrapKey: undefined });
  const team = await findActorBySecret(platform, first?.secret ?? '');
  await revokeAll(platform);
  await seedKey(platform, team?.teamId ?? '');
  await ensureFirstKey(platform, { dataDir, bootstrapKey: undefined });
  assert.equal(existsSync(join(dataDir, 'bootstrap-key')), false);
});

test('where nobody could get in any more, a start makes a key as the first one does', async (t) => {
  const platform = await openTestPlatform(t);
  const dataDir = makeTestDirectory(t);
  const file = join(dataDir, 'bootstrap-key');
  const given = 'a-key-of-the-operator-that-is-long-enough';
  await ensureFirstKey(platform, { dataDir, bootstrapKey: given });
  await revokeAll(platform);
  const other = 'another-key-of-the-operator-that-is-new';
  const second = await ensureFirstKey(platform, { dataDir, bootstrapKey: other });
  assert.deepEqual([second?.secret, second?.keyFile, existsSync(file)], [other, undefined, false]);
  assert.ok(await findActorBySecret(platform, other));
  await revokeAll(platform);
  // Still configured, and perhaps revoked because it is known to others.
  const third = await ensureFirstKey(platform, { dataDir, bootstrapKey: other });
  assert.equal(third?.keyFile, file);
  assert.equal(readFileSync(file, 'utf8'), `${third?.secret}\n`);
  assert.equal(await findActorBySecret(platform, other), undefined);
  assert.ok(await findActorBySecret(platform, third?.secret ?? ''));
  assert.equal(await ensureFirstKey(platform, { dataDir, bootstrapKey: other }), undefined);
});

test('a key that was given is not written anywhere, and means nothing once there is a key', async (t) => {
  const platform = await openTestPlatform(t);
  const dataDir = makeTestDirectory(t);
  const given = 'a-key-of-the-operator-that-is-long-enough';
  const first = await ensureFirstKey(platform, { dataDir, bootstrapKey: given });
  assert.deepEqual([first?.secret, first?.keyFile], [given, undefined]);
  assert.equal(existsSync(join(dataDir, 'bootstrap-key')), false);
  const later = 'another-key-that-came-too-late-to-count';
  assert.equal(await ensureFirstKey(platform, { dataDir, bootstrapKey: later }), undefined);
  assert.equal(await findActorBySecret(platform, later), undefined);
});

test('a draft of a key that the database never took is thrown away', async (t) => {
  const platform = await openTestPlatform(t);
  const dataDir = makeTestDirectory(t);
  const file = join(dataDir, 'bootstrap-key');
  await ensureFirstKey(platform, { dataDir, bootstrapKey: undefined });
  const kept = readFileSync(file, 'utf8');
  writeFileSync(`${file}.new`, 'ldg_key_of_a_start_that_failed\n');
  await ensureFirstKey(platform, { dataDir, bootstrapKey: undefined });
  assert.equal(readFileSync(file, 'utf8'), kept);
  assert.equal(existsSync(`${file}.new`), false);
});
