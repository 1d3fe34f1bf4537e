import { createHash, randomBytes } from 'node:crypto';
import { chmodSync, linkSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Failure } from '#core/failure.ts';
import { parseMasterKeys, type SealKey } from './config-values.ts';
import { syncDirectory, writePrivate } from './private-file.ts';

// The keys of an installation for which none are configured: `<data>/master-key`, a line each, the first seals.

export const masterKeyPath = (dataDir: string): string => join(dataDir, 'master-key');

/** Those of the file; undefined where there is none. Throws `invalid` for a damaged one, which is never replaced. */
export function readKeyFile(path: string): readonly SealKey[] | undefined {
  try {
    const keys = parseMasterKeys(readFileSync(path, 'utf8'));
    if ((statSync(path).mode & 0o077) !== 0) chmodSync(path, 0o600);
    return keys;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return undefined;
    throw new Failure(
      'invalid',
      `The master key file ${path} cannot be used: ${message.replace(/\.$/, '')}. If it is damaged, put it back from a backup; docs/configuration.md, "A lost master key", says what to do without one.`,
    );
  }
}

/** Makes the file with one key, or reads the one that another start has just made. */
export function makeKeyFile(path: string): readonly SealKey[] {
  // Written under another name and linked into place: no start ever reads half a key, nor does a second one replace the first.
  const draft = `${path}.${process.pid}`;
  writePrivate(draft, keyLine(newKey()));
  try {
    linkSync(draft, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    rmSync(draft, { force: true });
  }
  // A key that a power cut takes back must not have sealed anything.
  syncDirectory(dirname(path));
  const keys = readKeyFile(path);
  if (!keys) throw new Failure('unavailable', `The master key file ${path} was removed while it was being made.`);
  return keys;
}

/**
 * Puts a new key before the one of the file. Whoever reads the file from now on seals with the new one and opens with
 * both. Answers the ids, the new one first. Throws `in_use` while an earlier rotation is not finished.
 */
export function addNewKey(path: string): readonly string[] {
  const keys = readKeyFile(path);
  if (!keys) {
    throw new Failure(
      'not_found',
      `There is no master key file ${path}: the first start of the server makes one. If it was lost, put it back from a backup, or see "A lost master key" in docs/configuration.md.`,
    );
  }
  if (keys.length > 1) {
    throw new Failure(
      'in_use',
      `${path} holds ${keys.length} keys already. Finish that rotation first: run bin/lading rotate-master-key and take out the lines of the old keys.`,
    );
  }
  const all = [newKey(), ...keys];
  const draft = `${path}.${process.pid}`;
  writePrivate(draft, all.map(keyLine).join(''));
  renameSync(draft, path);
  syncDirectory(dirname(path));
  return all.map((key) => key.id);
}

/** The id is the key's fingerprint: the files of two installations are never taken for each other. */
function newKey(): SealKey {
  const key = randomBytes(32);
  return { id: createHash('sha256').update(key).digest('hex').slice(0, 12), key };
}

/** As it stands in the file. */
export const keyLine = ({ id, key }: SealKey) => `${id}:${key.toString('base64')}\n`;
