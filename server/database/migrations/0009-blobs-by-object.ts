import type { Migration } from '../migrate.ts';

/**
 * Blobs without a foreign key on their object, and without the index that it needs (decision 0021). SQLite cannot take a
 * key off a table, so blobs are written anew, and their links with them, which refer to them.
 */
export const blobsByObject: Migration = {
  number: 9,
  name: 'blobs by object',
  statements: ({ text, bigint, keyed }, engine) =>
    engine === 'postgres'
      ? ['alter table blobs drop constraint blobs_object_key_fkey', 'drop index blobs_by_object']
      : [
          `create table new_blobs (
            registry_id ${text} not null references registries, digest ${text} not null,
            object_key ${text} not null, size ${bigint} not null, links ${bigint} not null,
            lost integer not null, primary key (registry_id, digest)
          ) ${keyed}`,
          `insert into new_blobs (registry_id, digest, object_key, size, links, lost)
            select registry_id, digest, object_key, size, links, lost from blobs order by registry_id, digest`,
          `create table new_repository_blobs (
            repository_id ${text} not null references repositories, digest ${text} not null, registry_id ${text} not null,
            leased_until ${bigint} not null, leased_by ${text} not null, primary key (repository_id, digest),
            foreign key (registry_id, digest) references new_blobs
          ) ${keyed}`,
          `insert into new_repository_blobs (repository_id, digest, registry_id, leased_until, leased_by)
            select repository_id, digest, registry_id, leased_until, leased_by from repository_blobs
            order by repository_id, digest`,
          'drop table repository_blobs',
          'drop table blobs',
          // What refers to a table follows when its name changes.
          'alter table new_blobs rename to blobs',
          'alter table new_repository_blobs rename to repository_blobs',
          'create index blobs_by_digest on blobs (digest)',
          'create index repository_blobs_by_blob on repository_blobs (registry_id, digest)',
        ],
};
