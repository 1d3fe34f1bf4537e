// A program is a list of commands and a seed. A run lets several commands go on at once and asks, all the time, whether
// everything that must be true is.

import fc from 'fast-check';
import { startCollection } from '#core/collection.ts';
import { getCollectionPreview } from '#core/collection-preview.ts';
import { doomAbandonedWriters } from '#core/objects.ts';
import { putBackAbandonedOperations } from '#core/operation-runs.ts';
import { getOperation } from '#core/operations.ts';
import { listRegistries } from '#core/registries.ts';
import type { Scope } from '../database.ts';
import { findBroken, findRestless } from '../invariants.ts';
import { openTestPlatform } from '../platform.ts';
import { testStorageUrl } from '../test-store.ts';
import { backgroundKinds, jobs, requireVerified } from './background-commands.ts';
import type { Kind } from './command.ts';
import { findGarbage } from './garbage.ts';
import { imageKinds } from './image-commands.ts';
import { removalKinds } from './removal-commands.ts';
import { newRandom, newScheduler, type Task } from './scheduler.ts';
import { sessionKinds } from './session-commands.ts';
import { contentCount, openWorld, startClient, type World } from './world.ts';

/** Everything that may happen. */
const kinds: Readonly<Record<string, Kind<unknown>>> = {
  ...imageKinds,
  ...sessionKinds,
  ...removalKinds,
  ...backgroundKinds,
};

/** `times`: so often at once. Doing a thing twice at the same time is where most protocols break. */
type Command = { kind: string; input: unknown; times: number };
export type Program = {
  seed: number;
  limitBytes: number;
  parallel: number;
  /** Of how many different blobs there is talk: with two, everybody means the same. */
  contents: number;
  /** Kinds left out: a program that does few things does them in ways that one of everything never comes to. */
  without: string[];
  commands: Command[];
};

const command = fc.oneof(
  ...Object.entries(kinds).map(([kind, { weight, input }]) => ({
    weight,
    arbitrary: fc.record({ kind: fc.constant(kind), input, times: fc.constantFrom(1, 1, 1, 2, 3) }),
  })),
);

export const program: fc.Arbitrary<Program> = fc.record({
  seed: fc.integer(),
  // Some images fit, not all of them.
  limitBytes: fc.integer({ min: 1200, max: 9000 }),
  parallel: fc.integer({ min: 2, max: 8 }),
  contents: fc.integer({ min: 2, max: contentCount }),
  without: fc.subarray(Object.keys(kinds)),
  commands: fc.array(command, { minLength: 1, maxLength: 80, size: 'max' }),
});

const checkEverySteps = 15;

export async function runProgram(t: Scope, program: Program): Promise<void> {
  const { seed, limitBytes, parallel, contents, without } = program;
  const platform = await openTestPlatform(t);
  const errors: unknown[] = [];
  const random = newRandom(seed);
  const hasOneWriter = platform.engine === 'sqlite';
  const isLocal = hasOneWriter && testStorageUrl === undefined;
  const scheduler = newScheduler({ random, hasOneWriter, isLocal, fail: (error) => errors.push(error) });
  const world = await openWorld(platform, { scheduler, limitBytes, contents });
  const commands = program.commands.filter(({ kind }) => !without.includes(kind));
  const queue = commands.flatMap((command) => Array<Command>(command.times).fill(command));
  try {
    await runAll(world, queue, parallel, errors);
    await rest(world);
  } finally {
    await abandon(world);
  }
}

async function runAll(world: World, queue: Command[], parallel: number, errors: unknown[]): Promise<void> {
  for (let turn = 1; queue.length > 0 || world.scheduler.tasks.size > 0; turn++) {
    await takeTurn(world, queue, parallel);
    await endCrashed(world);
    if (turn % checkEverySteps === 0) await requireInvariants(world);
    if (errors.length > 0) throw errors[0];
  }
}

/** A failed run must not leave transactions open, which nobody could close behind it. */
async function abandon(world: World): Promise<void> {
  for (const replica of world.serves.values()) replica.hasCrashed = true;
  world.hasCrashed = true;
  await endCrashed(world);
}

/** One task moves, or the next command begins. */
async function takeTurn(world: World, queue: Command[], parallel: number): Promise<void> {
  const { scheduler } = world;
  const waiting = [...scheduler.tasks].filter((task) => task.resume);
  const awake = waiting.filter((task) => task.asleepUntil <= scheduler.step);
  const mayStart = queue.length > 0 && scheduler.tasks.size < parallel;
  const ready = awake.length > 0 || mayStart ? awake : waiting;
  const choice = scheduler.random(ready.length * 4 + (mayStart ? 1 : 0) || 1);
  const task = ready[choice >> 2];
  if (!task && mayStart) start(world, queue.shift() as Command);
  await scheduler.advance(task);
}

function start(world: World, { kind, input }: Command): void {
  startClient(world, kind, (client) => (kinds[kind] as Kind<unknown>).run(client, input));
}

/** What a process was doing when it crashed ends now; its successor clears up as a start does. */
async function endCrashed(world: World): Promise<void> {
  if (!world.hasCrashed) return;
  const { tasks } = world.scheduler;
  const isDead = (task: Task) => world.serves.get(task)?.hasCrashed;
  while ([...tasks].some(isDead)) {
    const waiting = [...tasks].filter((task) => task.resume);
    // A server sees that a client has gone; a dead task that waits for a lock ends when who holds that goes on.
    await world.scheduler.advance(waiting.find(isDead) ?? waiting[0]);
  }
  world.hasCrashed = false;
  const [successor] = world.replicas;
  if (world.platform.engine === 'sqlite' && successor) {
    await doomAbandonedWriters({ ...world.platform, local: successor.local });
    await putBackAbandonedOperations(world.platform);
  }
}

async function requireInvariants(world: World): Promise<void> {
  const broken = [...(await findBroken(world.platform, world)), ...(await findBrokenPromises(world))];
  if (broken.length > 0) throw new Error(`Broken:\n${broken.join('\n')}`);
}

async function findBrokenPromises({ platform, promises }: World): Promise<string[]> {
  const promised = promises.list(platform.now());
  const rows = await platform.db
    .selectFrom('repository_blobs as l')
    .innerJoin('repositories as r', 'r.id', 'l.repository_id')
    .innerJoin('registries as g', 'g.id', 'r.registry_id')
    .select(['g.name as registry', 'r.name as path', 'l.digest', 'l.leased_until'])
    .where('r.state', '=', 'live')
    .execute();
  const leases = new Map(rows.map((row) => [`${row.registry}/${row.path}/${row.digest}`, row.leased_until]));
  const kept = new Set(promises.list(platform.now()).map((mark) => JSON.stringify(mark)));
  return promised
    .filter((mark) => kept.has(JSON.stringify(mark)))
    .filter(({ repository, digest, until }) => (leases.get(`${repository}/${digest}`) ?? 0) < until)
    .map(
      (mark) => `a promise: ${JSON.stringify(mark)}, leased until ${leases.get(`${mark.repository}/${mark.digest}`)}`,
    );
}

/** No client any more: time passes, the background does its work, and nothing may be left over. */
async function rest(world: World): Promise<void> {
  world.faults.length = 0;
  await requireInvariants(world);
  for (let round = 0; round < 4; round++) {
    for (const { local } of world.replicas) {
      const platform = { ...world.platform, local };
      for (const job of Object.values(jobs)) for (let i = 0; i < 5; i++) await job(platform);
    }
    world.platform.clock.advance(round < 2 ? 6 * 60_000 : 25 * 3600_000);
  }
  await collectAll(world);
  await requireInvariants(world);
  const restless = await findRestless(world.platform);
  if (restless.length > 0) throw new Error(`Not at rest:\n${restless.join('\n')}`);
  await requireVerified(world.platform);
}

/** No lease runs any more: a collection frees what its preview said, and leaves only what is needed. */
async function collectAll({ platform, team }: World): Promise<void> {
  const registries = await listRegistries(platform, team.owner, { limit: 10 });
  for (const { id, state } of registries.items) {
    if (state === 'deleting') continue;
    const { unreferencedBytes, untaggedBytes } = await getCollectionPreview(platform, team.owner, id);
    const operation = await startCollection(platform, team.owner, { registry: id, deleteUntagged: true });
    while (await jobs.runOperation?.(platform));
    const { state: end, freedBytes } = await getOperation(platform, team.owner, operation.id);
    if (end !== 'done' || freedBytes !== unreferencedBytes + untaggedBytes) {
      throw new Error(`${end}, freed ${freedBytes}, the preview said ${unreferencedBytes} and ${untaggedBytes}`);
    }
  }
  const garbage = await findGarbage(platform);
  if (garbage.length > 0) throw new Error(`Garbage:\n${garbage.join('\n')}`);
  platform.clock.advance(11 * 60_000);
  while (Number(await jobs.removeDoomed?.(platform)) > 0);
}
