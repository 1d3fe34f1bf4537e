import type { Hash } from 'node:crypto';
import type { Actor } from './actors.ts';

/** What one process remembers between requests. Losing it costs time, never data. */
export type LocalState = {
  actors: ActorCache;
  /** Objects this process is writing now; `renewWriters` keeps their rows alive. */
  writers: Set<string>;
  /** Uploads whose next chunk or end this process is working on. */
  activeUploads: Map<string, number>;
  /** Running hashes of uploads that come in several chunks, valid for one version of the upload's row. */
  uploadHashes: Map<string, UploadHash>;
};

export type ActorCache = {
  entries: Map<string, { actor: Actor | undefined; until: number }>;
  /** Raised by each revocation: a look-up that began before one may not fill the cache after it. */
  epoch: number;
};

export type UploadHash = { version: number; sha256: Hash; sha512: Hash | undefined };

export function newLocalState(): LocalState {
  return {
    actors: { entries: new Map(), epoch: 0 },
    writers: new Set(),
    activeUploads: new Map(),
    uploadHashes: new Map(),
  };
}
