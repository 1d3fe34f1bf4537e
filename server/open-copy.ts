import { accessSync, constants, existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Kysely } from 'kysely';
import { openDiskStore } from '#blobs/disk.ts';
import type { S3Store } from '#blobs/s3.ts';
import { Failure } from '#core/failure.ts';
import { findInstallation, identify } from '#core/installations.ts';
import type { BlobStore } from '#core/platform.ts';
import type { Schema } from '#core/schema.ts';
import { hasOtherSessions, takeCopyLock } from '#database/copy-lock.ts';
import { draftDirectory, publishDraft, settleDatabase } from '#database/draft-database.ts';
import { migrations } from '#database/migrate.ts';
import { bringUpCopy } from '#database/older-database.ts';
import { openDatabase } from '#database/open-database.ts';
import { findSchemaVersion, findTable, openSnapshot, type Snapshot, type SnapshotOptions } from '#database/snapshot.ts';
import type { Source, Target } from '#transfer/copy-installation.ts';
import { seedObjects } from '#transfer/seed-objects.ts';
import { tables } from '#transfer/tables.ts';
import { markBackup } from './backup-mark.ts';
import {
  describeStorage,
  type Found,
  namesOf,
  type Place,
  type Rules,
  requireEmptyBucket,
  requireNoBackup,
  requireNoObjects,
  requireNoTables,
  requireOtherStore,
  requireOurs,
  requireSpace,
  requireThisVersion,
  unfinishedSource,
} from './copy-rules.ts';
import { prepareDataDir, requireNotCutShort } from './data-dir.ts';
import { nameStore } from './named-store.ts';
import { findServeHolder, takeServeLock } from './serve-lock.ts';

export type Opened<T> = T & { close(): Promise<void> };

type Closing = (() => unknown)[];

const latest = migrations.at(-1)?.number ?? 0;

export type SourceRules = {
  isBackup?: boolean;
  /** Where the rows of an older backup are brought up to this release's schema. */
  scratch?: string;
};

/** What is copied. A backup is only read, so that it may lie where nothing can be written. */
export async function openSource(
  place: Place,
  { isBackup = false, scratch = tmpdir() }: SourceRules = {},
): Promise<Opened<Source>> {
  const closing: Closing = [];
  const close = () => closeAll(closing);
  try {
    const options = isBackup ? await bringUp(place, scratch, closing) : databaseOf(place);
    const found = await look(options);
    requireThisVersion(found, latest, isBackup ? 'The backup' : 'The source');
    if (found.row?.run) throw unfinishedSource();
    const blobs = await openStore(place, 'The source', closing);
    const source = {
      blobs,
      storedIn: describeStorage(place),
      openSnapshot: () => openExisting(options),
      close,
    };
    if (isBackup) return { ...source, id: found.row?.id ?? '', shows: found.row?.copied_at ?? undefined };
    const database = await openDatabase({ ...options, poolSize: 4 });
    closing.push(() => database.close());
    return { ...source, id: await identify(database.db), live: { db: database.db, now: database.now } };
  } catch (error) {
    await close();
    throw error;
  }
}

async function bringUp(place: Place, scratch: string, closing: Closing): Promise<SnapshotOptions> {
  const broughtUp = await bringUpCopy(place.dataDir ?? '', () => {
    prepareDataDir(scratch);
    return scratch;
  });
  if (!broughtUp) return databaseOf(place);
  closing.push(broughtUp.remove);
  return { dataDir: broughtUp.dataDir };
}

/** So that no other command replaces the backup while it is read. Throws `unavailable` where there is none. */
export function takeBackup(directory: string): { release(): void } {
  requireNotCutShort(directory);
  if (!existsSync(join(directory, 'lading.db'))) {
    throw new Failure('unavailable', `There is no backup in ${directory}: it holds no lading.db.`);
  }
  try {
    accessSync(directory, constants.W_OK);
  } catch {
    // Nor can anybody else write there.
    return { release: () => {} };
  }
  return takeDirectory(directory);
}

/** Nobody serves it, copies into it or restores from it meanwhile. Throws `conflict`. */
function takeDirectory(path: string): { release(): void } {
  try {
    return takeServeLock(path);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    const { pid } = findServeHolder(path) ?? {};
    throw new Failure(
      error.reason,
      `${path} is in use by another lading serve, copy-store, backup or restore${pid === undefined ? '' : ` (process ${pid})`}. Wait for its end, or stop it.`,
    );
  }
}

/** Whether servers work on it now, as far as can be seen from here. */
export async function findServers({ dataDir, databaseUrl }: Place, { isOpenHere = false } = {}): Promise<boolean> {
  if (dataDir !== undefined && findServeHolder(dataDir) !== undefined) return true;
  // Once we have connections of our own, nobody can tell them from a server's.
  return databaseUrl !== undefined && !isOpenHere && (await hasOtherSessions(databaseUrl));
}

export type TargetRules = {
  /** Only an empty place, or one where the same copy was begun. */
  mustBeEmpty?: boolean;
  /** What is made is a backup, and only that may take the place of one. */
  makesBackup?: boolean;
};

/** Where it is copied to: empty, or an earlier copy of the same source that no server has been started on. Locked until closed. */
export async function openTarget(
  place: Place,
  source: Source,
  { mustBeEmpty = false, makesBackup = false }: TargetRules = {},
): Promise<Opened<Target>> {
  const closing: Closing = [];
  const close = () => closeAll(closing);
  try {
    const { dataDir, databaseUrl } = place;
    if (dataDir !== undefined) {
      if (!makesBackup) requireNoBackup(place);
      prepareDataDir(dataDir, place.names?.directory);
      const lock = takeDirectory(dataDir);
      closing.push(() => lock.release());
    }
    if (databaseUrl !== undefined) {
      const lock = await takeCopyLock(databaseUrl, namesOf(place).database);
      closing.push(() => lock.release());
    }
    const looked = await lookAtTarget(place, { sourceId: source.id, mustBeEmpty });
    if (makesBackup && dataDir !== undefined) markBackup(dataDir);
    const blobs = await openStore(place, 'The target', closing);
    await requireOtherStore(blobs, source.blobs);
    const isNew = !looked.finished.row && !looked.begun.row;
    if (isNew && blobs.findAny) await requireEmptyBucket(place, blobs.findAny);
    // Last, because it leaves something behind.
    const database = await openTargetDatabase(place, looked, closing);
    const requireRoom = (bytes: number) => requireSpace(place, bytes);
    return { ...database, blobs, requireRoom, close };
  } catch (error) {
    await close();
    throw error;
  }
}

type TargetDatabase = Omit<Target, 'blobs' | 'requireRoom'>;
type Looked = { finished: Found; begun: Found };

/** Throws `in_use` where it is neither empty nor ours. */
async function lookAtTarget(place: Place, rules: Rules): Promise<Looked> {
  const finished = await look(databaseOf(place));
  const begun = place.databaseUrl === undefined ? await look(draftOf(place)) : nothing;
  for (const { row, hasTeams } of [finished, begun]) requireOurs(row, hasTeams, rules);
  requireNoTables(finished, place);
  if (!finished.row && !begun.row) requireNoObjects(place);
  return { finished, begun };
}

const draftOf = ({ dataDir = '' }: Place): SnapshotOptions => ({ dataDir: draftDirectory(dataDir) });

async function openTargetDatabase(
  place: Place,
  { finished, begun }: Looked,
  closing: Closing,
): Promise<TargetDatabase> {
  if (place.databaseUrl === undefined) return openDraft(place, { finished, begun }, closing);
  const { db, scans, engine, now, close } = await openDatabase({ ...databaseOf(place), poolSize: 8 });
  closing.push(close);
  return { db, scans, engine, now, before: finished.row, publish: async () => db };
}

/** On SQLite the copy is built beside what is there, and takes its place when it is complete. */
async function openDraft(place: Place, { finished, begun }: Looked, closing: Closing): Promise<TargetDatabase> {
  const { dataDir = '' } = place;
  const { db, scans, engine, now, close } = await openDatabase(draftOf(place));
  let isOpen = true;
  const closeOnce = async () => {
    if (isOpen) await close();
    isOpen = false;
  };
  closing.push(closeOnce);
  // What an earlier copy has brought is not brought again.
  if (finished.row) await readExisting({ dataDir }, (snapshot) => seedObjects(snapshot.db, db));
  const publish = async () => {
    await closeOnce();
    publishDraft(dataDir);
    const published = await openDatabase({ dataDir });
    closing.push(async () => {
      await published.close();
      settleDatabase(dataDir);
    });
    return published.db;
  };
  return { db, scans, engine, now, before: begun.row, id: finished.row?.id, publish };
}

const nothing: Found = { version: undefined, row: undefined, hasTeams: false, tableOfOurs: undefined };

async function look(options: SnapshotOptions): Promise<Found> {
  const snapshot = await openSnapshot(options);
  if (!snapshot) return nothing;
  try {
    const version = await findSchemaVersion(snapshot);
    const { db } = snapshot;
    const row = version !== undefined && version >= versionWithIds ? await findInstallation(db) : undefined;
    if (version !== undefined) return { version, row, hasTeams: await hasTeams(db), tableOfOurs: undefined };
    return { ...nothing, tableOfOurs: await findTable(snapshot, ['objects', ...tables.map(({ name }) => name)]) };
  } finally {
    await snapshot.close();
  }
}

const versionWithIds = 10;

async function hasTeams(db: Kysely<Schema>): Promise<boolean> {
  return (await db.selectFrom('teams').select('id').limit(1).executeTakeFirst()) !== undefined;
}

async function openExisting(options: SnapshotOptions): Promise<Snapshot> {
  const snapshot = await openSnapshot(options);
  if (snapshot) return snapshot;
  throw new Failure('unavailable', `There is no lading.db in ${options.dataDir} any more.`);
}

async function readExisting(options: SnapshotOptions, work: (snapshot: Snapshot) => Promise<void>): Promise<void> {
  const snapshot = await openExisting(options);
  try {
    await work(snapshot);
  } finally {
    await snapshot.close();
  }
}

const databaseOf = (place: Place): SnapshotOptions => ({
  url: place.databaseUrl,
  dataDir: place.dataDir ?? '',
  urlName: namesOf(place).database,
});

type Store = BlobStore & Partial<Pick<S3Store, 'findAny'>>;

async function openStore(place: Place, side: 'The source' | 'The target', closing: Closing): Promise<Store> {
  const { dataDir, storage } = place;
  if (!storage) return openDiskStore(join(dataDir ?? '', 'objects'));
  const { openS3Store } = await import('#blobs/s3.ts');
  const store = nameStore(openS3Store(storage), `${side}, ${describeStorage(place)}`);
  closing.push(() => store.close());
  await store.check();
  return store;
}

/** The last opened first. */
async function closeAll(closing: Closing): Promise<void> {
  for (const close of closing.splice(0).toReversed()) await close();
}
