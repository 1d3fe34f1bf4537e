// The bytes. Which objects are to come is in the target's own rows: `writing` until the bytes are durable and were compared
// with their digest, `stored` from then on. Both stores make an object appear whole, and a row turns `stored` only after
// that, so a copy that was killed at any moment knows by its rows what it has; what is half written is removed and written
// anew.

import type { Kysely } from 'kysely';
import { sentenceForOperator } from '#core/failure.ts';
import { requireRun } from '#core/installations.ts';
import type { BlobStore, Log } from '#core/platform.ts';
import type { Schema } from '#core/schema.ts';
import { copyBytes } from './copy-bytes.ts';
import { inParallel } from './in-parallel.ts';
import { isFull, type Patience, patiently } from './patience.ts';
import { listWanted, type WantedObject } from './wanted-objects.ts';

export type ObjectsTarget = {
  db: Kysely<Schema>;
  scans: Kysely<Schema>;
  blobs: BlobStore;
  run: string;
};

export type ObjectFault = { key: string; digest: string | null; why: string };

export type ObjectsCopied = {
  copied: number;
  copiedBytes: number;
  /** The target had them. */
  kept: number;
  keptBytes: number;
  /** Surely gone or damaged in the source. */
  lost: ObjectFault[];
  /** The source or the target refused again and again: the copy cannot be finished now. */
  inDoubt: ObjectFault[];
};

export type ObjectsOptions = Patience & {
  source: BlobStore;
  target: ObjectsTarget;
  log: Log;
  /** Throws where the source may have removed what the copy needs. */
  checkHold: () => Promise<void>;
  onObject: (bytes: number, outcome: Outcome) => void;
};

type Outcome = 'copied' | 'kept' | 'missing' | 'damaged' | 'given up';

const atOnce = 8;
/** Each note is a commit, which waits for the disk; what is not noted when the process is killed is copied again. */
const noteEvery = 50;
/** So many that do not work: it is the store, not the object. */
const doubtsMax = 20;

export async function copyObjects(options: ObjectsOptions): Promise<ObjectsCopied> {
  const { target, signal } = options;
  const result: ObjectsCopied = { copied: 0, copiedBytes: 0, kept: 0, keptBytes: 0, lost: [], inDoubt: [] };
  let done: string[] = [];
  const note = async () => {
    const keys = done;
    done = [];
    if (keys.length > 0) await patiently(options, () => noteStored(target, keys));
  };
  try {
    for await (const page of listWanted(target.scans)) {
      await inParallel(page, atOnce, async (wanted) => {
        signal.throwIfAborted();
        if (result.inDoubt.length >= doubtsMax) return;
        const outcome = await copyOne(options, wanted, result);
        if (outcome === 'copied') done.push(wanted.key);
        if (done.length >= noteEvery) await note();
      });
      await note();
    }
    return result;
  } finally {
    // So that a run that was told to stop has not done it in vain.
    if (done.length > 0) await noteStored(target, done).catch(() => {});
  }
}

async function copyOne(
  options: ObjectsOptions,
  wanted: WantedObject,
  result: ObjectsCopied,
): Promise<Outcome | undefined> {
  const { key, size, digest } = wanted;
  const { signal } = options;
  let outcome: Outcome;
  try {
    outcome = await patiently(options, (attempt) => tryToCopy(options, wanted, attempt));
  } catch (error) {
    signal.throwIfAborted();
    if (isFull(error)) throw error;
    options.log.warn({ key, err: error }, 'an object could not be copied');
    result.inDoubt.push({ key, digest, why: sentenceForOperator(error as Error) });
    return undefined;
  }
  if (outcome === 'missing' || outcome === 'damaged') {
    // It may have been removed for good reasons, if nobody held it.
    await options.checkHold();
    result.lost.push({ key, digest, why: outcome });
  }
  if (outcome === 'copied') {
    result.copied++;
    result.copiedBytes += size;
  }
  if (outcome === 'kept') {
    result.kept++;
    result.keptBytes += size;
  }
  options.onObject(size, outcome);
  return outcome;
}

async function tryToCopy({ source, target }: ObjectsOptions, wanted: WantedObject, attempt: number): Promise<Outcome> {
  const { key, size, state, attempts, isGivenUp } = wanted;
  if (isGivenUp) return 'given up';
  if (state === 'stored' && (await target.blobs.size(key)) === size) return 'kept';
  // What an earlier try has left, which both stores would take amiss.
  if (state === 'stored' || attempts > 0 || attempt > 0) await target.blobs.remove(key);
  const fault = await copyBytes(source, target.blobs, wanted);
  // Twice, because what is given up here is given up for good.
  return fault === undefined ? 'copied' : ((await copyBytes(source, target.blobs, wanted)) ?? 'copied');
}

/** From now on these are taken for whole. */
async function noteStored({ db, run }: ObjectsTarget, keys: readonly string[]): Promise<void> {
  await db.transaction().execute(async (db) => {
    await requireRun(db, run);
    await db.updateTable('objects').set({ state: 'stored' }).where('key', 'in', keys).execute();
  });
}
