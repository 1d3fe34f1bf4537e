import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openConnectionWorld } from '#test/connection-world.ts';
import { stageReplacement } from './connection-replacements.ts';
import { testConnection } from './connection-tests.ts';
import { updateConnection } from './connections.ts';
import { measure } from './measurements.ts';

const connection = 'scripted';
const dayMs = 24 * 60 * 60_000;

/** A token that says itself when it ends. */
const jwtUntil = (end: number) =>
  [{ alg: 'none' }, { exp: end / 1000 }, {}]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.');

async function open(t: Parameters<typeof openConnectionWorld>[0]) {
  const world = await openConnectionWorld(t);
  const { platform, owner, registry } = world;
  const ends = Math.floor(platform.now() / 1000) * 1000 + 8 * dayMs;
  const password = jwtUntil(ends);
  registry.users.set('alice', password);
  await world.connect({ password });
  return {
    ...world,
    ends,
    try: () => testConnection(platform, owner, { connection }),
    update: (change: object) => updateConnection(platform, owner, { connection, ...change }),
    shown: async () => (await world.seen(connection)).credentialsExpireAt,
    expiring: async () => (await measure(platform)).connectionsExpiring,
  };
}

test('a connection says when its secret ends once a test has told, and no failure takes that back', async (t) => {
  const { try: run, shown, ends, registry } = await open(t);
  assert.equal(await shown(), null);
  await run();
  assert.equal(await shown(), ends);
  registry.users.clear();
  assert.equal((await run()).passed, false);
  assert.equal(await shown(), ends);
});

test('what is known of the end of a secret is forgotten with it', async (t) => {
  const { try: run, shown, ends, update, registry, platform, owner } = await open(t);
  await run();
  assert.equal((await update({ description: 'the same one' })).credentialsExpireAt, ends);
  assert.equal((await update({ namespace: 'team' })).credentialsExpireAt, null, 'another place may say otherwise');
  await run();
  assert.equal(await shown(), ends);
  assert.equal((await update({ password: 'without an end' })).credentialsExpireAt, null);
  const later = jwtUntil(ends + dayMs);
  registry.users.set('alice', later);
  await stageReplacement(platform, owner, { connection, password: later });
  assert.equal(await shown(), ends + dayMs);
  registry.users.set('alice', 'without an end');
  await stageReplacement(platform, owner, { connection, password: 'without an end' });
  assert.equal(await shown(), null);
});

test('operators see how many connections have a secret that ends within a week, or has', async (t) => {
  const { try: run, expiring, platform, connect, ends } = await open(t);
  await connect({ name: 'without an end' });
  await run();
  assert.equal(await expiring(), 0, 'eight days are left');
  platform.clock.advance(dayMs + 1000);
  assert.equal(await expiring(), 1);
  platform.clock.advance(ends);
  assert.equal(await expiring(), 1);
});
