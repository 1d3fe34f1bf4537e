import { accessSync, constants, existsSync, mkdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Failure } from '#core/failure.ts';
import { unfinishedName } from '#core/installations.ts';
import { isBackup } from './backup-mark.ts';
import type { Config } from './config.ts';

/** Makes the data directory where it is missing. `name`: what it was named with. Throws `unavailable` with the one thing that is wrong. */
export function prepareDataDir(path: string, name = 'LADING_DATA_DIR'): void {
  try {
    makeDirectory(path);
    requireDataDir(path, name);
  } catch (error) {
    throw toFailure({ path, name }, error, 'be made');
  }
}

/** With what is missing above it. Node's own `recursive` never ends where the parent is there and still says ENOENT (/proc). */
function makeDirectory(path: string): void {
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST' && statSync(path).isDirectory()) return;
    if (code !== 'ENOENT' || existsSync(dirname(path))) throw error;
    makeDirectory(dirname(path));
    mkdirSync(path, { mode: 0o700 });
  }
}

/** For commands that look at an installation: nothing is made. Throws `unavailable`. */
export function requireDataDir(path: string, name = 'LADING_DATA_DIR'): void {
  try {
    if (!statSync(path).isDirectory()) throw Object.assign(new Error(), { code: 'ENOTDIR' });
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    throw toFailure({ path, name }, error, 'be used');
  }
}

/** Opening makes what is missing, and an installation that was just made is in perfect order. Throws `unavailable`. */
export function requireInstallation(config: Pick<Config, 'dataDir' | 'databaseUrl' | 'storage'>): void {
  const { dataDir, databaseUrl, storage } = config;
  // Rows and bytes are both elsewhere, and of the rest nothing need be there.
  if (databaseUrl && storage) return;
  requireDataDir(dataDir);
  if (!databaseUrl) requireNotCutShort(dataDir);
  const needed = [...(databaseUrl ? [] : ['lading.db']), ...(storage ? [] : ['objects'])];
  const missing = needed.find((name) => !existsSync(join(dataDir, name)));
  const kind = missing === 'objects' ? 'directory ' : '';
  if (missing === undefined) return;
  throw new Failure(
    'unavailable',
    `There is no ${kind}${missing} in ${dataDir}: it is not the data directory of an installation.`,
  );
}

/** Throws `unavailable` where a first backup or copy was begun and nothing came before. */
export function requireNotCutShort(directory: string): void {
  if (existsSync(join(directory, 'lading.db')) || !existsSync(join(directory, unfinishedName))) return;
  throw new Failure(
    'unavailable',
    isBackup(directory)
      ? `The backup in ${directory} was cut short, and there is none before it. Run lading backup again; it goes on where it stopped.`
      : `The copy in ${directory} was cut short. Run the lading command that makes it again; it goes on where it stopped.`,
  );
}

const causes: Readonly<Record<string, string>> = {
  EACCES: 'This user may not read and write it: change its owner, or run as the user it belongs to.',
  EPERM: 'This user may not read and write it: change its owner, or run as the user it belongs to.',
  ENOTDIR: 'It, or something above it, is not a directory.',
  EEXIST: 'It is not a directory.',
  ENOENT: 'It is not there, or cannot be made there.',
  EROFS: 'The file system is read-only.',
  ENOSPC: 'The disk is full.',
};

type Named = { path: string; name: string };

function toFailure({ path, name }: Named, error: unknown, what: string): Failure {
  if (error instanceof Failure) return error;
  const { code = '', message } = error as NodeJS.ErrnoException;
  const cause = causes[code] ?? `The system says: ${message}.`;
  return new Failure('unavailable', `The data directory ${path} (${name}) cannot ${what}. ${cause}`);
}
