import { accessSync, constants, mkdirSync, statSync } from 'node:fs';
import { Failure } from '#core/failure.ts';

/** Makes the data directory where it is missing. Throws `unavailable` with the one thing that is wrong. */
export function prepareDataDir(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    requireDataDir(path);
  } catch (error) {
    throw toFailure(path, error, 'be made');
  }
}

/** For commands that look at an installation: nothing is made. Throws `unavailable`. */
export function requireDataDir(path: string): void {
  try {
    if (!statSync(path).isDirectory()) throw Object.assign(new Error(), { code: 'ENOTDIR' });
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    throw toFailure(path, error, 'be used');
  }
}

const causes: Readonly<Record<string, string>> = {
  EACCES: 'This user may not read and write it: change its owner, or run as the user it belongs to.',
  EPERM: 'This user may not read and write it: change its owner, or run as the user it belongs to.',
  ENOTDIR: 'It, or something above it, is not a directory.',
  EEXIST: 'It is not a directory.',
  ENOENT: 'It is not there.',
  EROFS: 'The file system is read-only.',
  ENOSPC: 'The disk is full.',
};

function toFailure(path: string, error: unknown, what: string): Failure {
  if (error instanceof Failure) return error;
  const { code = '', message } = error as NodeJS.ErrnoException;
  const cause = causes[code] ?? `The system says: ${message}.`;
  return new Failure('unavailable', `The data directory ${path} (LADING_DATA_DIR) cannot ${what}. ${cause}`);
}
