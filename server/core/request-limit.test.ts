import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openDatabase } from '#database/open-database.ts';
import { makeTestDatabase, type Scope } from '#test/database.ts';
import { openTestPlatform, type TestPlatform } from '#test/platform.ts';
import { newId } from './ids.ts';
import { newLocalState } from './local-state.ts';
import { removeOldWindows, takeRequest } from './request-limit.ts';

const hourMs = 60 * 60_000;

async function open(t: Scope, requestsPerHour: number | null): Promise<TestPlatform> {
  const platform = await openTestPlatform(t);
  platform.config.requestsPerHour = requestsPerHour;
  return platform;
}

/** Another replica on the same database, or the same one after a restart. */
const replicaOf = (platform: TestPlatform): TestPlatform => ({ ...platform, local: newLocalState() });

async function countAllowed(platform: TestPlatform, key: string, requests: number): Promise<number> {
  const taken = await Promise.all(Array.from({ length: requests }, () => takeRequest(platform, key)));
  return taken.filter((allowance) => allowance?.isAllowed).length;
}

test('a key has its number of requests in an hour that its first one begins, and then again', async (t) => {
  const platform = await open(t, 3);
  const key = newId();
  const seen: unknown[] = [];
  for (const ms of [0, 20 * 60_000, 1, 1, hourMs - 20 * 60_000 - 3, 1]) {
    platform.clock.advance(ms);
    const { isAllowed, remaining, resetSeconds } = (await takeRequest(platform, key)) ?? assert.fail();
    seen.push([isAllowed, remaining, resetSeconds]);
  }
  assert.deepEqual(seen, [
    [true, 2, 3600],
    [true, 1, 2400],
    [true, 0, 2400],
    [false, 0, 2400],
    [false, 0, 1],
    [true, 2, 3600],
  ]);
});

test('what remains goes down by one with each request', async (t) => {
  const platform = await open(t, 1000);
  for (let remaining = 999; remaining >= 0; remaining--) {
    assert.equal((await takeRequest(platform, 'key'))?.remaining, remaining);
  }
  assert.equal((await takeRequest(platform, 'key'))?.isAllowed, false);
});

test('keys do not use up each other’s requests', async (t) => {
  const platform = await open(t, 5);
  assert.equal(await countAllowed(platform, 'one', 9), 5);
  assert.equal(await countAllowed(platform, 'other', 9), 5);
});

// A count that is read and then written would let many through here.
test('of many requests at once on one replica exactly the limit is let through', async (t) => {
  for (const limit of [1, 7, 250]) {
    assert.equal(await countAllowed(await open(t, limit), newId(), 500), limit);
  }
});

test('replicas together never let more through than the limit, and hardly less', async (t) => {
  const platform = await open(t, 500);
  const replicas = [platform, replicaOf(platform), replicaOf(platform)];
  const allowed = await Promise.all(replicas.map((replica) => countAllowed(replica, 'key', 400)));
  const total = allowed.reduce((sum, one) => sum + one, 0);
  assert.equal(total, 500, allowed.join());
});

test('what an idle replica holds back is a fiftieth of the limit at most', async (t) => {
  const platform = await open(t, 1000);
  const idle = replicaOf(platform);
  assert.equal(await countAllowed(idle, 'key', 1), 1);
  const allowed = await countAllowed(platform, 'key', 1200);
  assert.ok(allowed >= 980 && allowed < 1000, `${allowed}`);
  assert.equal(await countAllowed(idle, 'key', 1200), 1000 - 1 - allowed);
});

test('a restart forgets no request', async (t) => {
  const platform = await open(t, 100);
  let allowed = 0;
  for (let restart = 0; restart < 50; restart++) allowed += await countAllowed(replicaOf(platform), 'key', 5);
  assert.ok(allowed <= 100 && allowed >= 80, `${allowed}`);
});

test('when the hour is over all replicas begin one new hour together', async (t) => {
  const platform = await open(t, 100);
  const replicas = [platform, replicaOf(platform)];
  for (let hour = 0; hour < 3; hour++) {
    const allowed = await Promise.all(replicas.map((replica) => countAllowed(replica, 'key', 150)));
    assert.equal((allowed[0] ?? 0) + (allowed[1] ?? 0), 100, `hour ${hour}`);
    platform.clock.advance(hourMs);
  }
});

test('a key that was refused costs the database nothing more until its hour is over', async (t) => {
  const platform = await open(t, 2);
  assert.equal(await countAllowed(platform, 'key', 3), 2);
  const cutOff = { ...platform, db: await openClosed(t) };
  assert.equal((await takeRequest(cutOff, 'key'))?.isAllowed, false);
});

test('where nothing is limited nothing is counted', async (t) => {
  const platform = await open(t, null);
  assert.equal(await takeRequest(platform, 'key'), undefined);
  assert.deepEqual(await platform.db.selectFrom('request_windows').selectAll().execute(), []);
});

test('a database that cannot be asked lets requests pass', async (t) => {
  const platform = await open(t, 2);
  assert.equal(await takeRequest({ ...platform, db: await openClosed(t) }, 'key'), undefined);
  assert.equal((await takeRequest(platform, 'key'))?.remaining, 1, 'it counts again when it can');
});

async function openClosed(t: Scope): Promise<TestPlatform['db']> {
  const { db, close } = await openDatabase(await makeTestDatabase(t));
  await close();
  return db;
}

test('counts of keys that have not asked for a day are removed', async (t) => {
  const platform = await open(t, 10);
  await takeRequest(platform, 'old');
  platform.clock.advance(24 * hourMs + 1);
  await takeRequest(platform, 'new');
  assert.equal(await removeOldWindows(platform), 1);
  const rows = await platform.db.selectFrom('request_windows').select('actor_id').execute();
  assert.deepEqual(
    rows.map((row) => row.actor_id),
    ['new'],
  );
  assert.equal((await takeRequest(platform, 'old'))?.remaining, 9);
});
