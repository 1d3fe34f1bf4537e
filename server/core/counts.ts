import { type SqlBool, sql } from 'kysely';

/** `digest`, of the blobs that use it: null where none was seen. */
export type KnownObject = { key: string; digest: string | null };

/**
 * Blobs that use an object. They are found by their digest, all of them, for only blobs of one digest share an object;
 * by the object alone all blobs must be read.
 */
export const usesObject = ({ key, digest }: KnownObject) =>
  digest === null ? sql<SqlBool>`object_key = ${key}` : sql<SqlBool>`digest = ${digest} and object_key = ${key}`;

/**
 * What the counters count, as parts of a select: of blobs `b`, objects `o`, manifests `m`, repositories `p`, registries
 * `g`. Beside the counter itself, in one statement, they are exact: a snapshot has no push that is half done.
 */
export const counts = {
  links: sql<number>`cast((select count(*) from repository_blobs
    where registry_id = b.registry_id and digest = b.digest) as bigint)`,
  /** Blobs of registries and parts of uploads. */
  usesOf: (object: KnownObject) =>
    sql<number>`cast((select count(*) from blobs where ${usesObject(object)})
    + (select count(*) from upload_parts where object_key = o.key) as bigint)`,
  repositorySize: sql<number>`cast((select coalesce(sum(b.size), 0) from repository_blobs l
      join blobs b on b.registry_id = l.registry_id and b.digest = l.digest where l.repository_id = p.id)
    + (select coalesce(sum(m.size), 0) from manifests m where m.repository_id = p.id) as bigint)`,
  /** 0 or 1. */
  isAttachment: sql<number>`case when m.subject is not null then 1
    when exists (select 1 from tags t where t.repository_id = m.repository_id and t.digest = m.digest)
      and not exists (select 1 from tags t where t.repository_id = m.repository_id and t.digest = m.digest
        and t.belongs_to is null)
    then 1 else 0 end`,
  repositoryImages: sql<number>`cast((select count(*) from manifests
    where repository_id = p.id and is_attachment = 0) as bigint)`,
  repositoryTags: sql<number>`cast((select count(*) from tags where repository_id = p.id) as bigint)`,
  /** Tags that do not say when their image was pushed, or say it though they name none. */
  repositoryMisdatedTags: sql<number>`cast((select count(*) from tags t
    join manifests m on m.repository_id = t.repository_id and m.digest = t.digest
    where t.repository_id = p.id and coalesce(t.image_pushed_at, -1) <>
      case when t.belongs_to is null and m.subject is null then m.pushed_at else -1 end) as bigint)`,
  /** 0 or 1. One that lost its last manifest stays as it is. */
  repositoryListed: sql<number>`case when p.state <> 'live' then 0
    when exists (select 1 from manifests where repository_id = p.id) then 1 else p.is_listed end`,
  registryRepositories: sql<number>`cast((select count(*) from repositories
    where registry_id = g.id and is_listed = 1) as bigint)`,
  registrySize: sql<number>`cast((select coalesce(sum(b.size), 0) from blobs b where b.registry_id = g.id)
    + (select coalesce(sum(m.size), 0) from manifests m join repositories r on r.id = m.repository_id
      where r.registry_id = g.id) as bigint)`,
  /** Of uploads: what is being written, and what is written and no blob yet. */
  registryReserved: sql<number>`cast((select coalesce(sum(o.size), 0) from objects o
    where o.reserved_in = g.id and o.state <> 'doomed') as bigint)`,
};
