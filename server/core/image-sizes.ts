import { sql } from 'kysely';
import type { Platform } from './platform.ts';

/**
 * The size of each index: itself, what it lists, and what those need, each digest once. Computed when asked, because an
 * index may be pushed before what it lists, and outlive it.
 */
export async function findIndexSizes(
  { db }: Platform,
  repository: { id: string; registryId: string },
  digests: readonly string[],
): Promise<Map<string, number>> {
  if (digests.length === 0) return new Map();
  const { id, registryId } = repository;
  const { rows } = await sql<{ root: string; size: number }>`
    with recursive parts(root, digest) as (
      select m.digest, m.digest from manifests as m
        where m.repository_id = ${id} and m.digest in (${sql.join(digests)})
      union
      select p.root, r.child_digest from parts as p
        join manifest_references as r on r.repository_id = ${id} and r.manifest_digest = p.digest
    )
    select p.root as root, cast(sum(coalesce(m.size, b.size, 0)) as bigint) as size
    from parts as p
    left join manifests as m on m.repository_id = ${id} and m.digest = p.digest
    left join repository_blobs as l on l.repository_id = ${id} and l.digest = p.digest
    left join blobs as b on b.registry_id = ${registryId} and b.digest = l.digest
    group by p.root`.execute(db);
  return new Map(rows.map((row) => [row.root, row.size]));
}
