import { LRUCache } from 'lru-cache';

const bytesMax = 32 * 2 ** 20;
const bytesMaxEach = 2 ** 20;
const tagsMax = 50_000;

/**
 * Bytes of manifests, which their digest names for ever. Who may read which manifest, and what a tag means, is asked of the
 * database each time; it only need not send again what is here.
 */
export type ManifestCache = {
  bytes: LRUCache<string, Uint8Array>;
  /** What tags meant when they were last asked for: a guess at what the database will say. */
  tags: LRUCache<string, string>;
};

export function newManifestCache(): ManifestCache {
  return {
    bytes: new LRUCache({
      maxSize: bytesMax,
      maxEntrySize: bytesMaxEach,
      sizeCalculation: ({ length }) => length + 200,
    }),
    tags: new LRUCache({ max: tagsMax }),
  };
}

export type Guess = { digest: string; bytes: Uint8Array | undefined };

const none: Guess = { digest: '', bytes: undefined };

/** What will be found under a name, if its bytes are here. They are held, so that they do not go meanwhile. */
export function guessManifest(cache: ManifestCache, place: string, reference: string): Guess {
  const digest = reference.includes(':') ? reference : cache.tags.get(`${place}:${reference}`);
  const bytes = digest === undefined ? undefined : cache.bytes.get(digest);
  return digest !== undefined && bytes ? { digest, bytes } : none;
}

/** A copy: what a driver answers may be a small part of a large buffer. */
export function keepManifest(
  cache: ManifestCache,
  place: string,
  reference: string,
  { digest, bytes }: { digest: string; bytes: Uint8Array },
): void {
  cache.bytes.set(digest, new Uint8Array(bytes));
  if (!reference.includes(':')) cache.tags.set(`${place}:${reference}`, digest);
}
