import { randomBytes } from 'node:crypto';
import { accessSync, constants, existsSync, readdirSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import type { Kysely } from 'kysely';
import { openDiskStore } from '#blobs/disk.ts';
import { Failure } from '#core/failure.ts';
import { findInstallation, type InstallationState, identify } from '#core/installations.ts';
import type { BlobStore } from '#core/platform.ts';
import type { Schema } from '#core/schema.ts';
import { hasOtherSessions, takeCopyLock } from '#database/copy-lock.ts';
import { draftDirectory, publishDraft, settleDatabase } from '#database/draft-database.ts';
import { migrations } from '#database/migrate.ts';
import { openDatabase } from '#database/open-database.ts';
import { findSchemaVersion, openSnapshot, type Snapshot, type SnapshotOptions } from '#database/snapshot.ts';
import type { Source, Target } from '#transfer/copy-installation.ts';
import { seedObjects } from '#transfer/seed-objects.ts';
import type { ConfiguredStorage } from './config-storage.ts';
import { prepareDataDir } from './data-dir.ts';
import { findServeHolder, takeServeLock } from './serve-lock.ts';

/** Where an installation's rows and objects are, or shall be. `dataDir` is needed unless both are elsewhere. */
export type Place = {
  dataDir?: string | undefined;
  databaseUrl?: string | undefined;
  storage?: ConfiguredStorage | undefined;
};

export type Opened<T> = T & { close(): Promise<void> };

type Closing = (() => unknown)[];

const latest = migrations.at(-1)?.number ?? 0;

/** What is copied. A backup is only read, so that it may lie where nothing can be written. */
export async function openSource(place: Place, { isBackup = false } = {}): Promise<Opened<Source>> {
  const closing: Closing = [];
  const close = () => closeAll(closing);
  try {
    const options = databaseOf(place);
    const found = await look(options);
    requireThisVersion(found, isBackup ? 'The backup' : 'The source');
    if (found.row?.run) throw unfinishedSource();
    const blobs = await openStore(place, closing);
    const source = { blobs, openSnapshot: () => openExisting(options), close };
    if (isBackup) return { ...source, id: found.row?.id ?? '', shows: found.row?.copied_at ?? undefined };
    const database = await openDatabase({ ...options, poolSize: 4 });
    closing.push(() => database.close());
    return { ...source, id: await identify(database.db), live: { db: database.db, now: database.now } };
  } catch (error) {
    await close();
    throw error;
  }
}

/** So that no other command replaces the backup while it is read. Throws `unavailable` where there is none. */
export function takeBackup(directory: string): { release(): void } {
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
};

/** Where it is copied to: empty, or an earlier copy of the same source that no server has been started on. Locked until closed. */
export async function openTarget(
  place: Place,
  source: Source,
  { mustBeEmpty = false }: TargetRules = {},
): Promise<Opened<Target>> {
  const closing: Closing = [];
  const close = () => closeAll(closing);
  try {
    const { dataDir, databaseUrl } = place;
    if (dataDir !== undefined) {
      prepareDataDir(dataDir);
      const lock = takeDirectory(dataDir);
      closing.push(() => lock.release());
    }
    if (databaseUrl !== undefined) {
      const lock = await takeCopyLock(databaseUrl);
      closing.push(() => lock.release());
    }
    const looked = await lookAtTarget(place, { sourceId: source.id, mustBeEmpty });
    const blobs = await openStore(place, closing);
    await requireOtherStore(blobs, source.blobs);
    // Last, because it leaves something behind.
    const database = await openTargetDatabase(place, looked, closing);
    const requireRoom = (bytes: number) => requireSpace(place, bytes);
    return { ...database, blobs, requireRoom, close };
  } catch (error) {
    await close();
    throw error;
  }
}

type Rules = { sourceId: string; mustBeEmpty: boolean };
type TargetDatabase = Omit<Target, 'blobs' | 'requireRoom'>;
type Looked = { finished: Found; begun: Found };

/** Throws `in_use` where it is neither empty nor ours. */
async function lookAtTarget(place: Place, rules: Rules): Promise<Looked> {
  const finished = await look(databaseOf(place));
  const begun = place.databaseUrl === undefined ? await look(draftOf(place)) : nothing;
  for (const { row, hasTeams } of [finished, begun]) requireOurs(row, hasTeams, rules);
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

/** What is found without changing anything. */
type Found = { version: number | undefined; row: InstallationState | undefined; hasTeams: boolean };

const nothing: Found = { version: undefined, row: undefined, hasTeams: false };

async function look(options: SnapshotOptions): Promise<Found> {
  const snapshot = await openSnapshot(options);
  if (!snapshot) return nothing;
  try {
    const version = await findSchemaVersion(snapshot);
    const { db } = snapshot;
    const row = version !== undefined && version >= versionWithIds ? await findInstallation(db) : undefined;
    return { version, row, hasTeams: version !== undefined && (await hasTeams(db)) };
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

function requireThisVersion({ version }: Found, what: string): void {
  if (version === undefined) {
    throw new Failure('unavailable', `${what} holds no installation: there are no tables of Lading in its database.`);
  }
  if (version === latest) return;
  const next =
    version > latest
      ? 'Use the newer release that made it.'
      : what === 'The backup'
        ? 'Run bin/lading verify once with LADING_DATA_DIR naming it, which brings it up to date.'
        : 'Start the servers of this release on it first, which bring it up to date.';
  throw new Failure('unavailable', `${what} has schema version ${version}, and this release ${latest}. ${next}`);
}

function unfinishedSource(): Failure {
  return new Failure(
    'unavailable',
    'The source is itself an unfinished copy. Run the command that makes it again until it is complete.',
  );
}

/** Throws `in_use`: nobody's data is overwritten. */
function requireOurs(row: InstallationState | undefined, hasTeams: boolean, { sourceId, mustBeEmpty }: Rules): void {
  if (!row && !hasTeams) return;
  if (row?.id === sourceId) {
    throw new Failure('in_use', 'The target is the source itself. Name another place.');
  }
  if (row?.copy_of === sourceId && (row.run !== null || !mustBeEmpty)) return;
  throw new Failure(
    'in_use',
    `The target is not empty: it holds ${describe(row)}. Name an empty place, or empty it first.`,
  );
}

function describe(row: InstallationState | undefined): string {
  if (!row || row.copy_of === null) return 'an installation of its own, on which a server has run';
  return row.run === null ? 'a copy of an installation' : 'an unfinished copy of another installation';
}

function requireNoObjects({ dataDir, storage }: Place): void {
  if (storage || dataDir === undefined) return;
  const path = join(dataDir, 'objects');
  const folders = existsSync(path) ? readdirSync(path, { withFileTypes: true }) : [];
  // Folders stay behind when what was in them is gone.
  if (!folders.some((folder) => folder.isDirectory() && readdirSync(join(path, folder.name)).length > 0)) return;
  throw new Failure(
    'in_use',
    `The target is not empty: ${path} holds objects without a database. Name an empty place.`,
  );
}

/** Always the same name: what a killed process leaves of it, the next copy takes away. */
const probeKey = 'copy-probe';

/** Two names may lead to one store, and what a copy clears away there would be the source's own. */
async function requireOtherStore(target: BlobStore, source: BlobStore): Promise<void> {
  const nonce = randomBytes(16);
  await target.remove(probeKey);
  try {
    await target.write(probeKey, once(nonce));
    const found = await source.read(probeKey);
    if (!found || !Buffer.concat(await found.toArray()).equals(nonce)) return;
  } finally {
    await target.remove(probeKey);
  }
  throw new Failure('in_use', 'The objects of the target would lie where those of the source are. Name another place.');
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

const marginBytes = 64 * 1024 * 1024;

function requireSpace({ dataDir, storage }: Place, bytes: number): void {
  if (storage || dataDir === undefined) return;
  const { bavail, bsize } = statfsSync(dataDir);
  const free = bavail * bsize;
  if (bytes + marginBytes <= free) return;
  throw new Failure(
    'unavailable',
    `${bytes} bytes of objects are still to be copied, and the disk of ${dataDir} has ${free} free. Make room, then run this again.`,
  );
}

const databaseOf = ({ dataDir, databaseUrl }: Place): SnapshotOptions => ({ url: databaseUrl, dataDir: dataDir ?? '' });

async function openStore({ dataDir, storage }: Place, closing: Closing): Promise<BlobStore> {
  if (!storage) return openDiskStore(join(dataDir ?? '', 'objects'));
  const { openS3Store } = await import('#blobs/s3.ts');
  const store = openS3Store(storage);
  closing.push(() => store.close());
  await store.check();
  return store;
}

/** The last opened first. */
async function closeAll(closing: Closing): Promise<void> {
  for (const close of closing.splice(0).toReversed()) await close();
}
