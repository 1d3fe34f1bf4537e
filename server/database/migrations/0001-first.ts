import type { Migration } from '../migrate.ts';

/**
 * The tables of `core/schema.ts`. `text` is a text that compares byte by byte. Foreign keys are a net under the
 * protocols, never a part of them: a violation is a bug. What a manifest references has none, because foreign layers,
 * sparse indexes and children that come later are legal.
 */
export const first: Migration = {
  number: 1,
  name: 'first',
  statements: ({ text, bigint, bytes, hot, table, keyed }) => [
    `create table regions (id ${text} primary key, slug ${text} not null unique, name ${text} not null) ${table}`,
    `create table teams (
      id ${text} primary key, name ${text} not null, slug ${text} not null unique, created_at ${bigint} not null
    ) ${table}`,
    `create table projects (
      id ${text} primary key, team_id ${text} not null references teams, name ${text} not null, slug ${text} not null,
      created_at ${bigint} not null, unique (team_id, slug)
    ) ${table}`,
    `create table registries (
      id ${text} primary key, team_id ${text} not null references teams, project_id ${text} references projects,
      region_id ${text} not null references regions, name ${text} not null,
      state ${text} not null check (state in ('active', 'deleting')), status_reason ${text},
      is_public integer not null, is_managed integer not null, size ${bigint} not null, reserved ${bigint} not null,
      size_limit ${bigint} not null, created_at ${bigint} not null, updated_at ${bigint} not null,
      unique (region_id, name)
    ) ${hot}`,
    'create index registries_by_team on registries (team_id, name)',
    'create index registries_by_project on registries (project_id)',
    `create table repositories (
      id ${text} primary key, registry_id ${text} not null references registries, name ${text} not null,
      state ${text} not null check (state in ('live', 'deleting')), revision ${bigint} not null,
      size ${bigint} not null, created_at ${bigint} not null, updated_at ${bigint} not null,
      unique (registry_id, name)
    ) ${hot}`,

    `create table objects (
      key ${text} primary key, state ${text} not null check (state in ('writing', 'stored', 'doomed')),
      size ${bigint} not null, refs ${bigint} not null, reserved_in ${text}, writer_until ${bigint},
      remove_after ${bigint}, forget_after ${bigint}, attempts ${bigint} not null
    ) ${table}`,
    'create index objects_by_removal on objects (state, remove_after)',
    'create index objects_by_writer on objects (state, writer_until)',
    'create index objects_by_reservation on objects (reserved_in) where reserved_in is not null',
    `create table blobs (
      registry_id ${text} not null references registries, digest ${text} not null,
      object_key ${text} not null references objects, size ${bigint} not null, links ${bigint} not null,
      lost integer not null, primary key (registry_id, digest)
    ) ${keyed}`,
    'create index blobs_by_digest on blobs (digest)',
    'create index blobs_by_object on blobs (object_key)',
    `create table repository_blobs (
      repository_id ${text} not null references repositories, digest ${text} not null, registry_id ${text} not null,
      leased_until ${bigint} not null, leased_by ${text} not null, primary key (repository_id, digest),
      foreign key (registry_id, digest) references blobs
    ) ${keyed}`,
    'create index repository_blobs_by_blob on repository_blobs (registry_id, digest)',

    `create table manifests (
      repository_id ${text} not null references repositories, digest ${text} not null, media_type ${text} not null,
      artifact_type ${text}, config_media_type ${text}, subject ${text}, annotations ${text}, os ${text} not null,
      architecture ${text} not null, built_at ${bigint}, pushed_at ${bigint} not null, size ${bigint} not null,
      image_size ${bigint} not null, leased_until ${bigint} not null, leased_by ${text} not null,
      bytes ${bytes} not null, primary key (repository_id, digest)
    ) ${table}`,
    'create index manifests_by_subject on manifests (repository_id, subject) where subject is not null',
    'create index manifests_by_push on manifests (repository_id, pushed_at, digest)',
    `create table manifest_references (
      repository_id ${text} not null, manifest_digest ${text} not null, child_digest ${text} not null,
      primary key (repository_id, manifest_digest, child_digest),
      foreign key (repository_id, manifest_digest) references manifests on delete cascade
    ) ${keyed}`,
    'create index manifest_references_by_child on manifest_references (repository_id, child_digest)',
    `create table tags (
      repository_id ${text} not null, name ${text} not null, digest ${text} not null, belongs_to ${text},
      created_at ${bigint} not null, updated_at ${bigint} not null, primary key (repository_id, name),
      foreign key (repository_id, digest) references manifests on delete cascade
    ) ${keyed}`,
    // With `belongs_to`, so that SQLite prefers it to the whole repository's tags when attachments are left out.
    'create index tags_by_digest on tags (repository_id, digest, belongs_to)',
    'create index tags_by_subject on tags (repository_id, belongs_to) where belongs_to is not null',

    `create table uploads (
      id ${text} primary key, repository_id ${text} not null references repositories, principal ${text} not null,
      generation ${bigint} not null, received ${bigint} not null, version ${bigint} not null,
      started_at ${bigint} not null, expires_at ${bigint} not null
    ) ${table}`,
    'create index uploads_by_expiry on uploads (expires_at)',
    'create index uploads_by_repository on uploads (repository_id)',
    `create table upload_parts (
      upload_id ${text} not null references uploads, number ${bigint} not null,
      object_key ${text} not null references objects, size ${bigint} not null, primary key (upload_id, number)
    ) ${keyed}`,
    'create index upload_parts_by_object on upload_parts (object_key)',

    `create table actors (
      id ${text} primary key, kind ${text} not null check (kind in ('key', 'token', 'robot')),
      team_id ${text} not null references teams, name ${text} not null, secret_hash ${text} not null unique,
      generation ${bigint} not null, permissions ${text} not null, project_ids ${text}, registry_ids ${text},
      lifetime_ms ${bigint}, expires_at ${bigint}, revoked_at ${bigint}, last_used_at ${bigint},
      created_at ${bigint} not null
    ) ${table}`,
    'create index actors_by_team on actors (team_id, kind, id)',
    `create table operations (
      id ${text} primary key, kind ${text} not null, team_id ${text} not null, registry_id ${text},
      repository_id ${text}, state ${text} not null check (state in ('queued', 'running', 'done', 'failed')),
      worker ${text}, claimed_until ${bigint}, again integer not null, attempts ${bigint} not null,
      freed ${bigint} not null, input ${text} not null, progress ${text} not null, error ${text},
      created_at ${bigint} not null, started_at ${bigint}, finished_at ${bigint}
    ) ${table}`,
    // One collection of a registry at a time: the second start hits this index instead of a race.
    `create unique index operations_one_collection on operations (registry_id)
      where kind = 'garbage_collection' and state in ('queued', 'running')`,
    'create index operations_by_state on operations (state, created_at)',
    'create index operations_by_team on operations (team_id, id)',
    'create index operations_by_registry on operations (registry_id, id)',
    `create table holds (id ${text} primary key, until ${bigint} not null) ${table}`,
    `create table signing_keys (
      id ${text} primary key, public_jwk ${text} not null, sealed_private_jwk ${text} not null,
      created_at ${bigint} not null
    ) ${table}`,
    `create table audit_events (
      id ${text} primary key, team_id ${text} not null, actor_kind ${text} not null, actor_id ${text} not null,
      actor_name ${text} not null, action ${text} not null, target_kind ${text} not null, target_id ${text} not null,
      target_name ${text} not null, detail ${text} not null, address ${text} not null, created_at ${bigint} not null
    ) ${table}`,
    'create index audit_events_by_team on audit_events (team_id, created_at, id)',
    'create index audit_events_by_time on audit_events (created_at)',
  ],
};
