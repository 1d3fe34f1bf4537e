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
/** What the statements of a step are meant to take; its commit takes half as long again. */
const aloneMs = 4;
const amongOthersMs = 2;
/** How many times as long as it took a step is followed by a rest. Two steps take turns, so this counts half. */
const rests = { pushes: 10, others: 2 };
const restMaxMs = 250;
/** Ten clients leave moments in which none of them is heard of. */
const staysMs = 500;
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
  let committing = asked;
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
    committing = performance.now();
    return removed;
  });
  const ended = performance.now();
  const company = findCompany(platform, pace, began - Math.max(asked, pace.endedAt));
  pace.endedAt = ended;
  pace.size = chooseSize(pace, committing - began, company);
  await rest(ended - began, company);
  return removed;
}

/** A step that waited for its turn was not alone; longer than a statement takes to a distant server and back. */
const waitsIfOthersMs = 3;

/** Who else is at work here, as far as a step can tell. */
type Company = 'nobody' | 'others' | 'pushes';

function findCompany({ local }: Platform, pace: Pace, waitedMs: number): Company {
  const now = performance.now();
  if (local.writers.size + local.activeUploads.size > 0) pace.pushesUntil = now + staysMs;
  if (now < pace.pushesUntil) return 'pushes';
  return waitedMs > waitsIfOthersMs ? 'others' : 'nobody';
}

/** How many rows are removed next. In whole steps, for each size is a statement of its own that is prepared once. */
function chooseSize({ size }: Pace, workedMs: number, company: Company): number {
  const factor = (company === 'nobody' ? aloneMs : amongOthersMs) / Math.max(workedMs, 0.1);
  const wanted = size * Math.min(2, Math.max(0.5, factor));
  return Math.min(sizeMax, Math.max(sizeStep, Math.round(wanted / sizeStep) * sizeStep));
}

/** The others get most of the time. */
async function rest(tookMs: number, company: Company): Promise<void> {
  if (company === 'nobody') await nextTurn();
  else await delay(Math.min(tookMs * rests[company], restMaxMs));
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
