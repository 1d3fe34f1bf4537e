import { closeSync, existsSync, fsyncSync, openSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Failure } from '#core/failure.ts';
import { unfinishedName } from '#core/installations.ts';

// A copy into a directory is built in a database beside the one that is there, and put into its place by a rename: at any
// moment the directory has the old one or the new one, whole.

/** The data directory of the unfinished database, below that of the finished one. */
export const draftDirectory = (dataDir: string): string => join(dataDir, unfinishedName);

/**
 * Before a server uses the directory: without its database it would begin a new, empty one, and with an earlier one it
 * would not know the objects that came since. Throws `unavailable`.
 */
export function requireNoDraft(dataDir: string): void {
  const draft = draftDirectory(dataDir);
  if (!existsSync(draft)) return;
  const otherwise = existsSync(join(dataDir, 'lading.db'))
    ? ` To use the earlier copy that is there, remove ${draft}.`
    : '';
  throw new Failure(
    'unavailable',
    `${dataDir} holds an unfinished copy of another installation. Run the lading command that makes the copy again; it goes on where it stopped.${otherwise}`,
  );
}

/** Puts the closed draft into its place. Throws `in_use` while something else works with the one that is there. */
export function publishDraft(dataDir: string): void {
  const [from, to] = [join(draftDirectory(dataDir), 'lading.db'), join(dataDir, 'lading.db')];
  leaveWalMode(from).close();
  // With an old WAL beside it the new database would be read with changes that are not its own.
  const old = existsSync(to) ? leaveWalMode(to) : undefined;
  try {
    sync(from);
    renameSync(from, to);
    sync(dataDir);
  } finally {
    old?.close();
  }
  rmSync(draftDirectory(dataDir), { recursive: true, force: true });
}

/** Leaves the closed database as one file, which can be read where nothing can be written; unless somebody has it open. */
export function settleDatabase(dataDir: string): void {
  try {
    leaveWalMode(join(dataDir, 'lading.db')).close();
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
  }
}

/** All in one file, and as long as it is open nobody else can begin a WAL. */
function leaveWalMode(file: string): DatabaseSync {
  const database = new DatabaseSync(file, { timeout: 5000 });
  try {
    const { journal_mode: mode } = database.prepare('pragma journal_mode = delete').get() as { journal_mode: string };
    if (mode !== 'delete') throw new Error(`its journal mode stays ${mode}`);
    database.exec('begin exclusive');
    return database;
  } catch (error) {
    database.close();
    throw new Failure(
      'in_use',
      `The database ${file} is in use by another program (${(error as Error).message}). Stop it, then run this again.`,
    );
  }
}

function sync(path: string): void {
  const file = openSync(path, 'r');
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
