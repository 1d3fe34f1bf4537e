import type { Migration } from '../migrate.ts';

/**
 * What lists need and must not count: which manifests are images, how many images and tags a repository has, how many
 * repositories a registry lists. `core/counts.ts` says what each counter counts.
 */
export const counters: Migration = {
  number: 2,
  name: 'counters',
  statements: ({ bigint }) => [
    'alter table manifests add column is_attachment integer not null default 0',
    `update manifests set is_attachment = 1 where subject is not null or (
      exists (select 1 from tags t where t.repository_id = manifests.repository_id and t.digest = manifests.digest)
      and not exists (select 1 from tags t where t.repository_id = manifests.repository_id
        and t.digest = manifests.digest and t.belongs_to is null))`,
    'create index manifests_by_kind on manifests (repository_id, is_attachment, pushed_at, digest)',

    `alter table tags add column image_pushed_at ${bigint}`,
    `update tags set image_pushed_at = (select m.pushed_at from manifests m
      where m.repository_id = tags.repository_id and m.digest = tags.digest and m.subject is null)
      where belongs_to is null`,
    // A search reads the folded names in the order in which images are listed, and nothing else. Postgres wants the
    // name itself beside them, or it would look at every row.
    `create index tags_by_image on tags (repository_id, image_pushed_at, digest, lower(name), name)
      where image_pushed_at is not null`,

    `alter table repositories add column image_count ${bigint} not null default 0`,
    `alter table repositories add column tag_count ${bigint} not null default 0`,
    'alter table repositories add column is_listed integer not null default 0',
    `update repositories set
      image_count = (select count(*) from manifests m where m.repository_id = repositories.id and m.is_attachment = 0),
      tag_count = (select count(*) from tags t where t.repository_id = repositories.id),
      is_listed = case when state = 'live'
        and exists (select 1 from manifests m where m.repository_id = repositories.id) then 1 else 0 end`,
    // With all that pages and searches ask before they know which rows they show.
    'create index repositories_by_name on repositories (registry_id, is_listed, name, id)',
    'create index repositories_by_update on repositories (registry_id, is_listed, updated_at, id, name)',
    'create index repositories_by_size on repositories (registry_id, is_listed, size, id, name)',

    `alter table registries add column repository_count ${bigint} not null default 0`,
    `update registries set repository_count =
      (select count(*) from repositories r where r.registry_id = registries.id and r.is_listed = 1)`,
  ],
};
