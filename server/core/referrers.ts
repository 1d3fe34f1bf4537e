import type { Digest } from './digest.ts';
import type { Platform } from './platform.ts';
import type { RepositoryAccess } from './registry-access.ts';

export type Referrer = {
  mediaType: string;
  digest: string;
  size: number;
  artifactType?: string;
  annotations?: Record<string, unknown>;
};

export type ReferrerQuery = {
  /** Any of these types; empty: all. */
  artifactTypes: readonly string[];
  limit: number;
  /** Digest of the last one on the page before. */
  after: string | undefined;
};

/** Clients read at most 4 MiB of a referrers list; annotations can be long. */
const pageBytesMax = 3 * 1024 * 1024;

/**
 * The manifests of this repository whose `subject` is the digest, in the order of their digests. The subject itself
 * need not be here, nor the repository: then the list is empty.
 */
export async function listReferrers(
  { db }: Platform,
  { id }: RepositoryAccess,
  subject: Digest,
  { artifactTypes, limit, after }: ReferrerQuery,
): Promise<{ referrers: Referrer[]; hasMore: boolean }> {
  if (id === undefined) return { referrers: [], hasMore: false };
  const rows = await db
    .selectFrom('manifests')
    .select(['media_type', 'digest', 'size', 'artifact_type', 'annotations'])
    .where('repository_id', '=', id)
    .where('subject', '=', subject)
    .$if(artifactTypes.length > 0, (q) => q.where('artifact_type', 'in', artifactTypes))
    .$if(after !== undefined, (q) => q.where('digest', '>', after ?? ''))
    .orderBy('digest')
    .limit(limit + 1)
    .execute();
  const referrers: Referrer[] = [];
  let bytes = 0;
  for (const row of rows.slice(0, limit)) {
    bytes += 400 + (row.annotations?.length ?? 0) * 2;
    if (referrers.length > 0 && bytes > pageBytesMax) break;
    referrers.push({
      mediaType: row.media_type,
      digest: row.digest,
      size: row.size,
      ...(row.artifact_type !== null && { artifactType: row.artifact_type }),
      ...(row.annotations !== null && { annotations: JSON.parse(row.annotations) }),
    });
  }
  return { referrers, hasMore: rows.length > referrers.length };
}
