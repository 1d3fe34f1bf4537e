import assert from 'node:assert/strict';
import { test } from 'node:test';
import { afterCheck, openConnectionWorld } from '#test/connection-world.ts';
import { listConnections } from './connection-lists.ts';
import { stageReplacement } from './connection-replacements.ts';
import { listedConnections } from './connection-rows.ts';
import { testConnection } from './connection-tests.ts';
import { revealConnection, updateConnection } from './connections.ts';

const connection = 'scripted';

async function open(t: Parameters<typeof openConnectionWorld>[0]) {
  const world = await openConnectionWorld(t);
  const { platform, owner } = world;
  const { id } = await world.connect();
  const stored = async () => (await revealConnection(platform, owner, id)).secret;
  return { ...world, id, stored, newOne: { connection, password: 'new' } };
}

test('who stages a secret that a test takes first is told that it has taken its place', async (t) => {
  const { platform, owner, registry, newOne, stored, actionsOf } = await open(t);
  registry.users.set('alice', 'new');
  const testing = () => testConnection(platform, owner, { connection });
  const { test, connection: after } = await stageReplacement(afterCheck(platform, testing), owner, newOne);
  assert.deepEqual(
    [test.passed, test.cause, after.hasReplacement, after.status],
    [true, 'replacement', false, 'passed'],
  );
  assert.deepEqual(await stored(), { kind: 'password', password: 'new' });
  const actions = (await actionsOf()).slice(2);
  assert.deepEqual(actions, ['connection.replace', 'connection.test', 'connection.test', 'connection.reveal']);
  const kept = await platform.db.selectFrom('connection_tests').select('id').execute();
  assert.deepEqual(
    kept.map((one) => one.id),
    [test.id],
  );
});

test('of two processes that test a secret that waits one has it take its place, and both say so', async (t) => {
  const { platform, owner, registry, newOne, actionsOf } = await open(t);
  await stageReplacement(platform, owner, newOne);
  registry.users.set('alice', 'new');
  const replica = { ...platform, local: { ...platform.local, runningTests: new Map() } };
  const other = () => testConnection(replica, owner, { connection });
  const { passed, cause } = await testConnection(afterCheck(platform, other), owner, { connection });
  assert.deepEqual([passed, cause], [true, 'replacement']);
  assert.equal((await actionsOf()).filter((action) => action === 'connection.replace').length, 1);
});

test('the same secret entered meanwhile for good is no test that has passed', async (t) => {
  const { platform, owner, registry, newOne, seen } = await open(t);
  registry.users.set('alice', 'earlier');
  const { test: earlier } = await stageReplacement(platform, owner, { connection, password: 'earlier' });
  assert.ok(earlier.passed, earlier.message);
  registry.users.set('alice', 'new');
  const update = () => updateConnection(platform, owner, newOne);
  await assert.rejects(stageReplacement(afterCheck(platform, update), owner, newOne), { reason: 'conflict' });
  assert.equal((await seen(connection)).status, 'untested');
});

test('the log says when a new secret ends a failure, and not that one fails which only waits', async (t) => {
  const lines: string[] = [];
  const note = (_fields: object, message: string) => void lines.push(message);
  const { platform, owner, registry, newOne } = await open(t);
  const logging = { ...platform, log: { debug: note, info: note, warn: note, error: note } };
  await testConnection(logging, owner, { connection });
  await stageReplacement(logging, owner, newOne);
  assert.deepEqual(lines.splice(0), []);
  registry.users.set('alice', 'another');
  await testConnection(logging, owner, { connection });
  registry.users.set('alice', 'new');
  await stageReplacement(logging, owner, newOne);
  assert.deepEqual(lines, ['a connection fails its test', 'a connection passes its test again']);
});

test('a list says of each connection what it says itself, and reads no secret for that', async (t) => {
  const { platform, owner, newOne, connect, seen, id } = await open(t);
  const { id: anonymous } = await connect({ name: 'anonymous', username: undefined, password: undefined });
  await stageReplacement(platform, owner, newOne);
  const { items } = await listConnections(platform, owner, { limit: 9 });
  assert.deepEqual(items, [await seen(id), await seen(anonymous)]);
  const secrets = items.map(({ hasSecret, hasReplacement }) => [hasSecret, hasReplacement]);
  assert.deepEqual(secrets, [
    [true, true],
    [false, false],
  ]);
  for (const row of await listedConnections(platform, owner).execute()) {
    assert.ok(!row.sealed_secret && !row.sealed_replacement);
  }
});
