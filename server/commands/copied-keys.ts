import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { Failure } from '#core/failure.ts';
import type { Config } from '#server/config.ts';
import type { SealKey } from '#server/config-values.ts';
import { keyLine, masterKeyPath, readKeyFile } from '#server/master-key-file.ts';
import { syncDirectory, writePrivate } from '#server/private-file.ts';
import { readConfiguredKeys } from '#server/seal.ts';

// Sealed values are copied as they are, so a copy opens with the same master keys and with no others.

export type KeySource = Pick<Config, 'dataDir' | 'masterKeys' | 'masterKeyFile'>;

/** `path`: of their file; without one they are in LADING_MASTER_KEY. */
export type FoundKeys = { keys: readonly SealKey[]; isInDataDir: boolean; path: string | undefined };

/** The keys that open what the source has sealed, and whether they lie in its data directory. */
export function findKeys(config: KeySource): FoundKeys {
  const configured = readConfiguredKeys(config);
  if (configured) return { keys: configured, isInDataDir: false, path: config.masterKeyFile };
  const path = masterKeyPath(config.dataDir);
  return { keys: readKeyFile(path) ?? [], isInDataDir: true, path };
}

/** Throws `in_use` where other keys lie there: they may be the only ones that open something. */
export function requireRoomForKeys(keys: readonly SealKey[], directory: string): void {
  const there = readKeyFile(masterKeyPath(directory));
  if (!there || toText(there) === toText(keys)) return;
  throw new Failure(
    'in_use',
    `${masterKeyPath(directory)} is there and holds other keys than those of the source. Move it away first.`,
  );
}

/** Whether all these keys lie there: an earlier backup may have left those of its time. */
export function holdsKeys(keys: readonly SealKey[], directory: string): boolean {
  const there = new Set(readKeyFile(masterKeyPath(directory))?.map(keyLine));
  return keys.length > 0 && keys.every((key) => there.has(keyLine(key)));
}

/** For its owner alone, and durable. */
export function writeKeys(keys: readonly SealKey[], directory: string): void {
  const path = masterKeyPath(directory);
  if (isWritten(path, toText(keys))) return;
  writePrivate(path, toText(keys));
  syncDirectory(dirname(path));
}

function isWritten(path: string, text: string): boolean {
  try {
    return readFileSync(path, 'utf8') === text;
  } catch {
    return false;
  }
}

const toText = (keys: readonly SealKey[]) => keys.map(keyLine).join('');
