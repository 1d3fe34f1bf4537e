import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  fsyncSync,
  linkSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { Failure } from '#core/failure.ts';
import type { Secrets } from '#core/platform.ts';
import type { Config } from './config.ts';
import { parseMasterKeys, type SealKey } from './config-values.ts';

// A sealed value is `v1.<key id>.<nonce>.<ciphertext and tag>`, base64url. AES-256-GCM; version, key id and the context of
// the row are additional data, so that a value copied into another row, or given another key's id, does not open.

const version = 'v1';
const nonceBytes = 12;
const tagBytes = 16;

export type SealConfig = Pick<Config, 'masterKeys' | 'masterKeyFile'>;

/** With the configured keys, else with the one in `<data>/master-key`, which is made where it is missing. */
export function openSecrets(config: SealConfig, dataDir: string): Secrets {
  return secretsOf(
    config.masterKeys ?? readKeyFile(config.masterKeyFile) ?? readOrMakeKey(join(dataDir, 'master-key')),
  );
}

export function secretsOf(keys: readonly SealKey[]): Secrets {
  const [first] = keys;
  if (!first) throw new Error('There is no master key: the configuration always has one.');
  return {
    seal(plaintext, context) {
      const nonce = randomBytes(nonceBytes);
      const cipher = createCipheriv('aes-256-gcm', first.key, nonce, { authTagLength: tagBytes });
      cipher.setAAD(additionalData(first.id, context));
      const sealed = Buffer.concat([cipher.update(plaintext, 'utf8'), cipher.final(), cipher.getAuthTag()]);
      return [version, first.id, nonce.toString('base64url'), sealed.toString('base64url')].join('.');
    },
    open(sealed, context) {
      const [, id = '', nonce = '', body = ''] = /^v1\.([^.]+)\.([^.]+)\.([^.]+)$/.exec(sealed) ?? [];
      const key = keys.find((one) => one.id === id);
      if (!key) throw cannotOpen(id, 'which is not configured');
      const bytes = Buffer.from(body, 'base64url');
      const decipher = createDecipheriv('aes-256-gcm', key.key, Buffer.from(nonce, 'base64url'), {
        authTagLength: tagBytes,
      });
      decipher.setAAD(additionalData(id, context));
      decipher.setAuthTag(bytes.subarray(-tagBytes));
      try {
        return Buffer.concat([decipher.update(bytes.subarray(0, -tagBytes)), decipher.final()]).toString('utf8');
      } catch {
        throw cannotOpen(id, 'and does not open with it: it is damaged, or the key is another one of that id');
      }
    },
  };
}

function cannotOpen(keyId: string, why: string): Failure {
  return new Failure(
    'unavailable',
    `A stored secret is sealed with the master key ${JSON.stringify(keyId)}, ${why}. Put the right key into LADING_MASTER_KEY or its file.`,
  );
}

const additionalData = (keyId: string, context: string) => Buffer.from(`${version}.${keyId}.${context}`, 'utf8');

function readKeyFile(path: string | undefined): readonly SealKey[] | undefined {
  if (path === undefined) return undefined;
  try {
    return parseMasterKeys(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new Failure('invalid', `The master key file ${path} cannot be used: ${(error as Error).message}`);
  }
}

/** Written under another name and linked into place: no start ever reads half a key, nor does a second one replace the first. */
function readOrMakeKey(path: string): readonly SealKey[] {
  try {
    return readExisting(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  const key = randomBytes(32);
  // The id is the key's fingerprint: the files of two installations are never taken for each other.
  const id = createHash('sha256').update(key).digest('hex').slice(0, 12);
  const draft = `${path}.${process.pid}`;
  writePrivate(draft, `${id}:${key.toString('base64')}\n`);
  try {
    linkSync(draft, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    rmSync(draft, { force: true });
  }
  return readExisting(path);
}

function readExisting(path: string): readonly SealKey[] {
  try {
    const keys = parseMasterKeys(readFileSync(path, 'utf8'));
    if ((statSync(path).mode & 0o077) !== 0) chmodSync(path, 0o600);
    return keys;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') throw error;
    throw new Failure(
      'invalid',
      `The master key file ${path} cannot be used: ${(error as Error).message.replace(/\.$/, '')}. If it is damaged, put it back from a backup.`,
    );
  }
}

/** A new file that only its owner may read, durable when this returns. */
export function writePrivate(path: string, text: string): void {
  rmSync(path, { force: true });
  const file = openSync(path, 'wx', 0o600);
  try {
    writeSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
