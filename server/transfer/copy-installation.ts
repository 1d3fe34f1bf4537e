// Copies an installation, its rows and the objects they need, from one database and store into another, while servers go on
// working on the source.
//
//   hold      the source's servers remove nothing from their store from now on (committed before the snapshot is taken, so
//             what they had chosen to remove by then was doomed before it, and is not needed)
//   snapshot  one long read transaction; it ends when the rows are copied, so the source's WAL does not grow with the bytes
//   rows      replace those of the target, which nobody may serve: its own row says that it is unfinished
//   objects   are copied as the target's rows say, and compared with their digests
//   end       in one transaction the target is whole; what only its earlier state needed is removed after that
//
// Killed at any moment, the next run does the rest. What stays true: a target that says it is whole has every row of one
// moment of the source, and every object that these rows need, except for those it was told of as lost.

import { type Kysely, sql } from 'kysely';
import { Failure } from '#core/failure.ts';
import { newId } from '#core/ids.ts';
import { beginCopy, endCopy, type InstallationState } from '#core/installations.ts';
import { removeDoomed } from '#core/objects.ts';
import type { BlobStore, Log, Platform } from '#core/platform.ts';
import type { Schema } from '#core/schema.ts';
import { countChanges, markOf } from './changes.ts';
import { copyObjects, type ObjectsCopied } from './copy-objects.ts';
import { copyRows } from './copy-rows.ts';
import { type Hold, takeHold } from './hold.ts';
import { usualPauses } from './patience.ts';
import { type LostContent, settle } from './settle.ts';
import { unhurried } from './unhurried.ts';

export type Source = {
  /** Of the installation's own row. */
  id: string;
  /** Where servers may be at work; a backup has none. */
  live?: { db: Kysely<Schema>; now: () => number } | undefined;
  openSnapshot(): Promise<{ db: Kysely<Schema>; close(): Promise<void> }>;
  blobs: BlobStore;
  /** Where its objects are looked for, as an operator would say it. */
  storedIn: string;
  /** The moment that a backup shows. */
  shows?: number | undefined;
};

export type Target = {
  db: Kysely<Schema>;
  scans: Kysely<Schema>;
  engine: 'sqlite' | 'postgres';
  now: () => number;
  blobs: BlobStore;
  /** Its own row when it was looked at. */
  before: InstallationState | undefined;
  /** What it is called if it has no row yet. */
  id?: string | undefined;
  /** Throws `unavailable` where there is no room for so many more bytes of objects. */
  requireRoom(bytes: number): void;
  /** Puts what is complete where servers look for it. Answers its database, open. */
  publish(): Promise<Kysely<Schema>>;
};

export type Progress =
  | { phase: 'rows'; done: number; total: number }
  | { phase: 'objects'; done: number; total: number; doneBytes: number; totalBytes: number };

export type CopyOptions = {
  source: Source;
  target: Target;
  log: Log;
  report: (progress: Progress) => void;
  signal: AbortSignal;
  /** Between tries of what a store refuses. */
  pausesMs?: readonly number[] | undefined;
};

export type Copied = {
  /** The moment that the target shows. */
  snapshotAt: number;
  rows: number;
  objects: Omit<ObjectsCopied, 'lost' | 'inDoubt'>;
  /** In the source, and therefore in the target. */
  lost: LostContent[];
  inDoubt: ObjectsCopied['inDoubt'];
  /** False: run it again. */
  isComplete: boolean;
  /** Objects that only an earlier copy in this place needed. */
  removed: number;
  /** How much was changed in the source after the snapshot, and is not in the target. */
  changesSince: number;
};

export async function copyInstallation(options: CopyOptions): Promise<Copied> {
  const { source, target } = options;
  const run = newId();
  if (!(await beginCopy(target.db, target.before, { copyOf: source.id, run, id: target.id }))) throw notOurs();
  const hold = source.live && (await takeHold(source.live.db, source.live.now));
  try {
    return await copyUnderHold(options, run, hold);
  } finally {
    await hold?.end();
  }
}

async function copyUnderHold(options: CopyOptions, run: string, hold: Hold | undefined): Promise<Copied> {
  const { source, target, signal } = options;
  const { rows, mark, snapshotAt } = await copySnapshot(options, run);
  const totals = await countWanted(target);
  target.requireRoom(totals.missingBytes);
  const { lost, inDoubt, ...objects } = await copyObjects({
    source: source.blobs,
    target: { ...target, run },
    log: options.log,
    checkHold: async () => hold?.check(),
    onObject: newObjectCounter(options, totals),
    signal,
    pausesMs: options.pausesMs ?? usualPauses,
  });
  const changesSince = async () => (source.live ? countChanges(source.live.db, mark) : 0);
  requirePlausible(lost, totals.count, source.storedIn);
  if (inDoubt.length > 0) {
    return {
      snapshotAt,
      rows,
      objects,
      lost: [],
      inDoubt,
      isComplete: false,
      removed: 0,
      changesSince: await changesSince(),
    };
  }
  const lostContent = await target.db.transaction().execute(async (db) => {
    await unhurried(db, target.engine);
    const content = await settle(db, lost);
    await endCopy(db, run, snapshotAt);
    return content;
  });
  const published = await target.publish();
  const removed = await removeUnneeded({ ...target, db: published, log: options.log });
  const since = await changesSince();
  return { snapshotAt, rows, objects, lost: lostContent, inDoubt, isComplete: true, removed, changesSince: since };
}

const lostMax = 20;

/** So much is not lost: it is somewhere else. What was marked as lost here would be pushed again for nothing. */
function requirePlausible(lost: ObjectsCopied['lost'], wanted: number, storedIn: string): void {
  const missing = lost.filter(({ why }) => why === 'missing').length;
  if (missing <= lostMax || missing * 2 <= wanted) return;
  throw new Failure(
    'unavailable',
    `${missing} of ${wanted} objects are not in ${storedIn}: that is hardly where this installation keeps them, so nothing was marked as lost. Give the settings of its servers. If the objects are really gone, bin/lading verify --repair on the source says so for good, and a copy is made without them.`,
  );
}

async function copySnapshot({ source, target, report, signal }: CopyOptions, run: string) {
  const snapshot = await source.openSnapshot();
  try {
    const snapshotAt = source.shows ?? target.now();
    const mark = await markOf(snapshot.db);
    const rows = await copyRows(snapshot.db, { ...target, run }, signal, (done, total) =>
      report({ phase: 'rows', done, total }),
    );
    return { rows, mark, snapshotAt };
  } finally {
    await snapshot.close();
  }
}

type Totals = { count: number; bytes: number; missingBytes: number };

async function countWanted({ scans }: Target): Promise<Totals> {
  const rows = await scans
    .selectFrom('objects')
    .select(({ fn }) => ['state', fn.countAll<number>().as('count'), fn.sum<number>('size').as('bytes')])
    .where('state', '<>', 'doomed')
    .groupBy('state')
    .execute();
  const sum = (of: 'count' | 'bytes') => rows.reduce((total, row) => total + Number(row[of]), 0);
  const missing = rows.find(({ state }) => state === 'writing');
  return { count: sum('count'), bytes: sum('bytes'), missingBytes: Number(missing?.bytes ?? 0) };
}

function newObjectCounter({ report }: CopyOptions, { count, bytes }: Totals): (size: number) => void {
  let done = 0;
  let doneBytes = 0;
  const tell = () => report({ phase: 'objects', done, total: count, doneBytes, totalBytes: bytes });
  tell();
  return (size) => {
    done++;
    doneBytes += size;
    tell();
  };
}

/**
 * Their rows are there, doomed, until their bytes are gone: a copy that is killed here leaves nothing without a row. The copy
 * is whole by now, so what the store refuses is left to the next run, or to a server that is started on it.
 */
async function removeUnneeded(target: Pick<Platform, 'db' | 'blobs' | 'now' | 'log'>): Promise<number> {
  const before = await countDoomed(target.db);
  try {
    while ((await removeDoomed(target as Platform)) > 0);
  } catch (err) {
    target.log.warn({ err }, 'not all that is no longer needed could be removed; the next run goes on');
  }
  return before - (await countDoomed(target.db));
}

async function countDoomed(db: Kysely<Schema>): Promise<number> {
  const { rows } = await sql<{ n: number }>`select count(*) as n from objects where state = 'doomed'`.execute(db);
  return Number(rows[0]?.n ?? 0);
}

function notOurs(): Failure {
  return new Failure('conflict', 'The target has changed since it was looked at. Run the command again.');
}
