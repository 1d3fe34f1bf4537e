import { readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { findActorRow } from '#core/actors.ts';
import { bootstrap } from '#core/bootstrap.ts';
import { hashSecret, newSecret } from '#core/ids.ts';
import type { Platform } from '#core/platform.ts';
import type { Config } from './config.ts';
import { writePrivate } from './private-file.ts';

/** What a first start has made. `keyFile` is where the made key is kept; undefined: the operator gave the key. */
export type FirstStart = { registryName: string; secret: string; keyFile: string | undefined };

/**
 * Makes the first team on the first start. The key is on disk before the database knows it: the other order would lose
 * it, and with it the installation, in a crash between the two. Undefined on every later start.
 */
export async function ensureFirstKey(
  platform: Platform,
  { bootstrapKey, dataDir }: Pick<Config, 'bootstrapKey' | 'dataDir'>,
): Promise<FirstStart | undefined> {
  const keyFile = join(dataDir, 'bootstrap-key');
  const draft = `${keyFile}.new`;
  if (await isLiveKey(platform, draft)) renameSync(draft, keyFile);
  const secret = bootstrapKey ?? newSecret('key');
  if (bootstrapKey === undefined) writePrivate(draft, `${secret}\n`);
  const made = await bootstrap(platform, { givenKey: secret });
  if (!made) {
    rmSync(draft, { force: true });
    if (!(await isLiveKey(platform, keyFile))) rmSync(keyFile, { force: true });
    return undefined;
  }
  const registryName = made.registries[0]?.name ?? 'default';
  if (bootstrapKey !== undefined) return { registryName, secret, keyFile: undefined };
  renameSync(draft, keyFile);
  return { registryName, secret, keyFile };
}

/** A key that was rotated or revoked has no reason to stay on the disk. */
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
