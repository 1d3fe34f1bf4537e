import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openTestPlatform } from '#test/platform.ts';
import { endTurns, inTurn, newCheckTurns } from './check-turns.ts';

type Started = { team: string; end: () => void };

async function open(t: Parameters<typeof openTestPlatform>[0]) {
  const platform = await openTestPlatform(t);
  const started: Started[] = [];
  const done: Promise<void>[] = [];
  return {
    platform,
    started,
    done,
    ask(team: string, times = 1) {
      for (let i = 0; i < times; i++) {
        const { promise, resolve } = Promise.withResolvers<void>();
        done.push(
          inTurn(platform, team, () => {
            started.push({ team, end: resolve });
            return promise;
          }),
        );
      }
    },
    /** What has begun since the last time, once everything has that can. */
    async begun(): Promise<Record<string, number>> {
      await new Promise((resolve) => setImmediate(resolve));
      const counts: Record<string, number> = {};
      for (const { team } of started) counts[team] = (counts[team] ?? 0) + 1;
      return counts;
    },
  };
}

test('so many registries are asked at once and no more, and of one team half as many', async (t) => {
  const { ask, begun, started, done, platform } = await open(t);
  ask('a', 200);
  assert.deepEqual(await begun(), { a: 32 });
  ask('b', 200);
  assert.deepEqual(await begun(), { a: 32, b: 32 });
  ask('c', 1);
  assert.deepEqual(await begun(), { a: 32, b: 32 });
  let ended = 0;
  while (ended < started.length) {
    for (; ended < started.length; ended++) started[ended]?.end();
    const { running } = platform.local.checkTurns;
    assert.ok(running <= 64);
    await begun();
  }
  await Promise.all(done);
  assert.deepEqual(await begun(), { a: 200, b: 200, c: 1 });
  assert.deepEqual(platform.local.checkTurns, newCheckTurns());
});

test('a team that asks for one is not behind all that another waits for', async (t) => {
  const { ask, begun, started, done } = await open(t);
  ask('a', 100);
  ask('b', 100);
  await begun();
  ask('c', 1);
  started[0]?.end();
  started[1]?.end();
  started[2]?.end();
  const counts = await begun();
  assert.equal(counts.c, 1, 'it came third and got the third turn at the latest');
  for (let i = 0; i < 201; i++) {
    started[i]?.end();
    await begun();
  }
  await Promise.all(done);
});

test('work that fails gives its turn back', async (t) => {
  const { platform } = await open(t);
  for (let i = 0; i < 200; i++) {
    await assert.rejects(
      inTurn(platform, 'a', async () => assert.fail('no')),
      /no/,
    );
  }
  assert.equal(await inTurn(platform, 'a', async () => 7), 7);
});

test('who lets too much wait is refused, and others are not', async (t) => {
  const { ask, platform, started, done, begun } = await open(t);
  ask('a', 1032);
  const refused = inTurn(platform, 'a', async () => 1);
  await assert.rejects(refused, { reason: 'throttled' });
  assert.equal(await inTurn(platform, 'b', async () => 1), 1);
  for (let i = 0; i < 1032; i++) {
    started[i]?.end();
    await begun();
  }
  await Promise.all(done);
});

test('when the process ends, what waits is refused, and what has begun goes on', async (t) => {
  const { ask, platform, started, done, begun } = await open(t);
  ask('a', 200);
  await begun();
  endTurns(platform);
  await assert.rejects(
    inTurn(platform, 'b', async () => 1),
    { reason: 'unavailable' },
  );
  for (const { end } of started) end();
  const ends = Map.groupBy(await Promise.allSettled(done), ({ status }) => status);
  assert.deepEqual([ends.get('fulfilled')?.length, ends.get('rejected')?.length], [32, 168]);
  assert.deepEqual(await begun(), { a: 32 });
});
