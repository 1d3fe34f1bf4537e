import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Failure } from '#core/failure.ts';
import { migrations } from './migrate.ts';
import { openDatabase } from './open-database.ts';
import { findSchemaVersion, openSnapshot } from './snapshot.ts';

const latest = migrations.at(-1)?.number ?? 0;
const prefix = 'older-backup-';

/** `dataDir`: where the rows lie in this release's schema, until `remove`. */
export type BroughtUp = { dataDir: string; remove(): void };

/**
 * The database of a backup as this release reads it. That of an older release is copied below the directory that `prepare`
 * answers, and brought up there: the backup itself stays one which the release that made it can restore. Undefined where no
 * copy is needed.
 */
export async function bringUpCopy(backup: string, prepare: () => string): Promise<BroughtUp | undefined> {
  const version = await findVersion(backup);
  if (version === undefined || version >= latest) return undefined;
  const below = prepare();
  removeLeftovers(below);
  const dataDir = mkdtempSync(join(below, prefix));
  const remove = () => rmSync(dataDir, { recursive: true, force: true });
  try {
    copyDatabase(join(backup, 'lading.db'), join(dataDir, 'lading.db'));
    await (await openDatabase({ dataDir })).close();
    return { dataDir, remove };
  } catch (error) {
    remove();
    throw error;
  }
}

async function findVersion(dataDir: string): Promise<number | undefined> {
  const snapshot = await openSnapshot({ dataDir });
  try {
    return snapshot && (await findSchemaVersion(snapshot));
  } finally {
    await snapshot?.close();
  }
}

/** What a killed process has left: only one at a time fills a place. */
function removeLeftovers(below: string): void {
  for (const name of readdirSync(below)) {
    if (name.startsWith(prefix)) rmSync(join(below, name), { recursive: true, force: true });
  }
}

/** Whole, whatever is still in its WAL, and without a change to it. */
function copyDatabase(from: string, to: string): void {
  try {
    const database = new DatabaseSync(from, { readOnly: true, timeout: 5000 });
    try {
      database.prepare('vacuum into ?').run(to);
    } finally {
      database.close();
    }
  } catch (error) {
    const { message } = error as Error;
    throw new Failure('unavailable', `The database ${from} cannot be copied to ${to}: ${message}.`);
  }
}
