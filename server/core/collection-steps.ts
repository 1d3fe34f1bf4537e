// What the parts of a collection share: one repository at a time, and how a batch of it is removed.

import { setTimeout as delay } from 'node:timers/promises';
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

/** How many rows the next transaction removes. */
export type Pace = { size: number };

export const newPace = (): Pace => ({ size: 100 });

const sizeMin = 50;
const sizeMax = 500;
/** What a transaction is meant to take: alone, and where others wait for their turn. */
const aloneMs = 12;
const busyMs = 4;
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
  const removed = await transact(platform, async (platform) => {
    await lockRepository(platform, repository.id);
    began = performance.now();
    const removed = await remove(platform);
    const { growth, freedBytes, repositories = 0 } = removed;
    if (removed.removed > 0) await growRepository(platform, repository.id, growth);
    await release(platform, repository.registryId, freedBytes, 0, repositories);
    const next = counted === undefined ? progress : add(progress, counted, removed.removed);
    await advanceOperation(platform, operation, { freedBytes, progress: next });
    return removed;
  });
  if (counted !== undefined) Object.assign(progress, add(progress, counted, removed.removed));
  const isBusy = began - asked > waitsIfBusyMs || platform.local.writers.size + platform.local.activeUploads.size > 0;
  await yieldToOthers(pace, isBusy, performance.now() - began);
  return removed;
}

const add = (progress: Record<string, number>, counted: string, count: number) => ({
  ...progress,
  [counted]: (progress[counted] ?? 0) + count,
});

const waitsIfBusyMs = 1;

/** Among others, who push here or for whom it had to wait, the steps are short and the others get most of the time. */
async function yieldToOthers(pace: Pace, isBusy: boolean, workedMs: number): Promise<void> {
  const factor = (isBusy ? busyMs : aloneMs) / Math.max(workedMs, 0.1);
  pace.size = Math.round(Math.min(sizeMax, Math.max(sizeMin, pace.size * Math.min(2, Math.max(0.5, factor)))));
  if (isBusy) await delay(workedMs * 2);
}

/** Parts of the list, each as long as the pace is when it is asked for. */
export function* inPace<T>(items: readonly T[], pace: Pace): Iterable<T[]> {
  for (let i = 0; i < items.length; ) {
    const part = items.slice(i, i + pace.size);
    i += part.length;
    yield part;
  }
}

export function isGone(error: unknown): boolean {
  return error instanceof Failure && error.reason === 'not_found' && error.detail.about === 'repository';
}
