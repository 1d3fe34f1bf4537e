import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openTestPlatform } from '#test/platform.ts';
import type { Platform } from './platform.ts';
import { transact } from './transact.ts';

const insertTeam = ({ db, now }: Platform, id: string) =>
  db.insertInto('teams').values({ id, name: id, slug: id, created_at: now() }).execute();

const countTeams = async ({ db }: Platform) => (await db.selectFrom('teams').select('id').execute()).length;

const conflict = (code: string) => Object.assign(new Error('lost against another transaction'), { code });

test('a transaction that lost against another is run again from the start', async (t) => {
  const platform = await openTestPlatform(t);
  let attempts = 0;
  const answer = await transact(platform, async (platform) => {
    await insertTeam(platform, 'a');
    if (++attempts < 4) throw conflict(attempts % 2 ? '40P01' : '40001');
    return 'done';
  });
  assert.deepEqual([answer, attempts, await countTeams(platform)], ['done', 4, 1]);
});

test('a transaction that always loses is refused as unavailable and leaves nothing', async (t) => {
  const platform = await openTestPlatform(t);
  let attempts = 0;
  const lost = transact(platform, async (platform) => {
    attempts++;
    await insertTeam(platform, 'a');
    throw conflict('40001');
  });
  await assert.rejects(lost, { reason: 'unavailable', detail: { retryAfterSeconds: 1 } });
  assert.deepEqual([attempts, await countTeams(platform)], [8, 0]);
});

test('any other error is not tried again', async (t) => {
  const platform = await openTestPlatform(t);
  let attempts = 0;
  const failed = transact(platform, async () => {
    attempts++;
    throw new Error('a bug');
  });
  await assert.rejects(failed, /a bug/);
  assert.equal(attempts, 1);
});

test('a transaction inside another is a part of it', async (t) => {
  const platform = await openTestPlatform(t);
  const failed = transact(platform, async (platform) => {
    await transact(platform, (platform) => insertTeam(platform, 'a'));
    assert.equal(await countTeams(platform), 1);
    throw new Error('no');
  });
  await assert.rejects(failed, /no/);
  assert.equal(await countTeams(platform), 0);
});

test('time stands still inside a transaction', async (t) => {
  const platform = await openTestPlatform(t);
  const begun = platform.now();
  await transact(platform, async (inner) => {
    platform.clock.advance(5000);
    assert.equal(inner.now(), begun);
    assert.equal(platform.now(), begun + 5000);
  });
});
