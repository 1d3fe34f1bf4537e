import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KyselyPlugin } from 'kysely';
import { openTestPlatform, seedKey, seedTeam } from '#test/platform.ts';
import { findActorById, findActorBySecret, forgetActors, isRevoked, updateActor } from './actors.ts';
import { newLocalState } from './local-state.ts';
import type { Platform } from './platform.ts';

async function open(t: Parameters<typeof openTestPlatform>[0]) {
  const platform = await openTestPlatform(t);
  const team = await seedTeam(platform, 'acme');
  const { secret, actor } = await seedKey(platform, team.teamId);
  forgetActors(platform);
  const change = (values: Parameters<typeof updateActor>[3]) => updateActor(platform, actor.id, team.teamId, values);
  const lastUsedAt = async () => {
    const row = platform.db.selectFrom('actors').select('last_used_at').where('id', '=', actor.id);
    return (await row.executeTakeFirstOrThrow()).last_used_at;
  };
  return { platform, secret, actor, change, lastUsedAt };
}

/** The same platform, but what its database answers arrives only once it is let go. */
function withSlowAnswers(platform: Platform) {
  const answered = Promise.withResolvers<void>();
  const letGo = Promise.withResolvers<void>();
  const plugin: KyselyPlugin = {
    transformQuery: ({ node }) => node,
    transformResult: async ({ result }) => {
      answered.resolve();
      await letGo.promise;
      return result;
    },
  };
  return {
    slow: { ...platform, db: platform.db.withPlugin(plugin) },
    answered: answered.promise,
    letGo: letGo.resolve,
  };
}

// What would break without this: the replica that revoked a secret would honour it for another second.
test('a look-up that began before a revocation does not keep the secret alive after it', async (t) => {
  const { platform, secret, change } = await open(t);
  const { slow, answered, letGo } = withSlowAnswers(platform);
  const lookingUp = findActorBySecret(slow, secret);
  await answered;
  await change({ revoked_at: platform.now() });
  forgetActors(platform);
  letGo();
  await lookingUp;
  assert.equal(await findActorBySecret(platform, secret), undefined);
});

test('a change is seen at once where it was made, and after a second on every other replica', async (t) => {
  const { platform, secret, actor, change } = await open(t);
  const replica = { ...platform, local: newLocalState() };
  for (const one of [platform, replica]) {
    assert.ok(await findActorBySecret(one, secret));
    assert.ok(await findActorById(one, actor.id, 1));
  }
  await change({ generation: 2, revoked_at: platform.now() });
  forgetActors(platform);
  assert.equal(await findActorBySecret(platform, secret), undefined);
  assert.equal(await findActorById(platform, actor.id, 1), undefined);
  platform.clock.advance(1000);
  assert.equal(await findActorBySecret(replica, secret), undefined);
  assert.equal(await findActorById(replica, actor.id, 1), undefined);
});

// A replica's clock is corrected by the database's every ten seconds, and may have been minutes ahead.
test('a change made elsewhere is seen although the clock here was set back meanwhile', async (t) => {
  const { platform, secret, change } = await open(t);
  const replica = { ...platform, local: newLocalState() };
  assert.ok(await findActorBySecret(replica, secret));
  await change({ revoked_at: platform.now() });
  platform.clock.advance(-5 * 60_000);
  assert.equal(await findActorBySecret(replica, secret), undefined);
});

test('an expiry ends a secret to the millisecond, also one that is remembered', async (t) => {
  const { platform, secret, change } = await open(t);
  await change({ expires_at: platform.now() + 500 });
  assert.ok(await findActorBySecret(platform, secret));
  platform.clock.advance(499);
  assert.ok(await findActorBySecret(platform, secret));
  platform.clock.advance(1);
  assert.equal(await findActorBySecret(platform, secret), undefined);
  assert.ok(await findActorBySecret(platform, secret, { orExpired: true }));
});

test('the last use is written once a minute at most, however many use the secret', async (t) => {
  const { platform, secret, change, lastUsedAt } = await open(t);
  await change({ last_used_at: null });
  const first = platform.now();
  await Promise.all(Array.from({ length: 10 }, () => findActorBySecret(platform, secret)));
  assert.equal(await lastUsedAt(), first);
  platform.clock.advance(59_999);
  await findActorBySecret(platform, secret);
  assert.equal(await lastUsedAt(), first);
  platform.clock.advance(1001);
  await findActorBySecret(platform, secret);
  assert.equal(await lastUsedAt(), first + 61_000);
});

test('of two replicas that read an old last use at once, the later does not write it back in time', async (t) => {
  const { platform, secret, change, lastUsedAt } = await open(t);
  await change({ last_used_at: null });
  const { slow, answered, letGo } = withSlowAnswers({ ...platform, local: newLocalState() });
  const early = platform.now();
  const late = findActorBySecret({ ...slow, now: () => early }, secret);
  await answered;
  platform.clock.advance(1000);
  await findActorBySecret(platform, secret);
  letGo();
  await late;
  assert.equal(await lastUsedAt(), early + 1000);
});

test('a secret counts as revoked for another generation, and for one that is gone', async (t) => {
  const { platform, actor, change } = await open(t);
  assert.equal(await isRevoked(platform, actor.id, 1), false);
  assert.equal(await isRevoked(platform, actor.id, 2), true);
  assert.equal(await isRevoked(platform, 'nobody', 1), true);
  await change({ revoked_at: platform.now() });
  assert.equal(await isRevoked(platform, actor.id, 1), true);
});
