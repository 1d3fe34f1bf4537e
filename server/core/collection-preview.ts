import { sql } from 'kysely';
import type { Actor } from './actors.ts';
import { keptManifests } from './collection-rules.ts';
import { requirePermission } from './permissions.ts';
import type { Platform } from './platform.ts';
import { findOwnRegistry } from './registries.ts';

/** What a collection would free, in bytes. Each blob counts once, in the first of these that it belongs to. */
export type CollectionPreview = {
  /** Blobs that no manifest needs. */
  unreferencedBytes: number;
  /** Manifests without a tag, and the blobs that only they need: these go only when asked for. */
  untaggedBytes: number;
  /** Blobs that no manifest needs, but that someone may be about to use. */
  leasedBytes: number;
  /** When the last of those leases ends; null: there is none. */
  leasedUntil: number | null;
};

/**
 * What `startCollection` would free now, to the byte: it asks what the collection asks. Throws `not_found` about the
 * registry.
 */
export async function getCollectionPreview(
  platform: Platform,
  actor: Actor,
  registry: string,
): Promise<CollectionPreview> {
  requirePermission(actor, 'registries:read');
  const { id } = await findOwnRegistry(platform, actor, registry);
  const { rows } = await sql<CollectionPreview>`${question(id, platform.now())}`.execute(platform.scans);
  return rows[0] ?? { unreferencedBytes: 0, untaggedBytes: 0, leasedBytes: 0, leasedUntil: null };
}

function question(registryId: string, now: number) {
  const repositories = sql`select r.id from repositories as r where r.registry_id = ${registryId} and r.state = 'live'`;
  // Of each link: `needed` by any manifest, `kept` by one that stays, `leased`. A blob goes when all its links do, so
  // what one repository does not need and another does frees nothing.
  return sql`
    with recursive ${keptManifests(repositories, now)},
    links as (
      select l.digest, case when l.leased_until > ${now} then 1 else 0 end as leased, l.leased_until,
        case when exists (select 1 from manifest_references as f
          where f.repository_id = l.repository_id and f.child_digest = l.digest) then 1 else 0 end as needed,
        case when exists (select 1 from manifest_references as f
          join kept as k on k.repository_id = f.repository_id and k.digest = f.manifest_digest
          where f.repository_id = l.repository_id and f.child_digest = l.digest) then 1 else 0 end as kept
      from repository_blobs as l where l.repository_id in (${repositories})),
    counted as (
      select digest, sum(case when leased = 0 and needed = 0 then 1 else 0 end) as unreferenced,
        sum(case when leased = 0 and kept = 0 then 1 else 0 end) as untagged,
        sum(case when needed = 0 then 1 else 0 end) as unneeded,
        max(case when needed = 0 then leased_until else 0 end) as until
      from links group by digest),
    sized as (
      select b.size, b.links, c.unreferenced, c.untagged, c.unneeded, c.until from counted as c
        join blobs as b on b.registry_id = ${registryId} and b.digest = c.digest)
    select
      cast(coalesce(sum(case when unreferenced = links then size else 0 end), 0) as bigint) as "unreferencedBytes",
      cast(coalesce(sum(case when unreferenced < links and untagged = links then size else 0 end), 0)
        + (select coalesce(sum(m.size), 0) from manifests as m where m.repository_id in (${repositories})
          and not exists (select 1 from kept as k where k.repository_id = m.repository_id and k.digest = m.digest))
        as bigint) as "untaggedBytes",
      cast(coalesce(sum(case when unreferenced < links and unneeded = links then size else 0 end), 0) as bigint)
        as "leasedBytes",
      max(case when unreferenced < links and unneeded = links then until end) as "leasedUntil"
    from sized`;
}
