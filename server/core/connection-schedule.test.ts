import assert from 'node:assert/strict';
import { test } from 'node:test';
import { afterCheck, openConnectionWorld, secretOfAlice } from '#test/connection-world.ts';
import { seedTeam } from '#test/platform.ts';
import { stageReplacement } from './connection-replacements.ts';
import { testNextConnection } from './connection-schedule.ts';
import { listConnectionTests, testConnection } from './connection-tests.ts';
import { createConnection, updateConnection } from './connections.ts';
import { newLocalState } from './local-state.ts';
import type { Platform } from './platform.ts';

const hour = 3600_000;

async function open(t: Parameters<typeof openConnectionWorld>[0], connectionCheckIntervalMs: number | null = 6 * hour) {
  const world = await openConnectionWorld(t);
  const { platform: quiet } = world;
  const platform = { ...quiet, config: { ...quiet.config, connectionCheckIntervalMs } };
  return {
    ...world,
    platform,
    /** Does what is due, and says how many that were. */
    async run(on: Platform = platform, workerId = 'worker') {
      let done = 0;
      while (await testNextConnection(on, workerId)) done++;
      return done;
    },
  };
}

test('a connection is tested when it was made, and again after every interval, a little sooner or later', async (t) => {
  const { platform, connect, run, seen, rowOf } = await open(t);
  const { id } = await connect();
  assert.equal(await run(), 1);
  assert.equal((await seen(id)).status, 'passed');
  const due = new Set<number>();
  for (let i = 0; i < 20; i++) {
    assert.equal(await run(), 0);
    const { test_due_at: dueAt } = await rowOf(id);
    const waitMs = dueAt - platform.now();
    assert.ok(waitMs >= 5.4 * hour && waitMs <= 6.6 * hour, String(waitMs));
    due.add(waitMs);
    platform.clock.advance(waitMs - 1);
    assert.equal(await run(), 0);
    platform.clock.advance(1);
    assert.equal(await run(), 1);
  }
  assert.ok(due.size > 15, 'with some spread');
  const causes = await platform.db.selectFrom('connection_tests').select('cause').orderBy('id').execute();
  assert.deepEqual(
    causes.map(({ cause }) => cause),
    ['changed', ...Array(20).fill('scheduled')],
    'the first is because it was made',
  );
});

test('where it is off nothing is tested until somebody asks', async (t) => {
  const { platform, owner, connect, run, registry } = await open(t, null);
  const { id } = await connect();
  assert.equal(await run(), 0);
  assert.deepEqual(registry.seen, []);
  await testConnection(platform, owner, { connection: id });
  platform.clock.advance(1000 * hour);
  assert.equal(await run(), 0);
});

test('who asks for a test moves the next one, and a change makes it due', async (t) => {
  const { platform, owner, connect, run, seen } = await open(t);
  const { id } = await connect();
  await testConnection(platform, owner, { connection: id });
  assert.equal(await run(), 0);
  await updateConnection(platform, owner, { connection: id, description: 'x' });
  assert.equal(await run(), 0);
  await updateConnection(platform, owner, { connection: id, password: 'wrong' });
  assert.equal(await run(), 1);
  assert.equal((await seen(id)).status, 'failed');
  const { items } = await listConnectionTests(platform, owner, { connection: id, limit: 9 });
  assert.deepEqual(
    items.map(({ cause }) => cause),
    ['changed', 'asked'],
  );
});

test('a registry that could not be reached is tried again soon, one that refuses is not', async (t) => {
  const { platform, connect, run, rowOf, registry } = await open(t);
  const gone = await connect({ name: 'gone', url: 'https://127.0.0.1:1' });
  const refused = await connect({ name: 'refused', password: 'wrong' });
  assert.equal(await run(), 2);
  const wait = async (id: string) => (await rowOf(id)).test_due_at - platform.now();
  assert.ok((await wait(gone.id)) <= 16.5 * 60_000);
  platform.clock.advance(await wait(gone.id));
  assert.equal(await run(), 1);
  assert.ok((await wait(gone.id)) >= 54 * 60_000, 'not so soon for ever');
  assert.ok((await wait(gone.id)) <= 66 * 60_000);
  assert.ok((await wait(refused.id)) >= 5.1 * hour);
  assert.ok(registry.seen.length > 0);
});

test('many workers test each connection once', async (t) => {
  const { connect, run, platform } = await open(t);
  for (let i = 0; i < 12; i++) await connect({ name: `c${i}` });
  const replica = { ...platform, local: newLocalState() };
  await Promise.all([1, 2, 3, 4].map((n) => run(n % 2 === 0 ? platform : replica, `worker ${n}`)));
  const tests = await platform.db.selectFrom('connection_tests').select('connection_id').execute();
  assert.equal(tests.length, 12);
  assert.equal(new Set(tests.map((one) => one.connection_id)).size, 12);
});

test('what a worker had when it was killed is taken over', async (t) => {
  const { connect, run, platform, rowOf } = await open(t);
  const { id } = await connect();
  const killed = afterCheck(platform, () => new Promise(() => {}));
  void testNextConnection(killed, 'killed');
  while ((await rowOf(id)).worker === null) await new Promise((resolve) => setImmediate(resolve));
  const replica = { ...platform, local: { ...platform.local, runningTests: new Map() } };
  assert.equal(await run(replica), 0, 'it may still be at it');
  platform.clock.advance(5 * 60_000 + 1);
  assert.equal(await run(replica), 1);
  const row = await rowOf(id);
  assert.deepEqual([row.status, row.worker, row.claimed_until], ['passed', null, null]);
});

test('teams take turns, however much one of them has', async (t) => {
  const { connect, platform, registry, team } = await open(t);
  for (let i = 0; i < 5; i++) await connect({ name: `c${i}` });
  platform.clock.advance(1);
  const other = await seedTeam(platform, 'other');
  const login = { username: 'alice', password: secretOfAlice };
  await createConnection(platform, other.owner, { name: 'late', provider: 'oci', url: registry.url, ...login });
  await testNextConnection(platform, 'worker');
  await testNextConnection(platform, 'worker');
  const tested = await platform.db
    .selectFrom('connections')
    .select('team_id')
    .where('status', '=', 'passed')
    .orderBy('id')
    .execute();
  assert.deepEqual(
    tested.map((row) => row.team_id),
    [team.teamId, other.teamId],
  );
});

test('a fault of ours in one test keeps no other from being made, and is not repeated without end', async (t) => {
  const { connect, run, platform, rowOf } = await open(t);
  const broken = await connect({ name: 'broken' });
  await connect({ name: 'sound' });
  await platform.db.updateTable('connections').set({ sealed_secret: 'garbage' }).where('id', '=', broken.id).execute();
  const errors: string[] = [];
  const log = { ...platform.log, error: (_: object, message: string) => void errors.push(message) };
  assert.equal(await run({ ...platform, log }), 2);
  const row = await rowOf(broken.id);
  assert.deepEqual([row.status, row.worker, row.test_due_at], ['untested', null, platform.now() + 5 * 60_000]);
  assert.deepEqual(errors, ['testing a connection failed']);
});

test('a secret that waits is tried at each scheduled test, and taken when it passes', async (t) => {
  const { connect, run, platform, owner, registry, seen } = await open(t);
  const { id } = await connect();
  await run();
  await stageReplacement(platform, owner, { connection: id, password: 'not yet' });
  platform.clock.advance(7 * hour);
  assert.equal(await run(), 1);
  assert.deepEqual([(await seen(id)).status, (await seen(id)).hasReplacement], ['passed', true]);
  registry.users.set('alice', 'not yet');
  platform.clock.advance(7 * hour);
  assert.equal(await run(), 1);
  assert.deepEqual([(await seen(id)).status, (await seen(id)).hasReplacement], ['passed', false]);
  const events = await platform.db.selectFrom('audit_events').select(['action', 'actor_kind']).orderBy('id').execute();
  const last = events.at(-1);
  assert.deepEqual([last?.action, last?.actor_kind], ['connection.replace', 'system']);
});

test('a connection that is changed while it is tested is tested again as it is now', async (t) => {
  const { connect, run, platform, owner, seen } = await open(t);
  const { id } = await connect({ password: 'wrong' });
  let isFirst = true;
  const changing = afterCheck(platform, async () => {
    if (isFirst) await updateConnection(platform, owner, { connection: id, password: secretOfAlice });
    isFirst = false;
  });
  assert.equal(await run(changing), 2);
  assert.equal((await seen(id)).status, 'passed');
});
