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
};

/** What one transaction removes: a few milliseconds, because every push of the registry may wait for it. */
export const batchSize = 200;
/** What one scan finds: enough for some batches, so that it is not asked for each. */
export const scanSize = 2000;

/**
 * What a batch took: `growth` of the repository, `freedBytes` of the registry, which has a blob once however many of its
 * repositories do, and the repositories that it lists less.
 */
export type Removed = { removed: number; growth: Growth; freedBytes: number; repositories?: number };

/** Removes something of the repository under its lock, with every counter, and says how far the collection is. */
export async function removeBatch(
  { platform, operation, repository, progress }: Collecting,
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
  await yieldToOthers(began - asked, performance.now() - began);
  return removed;
}

const add = (progress: Record<string, number>, counted: string, count: number) => ({
  ...progress,
  [counted]: (progress[counted] ?? 0) + count,
});

const waitsIfBusyMs = 1;

/** Whoever had to wait for its turn is not alone: then the others get most of the time. */
async function yieldToOthers(waitedMs: number, workedMs: number): Promise<void> {
  if (waitedMs > waitsIfBusyMs) await delay(workedMs * 3);
}

export function isGone(error: unknown): boolean {
  return error instanceof Failure && error.reason === 'not_found' && error.detail.about === 'repository';
}
