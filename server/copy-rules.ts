import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { Failure } from '#core/failure.ts';
import type { InstallationState } from '#core/installations.ts';
import type { BlobStore } from '#core/platform.ts';
import { isBackup } from './backup-mark.ts';
import type { ConfiguredStorage } from './config-storage.ts';

// What may be copied, and where to: nobody's data is ever overwritten.

/** Where an installation's rows and objects are, or shall be. `dataDir` is needed unless both are elsewhere. */
export type Place = {
  dataDir?: string | undefined;
  databaseUrl?: string | undefined;
  storage?: ConfiguredStorage | undefined;
  /** What an operator has named them with; the settings, unless said otherwise. */
  names?: PlaceNames | undefined;
};

export type PlaceNames = { database: string; storage: string; directory: string };

export const settingNames: PlaceNames = {
  database: 'LADING_DATABASE_URL',
  storage: 'LADING_STORAGE_URL',
  directory: 'LADING_DATA_DIR',
};

export const namesOf = ({ names = settingNames }: Place): PlaceNames => names;

/** As an operator would say it, with the setting that names it. */
export function describeStorage(place: Place): string {
  const { dataDir, storage } = place;
  if (!storage) return join(dataDir ?? '', 'objects');
  const { bucket, prefix, endpoint } = storage;
  const below = prefix === '' ? 'without a prefix' : `below the prefix ${prefix}`;
  return `the bucket ${bucket} ${below}${endpoint === undefined ? '' : ` at ${endpoint}`} (${namesOf(place).storage})`;
}

/** What is found in a database without changing anything. */
export type Found = {
  version: number | undefined;
  row: InstallationState | undefined;
  hasTeams: boolean;
  tableOfOurs: string | undefined;
};

/** `mustBeEmpty`: or one where the same copy was begun. */
export type Rules = { sourceId: string; mustBeEmpty: boolean };

/** Throws `unavailable`. `latest`: what this release makes. */
export function requireThisVersion({ version }: Found, latest: number, what: 'The source' | 'The backup'): void {
  if (version === undefined) {
    throw new Failure('unavailable', `${what} holds no installation: there are no tables of Lading in its database.`);
  }
  if (version === latest) return;
  const next =
    version > latest
      ? 'Use the newer release that made it.'
      : 'Start the servers of this release on it first, which bring it up to date.';
  throw new Failure('unavailable', `${what} has schema version ${version}, and this release ${latest}. ${next}`);
}

export function unfinishedSource(): Failure {
  return new Failure(
    'unavailable',
    'The source is itself an unfinished copy. Run the command that makes it again until it is complete.',
  );
}

/** Throws `in_use`: nobody's data is overwritten. */
export function requireOurs(
  row: InstallationState | undefined,
  hasTeams: boolean,
  { sourceId, mustBeEmpty }: Rules,
): void {
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

/** Half an installation, or that of a program which calls its tables as we do. Other tables are nobody's obstacle. */
export function requireNoTables({ version, tableOfOurs }: Found, place: Place): void {
  if (version !== undefined || tableOfOurs === undefined) return;
  const what = place.databaseUrl === undefined ? `lading.db in ${place.dataDir}` : `of ${namesOf(place).database}`;
  throw new Failure(
    'in_use',
    `The target database ${what} is not empty: it has a table ${tableOfOurs}, and is no installation of Lading. Name an empty database or schema.`,
  );
}

/** Its key is kept elsewhere for good reasons, and the next backup would be refused. */
export function requireNoBackup({ dataDir }: Place): void {
  if (dataDir === undefined || !isBackup(dataDir)) return;
  throw new Failure('in_use', `${dataDir} is a backup, which only lading backup writes to. Name another place.`);
}

/** What lies there without rows is another installation's, or would stay for ever. */
export async function requireEmptyBucket(place: Place, findAny: () => Promise<string | undefined>): Promise<void> {
  const found = await findAny();
  if (found === undefined) return;
  throw new Failure(
    'in_use',
    `The target is not empty: ${describeStorage(place)} holds ${JSON.stringify(found)}, and the target database knows of no objects. Name another prefix, or remove what lies below this one if no installation uses it.`,
  );
}

function describe(row: InstallationState | undefined): string {
  if (!row || row.copy_of === null) return 'an installation of its own, on which a server has run';
  return row.run === null ? 'a copy of an installation' : 'an unfinished copy of another installation';
}

export function requireNoObjects({ dataDir, storage }: Place): void {
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
export async function requireOtherStore(target: BlobStore, source: BlobStore): Promise<void> {
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

export function requireSpace({ dataDir, storage }: Place, bytes: number): void {
  if (storage || dataDir === undefined) return;
  const { bavail, bsize } = statfsSync(dataDir);
  const free = bavail * bsize;
  if (bytes + marginBytes <= free) return;
  throw new Failure(
    'unavailable',
    `${bytes} bytes of objects are still to be copied, and the disk of ${dataDir} has ${free} bytes free. Make room there.`,
  );
}
