import { createHash } from 'node:crypto';
import { algorithmOf, type Digest, toDigest } from '#core/digest.ts';
import type { BlobStore } from '#core/platform.ts';

export type Expected = { key: string; size: number; digest: string | null };

/**
 * Streams one object from store to store. Its size, and its digest where it has one, are compared before its last byte is
 * handed on, so that nothing is left in the target of what is not as it should be. Answers what is wrong with the source.
 */
export async function copyBytes(
  source: BlobStore,
  target: BlobStore,
  expected: Expected,
): Promise<'missing' | 'damaged' | undefined> {
  const stream = await source.read(expected.key);
  if (!stream) return 'missing';
  let isDamaged = false;
  async function* checked(): AsyncGenerator<Uint8Array> {
    const check = newCheck(expected);
    for await (const chunk of stream as AsyncIterable<Uint8Array>) {
      check.update(chunk);
      yield chunk;
    }
    isDamaged = !check.isRight();
    if (isDamaged) throw new Error('The source has other bytes than it should.');
  }
  try {
    await target.write(expected.key, checked());
    return undefined;
  } catch (error) {
    if (isDamaged) return 'damaged';
    throw error;
  } finally {
    stream.destroy();
  }
}

function newCheck({ size, digest }: Expected): { update(chunk: Uint8Array): void; isRight(): boolean } {
  const algorithm = digest === null ? undefined : algorithmOf(digest as Digest);
  const hash = algorithm && createHash(algorithm);
  let length = 0;
  return {
    update(chunk) {
      length += chunk.length;
      hash?.update(chunk);
    },
    isRight: () => length === size && (!algorithm || !hash || toDigest(algorithm, hash) === digest),
  };
}
