// Which manifests are images and which are attachments of one (signatures, SBOMs), and how many tags go with a manifest:
// what transactions that move tags or remove manifests must know to keep the repository's counters. All of this runs
// under the repository's lock.

import { type SqlBool, sql } from 'kysely';
import type { Growth } from './links.ts';
import type { Platform } from './platform.ts';

/**
 * A manifest with a subject is an attachment for good. One under nothing but cosign's tags is one while that is so: an
 * ordinary tag makes an image of it, and so does the loss of its last tag.
 */
const isMisjudged = sql<SqlBool>`is_attachment <> case
  when exists (select 1 from tags t where t.repository_id = manifests.repository_id and t.digest = manifests.digest)
    and not exists (select 1 from tags t where t.repository_id = manifests.repository_id
      and t.digest = manifests.digest and t.belongs_to is null)
  then 1 else 0 end`;

/** After tags of these manifests came, went or found their subject. Answers how many images the repository has more. */
export async function refreshAttachments(
  { db }: Platform,
  repositoryId: string,
  digests: readonly string[],
): Promise<number> {
  if (digests.length === 0) return 0;
  const turned = await db
    .updateTable('manifests')
    .set({ is_attachment: sql`1 - is_attachment` })
    .where('repository_id', '=', repositoryId)
    .where('digest', 'in', digests)
    .where('subject', 'is', null)
    .where(isMisjudged)
    .returning('is_attachment')
    .execute();
  return turned.reduce((images, row) => images + (row.is_attachment ? -1 : 1), 0);
}

/** How many tags would go with each of these manifests; those without tags are left out. */
export async function findTagCounts(
  { db }: Platform,
  repositoryId: string,
  digests: readonly string[],
): Promise<Map<string, number>> {
  if (digests.length === 0) return new Map();
  const rows = await db
    .selectFrom('tags')
    .select((eb) => ['digest', eb.cast<number>(eb.fn.countAll(), 'bigint').as('count')])
    .where('repository_id', '=', repositoryId)
    .where('digest', 'in', digests)
    .groupBy('digest')
    .execute();
  return new Map(rows.map((row) => [row.digest, row.count]));
}

type RemovedManifest = { digest: string; size: number; is_attachment: number };

/** What a repository has less without these manifests. `tagCounts`: what `findTagCounts` said before they went. */
export function growthWithout(
  removed: readonly RemovedManifest[],
  tagCounts: ReadonlyMap<string, number>,
): Required<Pick<Growth, 'bytes' | 'images' | 'tags'>> {
  const growth = { bytes: 0, images: 0, tags: 0 };
  for (const { digest, size, is_attachment } of removed) {
    growth.bytes -= size;
    growth.images -= 1 - is_attachment;
    growth.tags -= tagCounts.get(digest) ?? 0;
  }
  return growth;
}
