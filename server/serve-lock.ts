import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Failure } from '#core/failure.ts';

/**
 * Takes the data directory for this process, until it ends in whatever way. The lock is an exclusive transaction on a
 * SQLite file: the kernel frees it on `kill -9`, and it works wherever the database itself does. Who holds it stands in a
 * file beside it, which means nothing while the lock is free.
 * Throws `conflict` naming the holder.
 */
export function takeServeLock(dataDir: string): { release(): void } {
  const holderPath = join(dataDir, 'serve.pid');
  const lock = openLock(join(dataDir, 'serve.lock'));
  try {
    lock.exec('begin exclusive');
  } catch (error) {
    lock.close();
    if ((error as { errcode?: number }).errcode !== sqliteBusy) throw error;
    throw new Failure(
      'conflict',
      `${dataDir} is in use by another lading serve${describeHolder(holderPath)}. Stop it first, or set LADING_DATA_DIR.`,
    );
  }
  writeFileSync(holderPath, JSON.stringify({ pid: process.pid, startedAt: new Date().toISOString() }), { mode: 0o600 });
  return {
    release() {
      rmSync(holderPath, { force: true });
      lock.close();
    },
  };
}

const sqliteBusy = 5;

function openLock(path: string): DatabaseSync {
  try {
    return new DatabaseSync(path, { timeout: 0 });
  } catch (error) {
    throw new Failure('unavailable', `The lock ${path} cannot be opened: ${(error as Error).message}.`);
  }
}

function describeHolder(path: string): string {
  try {
    const { pid, startedAt } = JSON.parse(readFileSync(path, 'utf8')) as { pid: number; startedAt: string };
    return ` (process ${pid}, started ${startedAt})`;
  } catch {
    return '';
  }
}
