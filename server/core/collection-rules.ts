// What is garbage, as parts of a select. The scan that looks for it and the transaction that removes it ask the same
// question: what a push has changed in between is seen by the second, under the repository's lock.

import { type SqlBool, sql } from 'kysely';

/** A link `l`: nothing in its repository refers to it, and nobody counts on it. */
export const isUnreferencedLink = (now: number) => sql<SqlBool>`(l.leased_until <= ${now} and not exists (
  select 1 from manifest_references as f where f.repository_id = l.repository_id and f.child_digest = l.digest))`;

/**
 * A manifest `m`: no tag of its own, no index that lists it, no subject here, nobody who counts on it. A cosign tag
 * counts for its subject only as long as that is here. So parents go before their children, whatever comes in between.
 */
export const isUntaggedManifest = (now: number) => sql<SqlBool>`(m.leased_until <= ${now}
  and not exists (select 1 from tags as t where t.repository_id = m.repository_id and t.digest = m.digest
    and (t.belongs_to is null or exists (
      select 1 from manifests as s where s.repository_id = t.repository_id and s.digest = t.belongs_to)))
  and not exists (
    select 1 from manifest_references as f where f.repository_id = m.repository_id and f.child_digest = m.digest)
  and (m.subject is null or not exists (
    select 1 from manifests as s where s.repository_id = m.repository_id and s.digest = m.subject)))`;

/**
 * Two tables for a `with recursive`: `edges`, from each manifest to those that it keeps (what an index lists, what refers
 * to a subject, what a cosign tag says), and `kept`, what a tag or a lease holds, with all that follows. `repositories`
 * is a select of ids.
 */
export const keptManifests = (repositories: ReturnType<typeof sql>, now: number) => sql`
  edges(repository_id, parent, child) as (
    select f.repository_id, f.manifest_digest, f.child_digest from manifest_references as f
      join manifests as c on c.repository_id = f.repository_id and c.digest = f.child_digest
      where f.repository_id in (${repositories})
    union all
    select m.repository_id, m.subject, m.digest from manifests as m
      where m.repository_id in (${repositories}) and m.subject is not null
    union all
    select t.repository_id, t.belongs_to, t.digest from tags as t
      where t.repository_id in (${repositories}) and t.belongs_to is not null),
  kept(repository_id, digest) as (
    select m.repository_id, m.digest from manifests as m
      where m.repository_id in (${repositories}) and (m.leased_until > ${now} or exists (
        select 1 from tags as t where t.repository_id = m.repository_id and t.digest = m.digest and t.belongs_to is null))
    union
    select e.repository_id, e.child from kept as k
      join edges as e on e.repository_id = k.repository_id and e.parent = k.digest)`;
