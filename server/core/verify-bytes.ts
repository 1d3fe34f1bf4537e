import { createHash } from 'node:crypto';
import { algorithmOf, type Digest, toDigest } from './digest.ts';
import { Failure, sentenceForOperator } from './failure.ts';
import type { Platform } from './platform.ts';
import type { Checked, Finding } from './verify.ts';

export type Fault = Pick<Finding, 'kind' | 'expected' | 'found'>;

/** `digest`: null where nobody knows it. */
type Expected = { key: string; size: number; digest: string | null };

/** What is wrong with an object in the store; `isDeep` reads its bytes. Throws `unavailable` once the store only fails. */
export type Look = (object: Expected, isDeep: boolean) => Promise<Fault | undefined>;

/** With a store that is away the rest would say the same of every object, after as many waits. */
const errorsInARow = 5;

export function newLook(platform: Platform, checked: Checked): Look {
  let errors = 0;
  return async (object, isDeep) => {
    try {
      const fault = await findFault(platform, object, isDeep, checked);
      errors = 0;
      return fault;
    } catch (error) {
      errors++;
      const reason = sentenceForOperator(error as Error);
      if (errors >= errorsInARow) throw storeFails(reason, error);
      // A refusal says all in its sentence.
      if (!(error instanceof Failure))
        platform.log.warn({ key: object.key, err: error }, 'an object could not be read');
      return { kind: 'object in doubt', expected: `${object.size} bytes`, found: `an error of the store: ${reason}` };
    }
  };
}

function storeFails(reason: string, cause: unknown): Failure {
  const sentence = `Stopped, because ${errorsInARow} objects in a row could not be looked at, and nothing was said of the others: ${reason}`;
  return Object.assign(new Failure('unavailable', sentence), { cause });
}

async function findFault(
  platform: Platform,
  { key, size, digest }: Expected,
  isDeep: boolean,
  checked: Checked,
): Promise<Fault | undefined> {
  const found = await platform.blobs.size(key);
  if (found === undefined) return { kind: 'object missing', expected: `${size} bytes`, found: 'nothing' };
  if (found !== size) return { kind: 'object of wrong size', expected: size, found };
  return isDeep && digest !== null ? findDamage(platform, key, digest as Digest, checked) : undefined;
}

async function findDamage(
  platform: Platform,
  key: string,
  digest: Digest,
  checked: Checked,
): Promise<Fault | undefined> {
  const bytes = await platform.blobs.read(key);
  if (!bytes) return { kind: 'object missing', expected: digest, found: 'nothing' };
  const algorithm = algorithmOf(digest);
  const hash = createHash(algorithm);
  for await (const chunk of bytes as AsyncIterable<Uint8Array>) {
    checked.bytesRead += chunk.length;
    hash.update(chunk);
  }
  const found = toDigest(algorithm, hash);
  return found === digest ? undefined : { kind: 'object damaged', expected: digest, found };
}
