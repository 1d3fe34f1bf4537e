// What the parts of a collection share: one repository at a time, and how a batch of it is removed.

import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';
import { Failure } from './failure.ts';
import { type Growth, growRepository, lockRepository } from './links.ts';
import { advanceOperation, type ClaimedOperation } from './operation-runs.ts';
import type { Platform } from './platform.ts';
import { release } from './sizes.ts';
import { transact } from './transact.ts';

export type Collecting = {
  platform: Platform;
  operation: ClaimedOperation;
  repository: { id: string; registryId: string };
  /** Counts for people: what was looked at and what was removed. */
  progress: Record<string, number>;
  pace: Pace;
};

/** How a collection goes on. */
export type Pace = {
  /** How many rows the next transaction removes. */
  size: number;
  /** Until then somebody counts as pushing here. */
  pushesUntil: number;
  /** When the newest step was on the disk. */
  endedAt: number;
};

export const newPace = (): Pace => ({ size: 100, pushesUntil: 0, endedAt: 0 });

const sizeStep = 50;
const sizeMax = 500;
/** From its first statement until it is on the disk, the time of the step beside it included: alone, and among others. */
const aloneMs = 12;
const busyMs = 4;
/** Among others each of the two that take turns rests so many times as long as it worked. */
const restsAmongPushes = 10;
const restsAfterWait = 2;
const restMaxMs = 250;
/** Ten clients leave moments in which none of them is heard of. */
const staysBusyMs = 500;
/** What one scan finds: enough for some batches, so that it is not asked for each. */
export const scanSize = 2000;

/**
 * What a batch took: `growth` of the repository, `freedBytes` of the registry, which has a blob once however many of its
 * repositories do, and the repositories that it lists less.
 */
export type Removed = { removed: number; growth: Growth; freedBytes: number; repositories?: number };

/** Removes something of the repository under its lock, with every counter, and says how far the collection is. */
export async function removeBatch(
  { platform, operation, repository, progress, pace }: Collecting,
  remove: (platform: Platform) => Promise<Removed>,
  counted?: string,
): Promise<Removed> {
  const asked = performance.now();
  let began = asked;
  let counting = 0;
  const removed = await transact(platform, async (platform) => {
    await lockRepository(platform, repository.id);
    began = performance.now();
    const removed = await remove(platform);
    const { growth, freedBytes, repositories = 0 } = removed;
    if (removed.removed > 0) await growRepository(platform, repository.id, growth);
    await release(platform, repository.registryId, freedBytes, 0, repositories);
    // Before the end, for the next step begins while this one is on its way to the disk; and once, however often it is tried.
    if (counted !== undefined) progress[counted] = (progress[counted] ?? 0) + removed.removed - counting;
    counting = removed.removed;
    await advanceOperation(platform, operation, { freedBytes, progress });
    return removed;
  });
  const ended = performance.now();
  const waitedMs = began - Math.max(asked, pace.endedAt);
  pace.endedAt = ended;
  const { writers, activeUploads } = platform.local;
  if (writers.size + activeUploads.size > 0) pace.pushesUntil = ended + staysBusyMs;
  await yieldToOthers(pace, ended - began, waitedMs > waitsIfBusyMs);
  return removed;
}

const waitsIfBusyMs = 1;

/** Among others, who push here or for whom it had to wait, the steps are short and the others get most of the time. */
async function yieldToOthers(pace: Pace, workedMs: number, hasWaited: boolean): Promise<void> {
  const isAmongPushes = pace.endedAt < pace.pushesUntil;
  const isBusy = isAmongPushes || hasWaited;
  const factor = Math.min(2, Math.max(0.5, (isBusy ? busyMs : aloneMs) / Math.max(workedMs, 0.1)));
  // In whole steps: each size is a statement of its own, which an engine prepares once.
  const size = Math.round((pace.size * factor) / sizeStep) * sizeStep;
  pace.size = Math.min(sizeMax, Math.max(sizeStep, size));
  if (isBusy) await delay(Math.min(workedMs * (isAmongPushes ? restsAmongPushes : restsAfterWait), restMaxMs));
  else await nextTurn();
}

/**
 * Two batches take turns: while the commit of one is on its way to the disk, the other is worked on. Where one fails, no
 * other is begun, and it is thrown when both have ended.
 */
export async function inTurns<T>(batches: Generator<T>, remove: (batch: T) => Promise<unknown>): Promise<void> {
  const work = async () => {
    // Leaving the loop by an error ends the generator, for the other one too.
    for (const batch of batches) await remove(batch);
  };
  const ends = await Promise.allSettled([work(), work()]);
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
}

/** Parts of the list, each as long as the pace is when it is asked for. */
export function* inPace<T>(items: readonly T[], pace: Pace): Generator<T[]> {
  for (let i = 0; i < items.length; ) {
    const part = items.slice(i, i + pace.size);
    i += part.length;
    yield part;
  }
}

export function isGone(error: unknown): boolean {
  return error instanceof Failure && error.reason === 'not_found' && error.detail.about === 'repository';
}
