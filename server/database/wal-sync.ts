import { type FileHandle, open } from 'node:fs/promises';
import { Failure } from '#core/failure.ts';
import { type GroupSync, newGroupSync } from './group-sync.ts';

/** Makes commits durable: they lie in the WAL beside the database, in the order in which they were made. */
export type WalSync = GroupSync & { close(): Promise<void> };

/**
 * The file stays the same as long as a connection is open, and SQLite locks others than this one: closing a file ends all
 * of the process's locks on it.
 */
export function newWalSync(databaseFile: string): WalSync {
  let file: FileHandle | undefined;
  const group = newGroupSync(async () => {
    try {
      file ??= await open(`${databaseFile}-wal`, 'r');
      await file.datasync();
    } catch (error) {
      throw Object.assign(new Failure('unavailable', notDurable, { retryAfterSeconds: 60 }), { cause: error });
    }
  });
  return {
    ...group,
    async close() {
      await group.settle()?.catch(() => {});
      await file?.close();
    },
  };
}

const notDurable =
  'The disk that holds the database could not keep what was written. Check the disk, then restart Lading.';
