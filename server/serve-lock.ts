import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Failure } from '#core/failure.ts';

/** Who serves a data directory. `masterKeyIds`: the keys it can open with, once it knows them. */
export type Holder = { pid: number; startedAt: string; masterKeyIds: readonly string[] };

export type ServeLock = { describe(more: Pick<Holder, 'masterKeyIds'>): void; release(): void };

/**
 * Takes the data directory for this process, until it ends in whatever way. The lock is an exclusive transaction on a
 * SQLite file: the kernel frees it on `kill -9`, and it works wherever the database itself does. Who holds it stands in a
 * file beside it, which means nothing while the lock is free.
 * Throws `conflict` naming the holder.
 */
export function takeServeLock(dataDir: string): ServeLock {
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
  const holder: Holder = { pid: process.pid, startedAt: new Date().toISOString(), masterKeyIds: [] };
  const write = (text: object) => writeFileSync(holderPath, JSON.stringify(text), { mode: 0o600 });
  write(holder);
  return {
    describe: (more) => write({ ...holder, ...more }),
    release() {
      rmSync(holderPath, { force: true });
      lock.close();
    },
  };
}

/** Who serves this data directory now, if anyone does. */
export function findServeHolder(dataDir: string): Holder | undefined {
  const path = join(dataDir, 'serve.lock');
  const lock = existsSync(path) ? openLock(path) : undefined;
  try {
    lock?.prepare('select name from sqlite_schema').all();
    return undefined;
  } catch (error) {
    if ((error as { errcode?: number }).errcode !== sqliteBusy) throw error;
    return readHolder(join(dataDir, 'serve.pid'));
  } finally {
    lock?.close();
  }
}

const sqliteBusy = 5;
/** As long as somebody looks whether the lock is free, it is not. */
const lookMs = 200;

function openLock(path: string): DatabaseSync {
  try {
    return new DatabaseSync(path, { timeout: lookMs });
  } catch (error) {
    throw new Failure('unavailable', `The lock ${path} cannot be opened: ${(error as Error).message}.`);
  }
}

function readHolder(path: string): Holder | undefined {
  try {
    return { masterKeyIds: [], ...(JSON.parse(readFileSync(path, 'utf8')) as Omit<Holder, 'masterKeyIds'>) };
  } catch {
    return undefined;
  }
}

function describeHolder(path: string): string {
  const holder = readHolder(path);
  return holder ? ` (process ${holder.pid}, started ${holder.startedAt})` : '';
}
