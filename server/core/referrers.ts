import { type Selectable, sql } from 'kysely';
import type { Digest } from './digest.ts';
import type { Platform } from './platform.ts';
import type { RepositoryAccess } from './registry-access.ts';
import type { ManifestRow } from './schema.ts';

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

/** Clients read at most 4 MiB of a referrers list; annotations can be as long as a manifest. */
const pageBytesMax = 3 * 1024 * 1024;
/** An entry without its annotations. */
const entryBytes = 600;

/**
 * The manifests of this repository whose `subject` is the digest, in the order of their digests; `next`: the last of them
 * where more follow. The subject itself need not be here, nor the repository: then the list is empty.
 */
export async function listReferrers(
  platform: Platform,
  { id }: RepositoryAccess,
  subject: Digest,
  query: ReferrerQuery,
): Promise<{ referrers: Referrer[]; next: string | undefined }> {
  if (id === undefined) return { referrers: [], next: undefined };
  const { digests, hasMore } = await findPage(platform, id, subject, query);
  const rows = await platform.db
    .selectFrom('manifests')
    .select(['media_type', 'digest', 'size', 'artifact_type', 'annotations'])
    .where('repository_id', '=', id)
    .where('digest', 'in', digests.length > 0 ? digests : [''])
    .orderBy('digest')
    .execute();
  return { referrers: rows.map(toReferrer), next: hasMore ? digests.at(-1) : undefined };
}

/** As many as fit a page, by the lengths of their annotations alone: a thousand long ones must not all be read for it. */
async function findPage(
  { db }: Platform,
  repositoryId: string,
  subject: Digest,
  { artifactTypes, limit, after }: ReferrerQuery,
): Promise<{ digests: string[]; hasMore: boolean }> {
  const rows = await db
    .selectFrom('manifests')
    .select(['digest', sql<number>`coalesce(octet_length(annotations), 0)`.as('bytes')])
    .where('repository_id', '=', repositoryId)
    .where('subject', '=', subject)
    .$if(artifactTypes.length > 0, (q) => q.where('artifact_type', 'in', artifactTypes))
    .$if(after !== undefined, (q) => q.where('digest', '>', after ?? ''))
    .orderBy('digest')
    .limit(limit + 1)
    .execute();
  let bytes = 0;
  const firstBeyond = rows.findIndex((row, i) => {
    bytes += entryBytes + row.bytes;
    return i > 0 && bytes > pageBytesMax;
  });
  const count = Math.min(limit, firstBeyond < 0 ? rows.length : firstBeyond);
  return { digests: rows.slice(0, count).map((row) => row.digest), hasMore: rows.length > count };
}

type Row = Pick<Selectable<ManifestRow>, 'media_type' | 'digest' | 'size' | 'artifact_type' | 'annotations'>;

function toReferrer(row: Row): Referrer {
  return {
    mediaType: row.media_type,
    digest: row.digest,
    size: row.size,
    ...(row.artifact_type !== null && { artifactType: row.artifact_type }),
    ...(row.annotations !== null && { annotations: JSON.parse(row.annotations) }),
  };
}
