import { createHash, type Hash } from 'node:crypto';
import { Failure } from './failure.ts';

declare const parsed: unique symbol;
/** `sha256:<64 hex>` or `sha512:<128 hex>`, lower case: a digest that content can be stored under here. */
export type Digest = string & { readonly [parsed]: 'digest' };
export type DigestAlgorithm = 'sha256' | 'sha512';

const supported = /^(?:sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128})$/;
/** The shape of any digest (image-spec, descriptor.md), for descriptors whose algorithm we need not know. */
const wellFormed = /^[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$/;

export function isDigest(text: string): text is Digest {
  return supported.test(text);
}

/** Longer ones belong to no algorithm, and Postgres cannot index them. */
const wellFormedMax = 512;

export function isWellFormedDigest(text: string): boolean {
  if (text.length > wellFormedMax) return false;
  return wellFormed.test(text) && (!/^sha(?:256|512):/.test(text) || isDigest(text));
}

/** Throws `invalid` about the digest. */
export function parseDigest(text: string): Digest {
  if (isDigest(text)) return text;
  throw new Failure(
    'invalid',
    `${JSON.stringify(text.slice(0, 140))} is not a digest this registry stores. Use sha256:<64 hex digits> or sha512:<128 hex digits>, lower case.`,
    { about: 'digest' },
  );
}

export function algorithmOf(digest: Digest): DigestAlgorithm {
  return digest.startsWith('sha512:') ? 'sha512' : 'sha256';
}

export function digestOf(bytes: Uint8Array, algorithm: DigestAlgorithm = 'sha256'): Digest {
  return toDigest(algorithm, createHash(algorithm).update(bytes));
}

/** Ends a running hash. */
export function toDigest(algorithm: DigestAlgorithm, hash: Hash): Digest {
  return `${algorithm}:${hash.digest('hex')}` as Digest;
}
