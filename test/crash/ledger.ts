// What the clients of the crash run were told, and what they asked without hearing the end of it.
//
// An acknowledged thing must be there after any crash. A thing that was asked for but not answered may be there or
// not, but only whole. A later answer replaces an earlier one, so each entry has exactly one owner among the clients.

/** Absent means: was deleted, or was never there. */
export type Found = string | undefined;

export type ManifestEntry = { bytes: string; needs: string[]; isAcknowledged: boolean };
export type SessionEntry = { location: string; bytes: Buffer; digest: string; acknowledged: number };

export type Ledger = {
  /** `repository@digest` of blobs → whether the end of the push was heard. */
  blobs: Map<string, boolean>;
  /** `repository@digest` of manifests. */
  manifests: Map<string, ManifestEntry>;
  /** `repository:tag` → all it may name now. */
  tags: Map<string, Set<Found>>;
  /** Upload sessions that were open when the server died, and how many bytes it had confirmed. */
  sessions: Map<string, SessionEntry>;
  /** Answers heard: whole images, and single requests that stored something. */
  pushes: number;
  acknowledgements: number;
  /** Behind a load balancer: answers 503, and requests that it has asked twice. */
  busy: number;
  repeated: number;
};

export function openLedger(): Ledger {
  return {
    blobs: new Map(),
    manifests: new Map(),
    tags: new Map(),
    sessions: new Map(),
    pushes: 0,
    acknowledgements: 0,
    busy: 0,
    repeated: 0,
  };
}

/** Notes that a blob is on its way, and answers what to call when it has arrived. */
export function expectBlob(ledger: Ledger, repository: string, digest: string): () => void {
  const id = `${repository}@${digest}`;
  if (!ledger.blobs.has(id)) ledger.blobs.set(id, false);
  return () => {
    ledger.blobs.set(id, true);
    ledger.acknowledgements += 1;
  };
}

/** The same for a manifest with its tag. */
export function expectManifest(
  ledger: Ledger,
  repository: string,
  manifest: { digest: string; bytes: string; needs: string[] },
  tag: string,
): () => void {
  const id = `${repository}@${manifest.digest}`;
  const { bytes, needs } = manifest;
  if (!ledger.manifests.has(id)) ledger.manifests.set(id, { bytes, needs, isAcknowledged: false });
  const settle = expectTag(ledger, repository, tag, manifest.digest);
  return () => {
    ledger.manifests.set(id, { bytes, needs, isAcknowledged: true });
    ledger.acknowledgements += 1;
    settle();
  };
}

/** The same for a tag that is moved, or deleted where `found` is undefined. */
export function expectTag(ledger: Ledger, repository: string, tag: string, found: Found): () => void {
  const id = `${repository}:${tag}`;
  const possible = ledger.tags.get(id) ?? new Set<Found>([undefined]);
  ledger.tags.set(id, possible.add(found));
  return () => {
    ledger.tags.set(id, new Set([found]));
  };
}
