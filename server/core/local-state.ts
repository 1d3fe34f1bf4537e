import type { Hash } from 'node:crypto';
import type { Actor } from './actors.ts';
import { type CheckTurns, newCheckTurns } from './check-turns.ts';
import type { ConnectionTest } from './connection-test-rows.ts';
import type { DigestAlgorithm } from './digest.ts';
import { type ManifestCache, newManifestCache } from './manifest-cache.ts';
import type { RefusedSignIns } from './refused-sign-ins.ts';
import type { RequestBudget } from './request-limit.ts';
import type { SigningKeyCache } from './signing-keys.ts';

/** What one process remembers between requests. Losing it costs time, never data. */
export type LocalState = {
  actors: ActorCache;
  /** Objects this process is writing now; `renewWriters` keeps their rows alive. */
  writers: Set<string>;
  /** Uploads whose next chunk or end this process is working on. */
  activeUploads: Map<string, number>;
  /** Running hashes of uploads that come in several chunks, valid for one version of the upload's row. */
  uploadHashes: Map<string, UploadHash>;
  signingKeys: SigningKeyCache;
  manifests: ManifestCache;
  /** Not yet written to the audit log. */
  refusedSignIns: Map<string, RefusedSignIns>;
  /** By API key. */
  requestBudgets: Map<string, RequestBudget>;
  checkTurns: CheckTurns;
  /** Tests of connections that others may wait for too, by what is tested. */
  runningTests: Map<string, Promise<ConnectionTest>>;
  /** Whose connection was last tested on schedule: the next one is another team's. */
  lastTestedTeam: string;
};

export type ActorCache = {
  entries: Map<string, { actor: Actor | undefined; until: number }>;
  /** Raised by each revocation: a look-up that began before one may not fill the cache after it. */
  epoch: number;
};

export type UploadHash = { version: number; algorithm: DigestAlgorithm; hash: Hash };

export function newLocalState(): LocalState {
  return {
    actors: { entries: new Map(), epoch: 0 },
    writers: new Set(),
    activeUploads: new Map(),
    uploadHashes: new Map(),
    signingKeys: { keys: [], readAt: 0, reading: undefined },
    manifests: newManifestCache(),
    refusedSignIns: new Map(),
    requestBudgets: new Map(),
    checkTurns: newCheckTurns(),
    runningTests: new Map(),
    lastTestedTeam: '',
  };
}
