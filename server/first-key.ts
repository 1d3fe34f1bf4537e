import { readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { findActorRow } from '#core/actors.ts';
import { bootstrap, type OwnerKey } from '#core/bootstrap.ts';
import { hashSecret, newSecret } from '#core/ids.ts';
import type { Platform } from '#core/platform.ts';
import type { Config } from './config.ts';
import { writePrivate } from './private-file.ts';

/** The owner's key that a start has made. `keyFile` is where it is kept; undefined: the operator gave the key. */
export type FirstStart = OwnerKey & { keyFile: string | undefined };

/**
 * Makes the first team on the first start, and an owner's key where nobody could get in any more. The key is on disk
 * before the database knows it: the other order would lose it, and with it the installation, in a crash between the two.
 * Undefined on every other start.
 */
export async function ensureFirstKey(
  platform: Platform,
  { bootstrapKey, dataDir }: Pick<Config, 'bootstrapKey' | 'dataDir'>,
): Promise<FirstStart | undefined> {
  const keyFile = join(dataDir, 'bootstrap-key');
  const draft = `${keyFile}.new`;
  if (await isLiveKey(platform, draft)) renameSync(draft, keyFile);
  const given = await takeUnused(platform, bootstrapKey);
  const secret = given ?? newSecret('key');
  if (given === undefined) writePrivate(draft, `${secret}\n`);
  const made = await bootstrap(platform, { givenKey: secret });
  if (!made) {
    rmSync(draft, { force: true });
    if (!(await isLiveKey(platform, keyFile))) rmSync(keyFile, { force: true });
    return undefined;
  }
  if (given !== undefined) return { ...made, keyFile: undefined };
  renameSync(draft, keyFile);
  return { ...made, keyFile };
}

/** One that was revoked or ran out may be known to others: it is not brought back because it is still configured. */
async function takeUnused(platform: Platform, given: string | undefined): Promise<string | undefined> {
  const known = given === undefined ? undefined : await findActorRow(platform, 'secret_hash', hashSecret(given));
  return known ? undefined : given;
}

/** A key that was revoked or ran out has no reason to stay on the disk. */
async function isLiveKey(platform: Platform, path: string): Promise<boolean> {
  const secret = readIfThere(path)?.trim();
  if (secret === undefined) return false;
  const row = await findActorRow(platform, 'secret_hash', hashSecret(secret));
  return row !== undefined && row.revoked_at === null;
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
