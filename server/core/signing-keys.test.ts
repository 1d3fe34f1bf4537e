import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openTestPlatform } from '#test/platform.ts';
import { newLocalState } from './local-state.ts';
import type { Platform } from './platform.ts';
import { findSigningKey, getSigningKey, listSigningKeys } from './signing-keys.ts';

const minuteMs = 60_000;
const dayMs = 24 * 60 * minuteMs;

/** Another process on the same database: it remembers nothing of what the first has read. */
const replicaOf = (platform: Platform): Platform => ({ ...platform, local: newLocalState() });

// Many rounds, because on Postgres only some of them collide.
test('processes that need the first key at once make one key, and all use it', async (t) => {
  const platform = await openTestPlatform(t);
  for (let round = 0; round < 20; round++) {
    await platform.db.deleteFrom('signing_keys').execute();
    const processes = Array.from({ length: 5 }, () => replicaOf(platform));
    const keys = await Promise.all(processes.flatMap((one) => [getSigningKey(one), getSigningKey(one)]));
    assert.equal(new Set(keys.map((key) => key.id)).size, 1);
    const rows = await platform.db.selectFrom('signing_keys').select('id').execute();
    assert.deepEqual(
      rows.map((row) => row.id),
      [keys[0]?.id],
    );
  }
});

test('the private half is nowhere in the database as it is', async (t) => {
  const platform = await openTestPlatform(t);
  const key = await getSigningKey(platform);
  const secretPart = key.privateKey.export({ format: 'jwk' }).d ?? '';
  assert.ok(secretPart.length > 40);
  const row = await platform.db.selectFrom('signing_keys').selectAll().executeTakeFirstOrThrow();
  assert.ok(!JSON.stringify(row).includes(secretPart));
  assert.deepEqual(Object.keys(JSON.parse(row.public_jwk)).sort(), ['crv', 'kty', 'x', 'y']);
});

test('a sealed key that was moved to another row does not open', async (t) => {
  const platform = await openTestPlatform(t);
  await getSigningKey(platform);
  await platform.db.updateTable('signing_keys').set({ id: 'moved' }).execute();
  await assert.rejects(getSigningKey(replicaOf(platform)));
});

test('a new key signs only when every process has read it, and the old one stays good beside it', async (t) => {
  const platform = await openTestPlatform(t);
  const replica = replicaOf(platform);
  const first = await getSigningKey(platform);
  await getSigningKey(replica);
  platform.clock.advance(30 * dayMs);
  const due = await Promise.all([getSigningKey(platform), getSigningKey(replica)]);
  assert.deepEqual(
    due.map((key) => key.id),
    [first.id, first.id],
  );
  const [old, made, ...others] = await listSigningKeys(platform);
  assert.equal(old?.id, first.id);
  assert.ok(made);
  assert.deepEqual(others, []);
  platform.clock.advance(2 * minuteMs);
  assert.equal((await getSigningKey(platform)).id, made.id);
  assert.equal((await getSigningKey(replica)).id, made.id);
  assert.equal((await findSigningKey(replica, first.id))?.id, first.id);
});

test('the key before the last is removed at the next rotation, and no other', async (t) => {
  const platform = await openTestPlatform(t);
  const first = await getSigningKey(platform);
  for (let month = 1; month <= 2; month++) {
    platform.clock.advance(30 * dayMs);
    await getSigningKey(platform);
  }
  const ids = (await listSigningKeys(platform)).map((key) => key.id);
  assert.equal(ids.length, 2);
  assert.ok(!ids.includes(first.id));
});

test('a key that another process made is found at once, without waiting for the next reading', async (t) => {
  const platform = await openTestPlatform(t);
  const replica = replicaOf(platform);
  await getSigningKey(platform);
  await getSigningKey(replica);
  platform.clock.advance(30 * dayMs);
  await listSigningKeys(platform);
  // The replica still holds what it read before; as fresh as that may be.
  replica.local.signingKeys.readAt = platform.now() - 2000;
  const made = (await listSigningKeys(platform)).at(-1)?.id ?? '';
  assert.equal((await findSigningKey(replica, made))?.id, made);
});

test('ids that do not exist cost the database one reading a second', async (t) => {
  const platform = await openTestPlatform(t);
  await getSigningKey(platform);
  platform.clock.advance(5000);
  assert.equal(await findSigningKey(platform, 'unknown'), undefined);
  const { readAt } = platform.local.signingKeys;
  assert.equal(readAt, platform.now());
  platform.clock.advance(900);
  assert.equal(await findSigningKey(platform, 'unknown'), undefined);
  assert.equal(platform.local.signingKeys.readAt, readAt);
});
