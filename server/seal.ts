import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { Failure } from '#core/failure.ts';
import type { Secrets } from '#core/platform.ts';
import type { Config } from './config.ts';
import { parseMasterKeys, type SealKey } from './config-values.ts';
import { makeKeyFile, masterKeyPath, readKeyFile } from './master-key-file.ts';

// A sealed value is `v1.<key id>.<nonce>.<ciphertext and tag>`, base64url. AES-256-GCM; version, key id and the context of
// the row are additional data, so that a value copied into another row, or given another key's id, does not open.

const version = 'v1';
const nonceBytes = 12;
const tagBytes = 16;

export type SealConfig = Pick<Config, 'masterKeys' | 'masterKeyFile'>;

/** With the configured keys, else with those of the key file in the data directory. */
export function openSecrets(config: SealConfig, dataDir: string): Secrets {
  const configured = readConfiguredKeys(config);
  if (configured) return secretsOf(configured);
  const path = masterKeyPath(dataDir);
  // Made when there is first something to seal, not before: a start that is refused because its key was lost must not
  // leave a file there that looks like the lost one.
  return newSecrets(readKeyFile(path) ?? [], () => makeKeyFile(path));
}

/** Which keys `openSecrets` would use and where they stand. Nothing is made or changed. Throws `invalid`. */
export function findMasterKeys(config: SealConfig, dataDir: string): { ids: readonly string[]; source: string } {
  const toIds = (keys: readonly SealKey[] = []) => keys.map(({ id }) => id);
  if (config.masterKeys) return { ids: toIds(config.masterKeys), source: 'LADING_MASTER_KEY' };
  const source = config.masterKeyFile ?? masterKeyPath(dataDir);
  const isMissing = config.masterKeyFile === undefined && !existsSync(source);
  return { ids: isMissing ? [] : toIds(readConfiguredFile(source)), source };
}

/** Undefined where none are: then those of the key file in the data directory count. Throws `invalid`. */
export function readConfiguredKeys({ masterKeys, masterKeyFile }: SealConfig): readonly SealKey[] | undefined {
  return masterKeys ?? readConfiguredFile(masterKeyFile);
}

function readConfiguredFile(path: string | undefined): readonly SealKey[] | undefined {
  if (path === undefined) return undefined;
  try {
    return parseMasterKeys(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new Failure('invalid', `The master key file ${path} cannot be used: ${(error as Error).message}`);
  }
}

export function secretsOf(keys: readonly SealKey[]): Secrets {
  return newSecrets(keys, () => {
    throw new Error('There is no master key: the configuration always has one.');
  });
}

function newSecrets(known: readonly SealKey[], makeKeys: () => readonly SealKey[]): Secrets {
  let keys = known;
  return {
    keyIds: () => keys.map((key) => key.id),
    prefixOf: (keyId) => `${version}.${keyId}.`,
    seal(plaintext, context) {
      if (keys.length === 0) keys = makeKeys();
      return seal(keys[0] as SealKey, plaintext, context);
    },
    open(sealed, context) {
      const [, id = ''] = sealedValue.exec(sealed) ?? [];
      const key = keys.find((one) => one.id === id);
      if (!key) throw cannotOpen(id, 'which is not configured');
      return open(key, sealed, context);
    },
  };
}

const sealedValue = /^v1\.([^.]+)\.([^.]+)\.([^.]+)$/;

function seal({ id, key }: SealKey, plaintext: string, context: string): string {
  const nonce = randomBytes(nonceBytes);
  const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: tagBytes });
  cipher.setAAD(additionalData(id, context));
  const sealed = Buffer.concat([cipher.update(plaintext, 'utf8'), cipher.final(), cipher.getAuthTag()]);
  return [version, id, nonce.toString('base64url'), sealed.toString('base64url')].join('.');
}

function open({ id, key }: SealKey, sealed: string, context: string): string {
  const [, , nonce = '', body = ''] = sealedValue.exec(sealed) ?? [];
  const bytes = Buffer.from(body, 'base64url');
  const decipher = createDecipheriv('aes-256-gcm', key, Buffer.from(nonce, 'base64url'), { authTagLength: tagBytes });
  decipher.setAAD(additionalData(id, context));
  try {
    decipher.setAuthTag(bytes.subarray(-tagBytes));
    return Buffer.concat([decipher.update(bytes.subarray(0, -tagBytes)), decipher.final()]).toString('utf8');
  } catch {
    throw cannotOpen(id, 'and does not open with it: it is damaged, or the key is another one of that id');
  }
}

function cannotOpen(keyId: string, why: string): Failure {
  return new Failure(
    'unavailable',
    `A stored secret is sealed with the master key ${JSON.stringify(keyId)}, ${why}. Put the right key into LADING_MASTER_KEY, its file, or master-key in the data directory. If it is lost for good, lading rotate-master-key --discard-lost drops what it sealed.`,
  );
}

const additionalData = (keyId: string, context: string) => Buffer.from(`${version}.${keyId}.${context}`, 'utf8');
