// What a large installation has in its tables, made by the server itself: a million manifests take minutes.

import type pg from 'pg';

export type Seeded = {
  /** Of the registry, with a fifth of all images; the others have 200 each. */
  big: { id: string; name: string; images: number };
  small: { id: string; name: string };
};

export const digestAt = (kind: string, n: number) => `sha256:${kind}${n.toString(16).padStart(63, '0')}`;

const now = Date.UTC(2026, 0, 1);
const perRepository = 200;
const leased = `0, ''`;

/** Digests that go up: the tables are filled faster, and no plan looks at what a digest is like. */
const digest = (kind: string, n: string) => `'sha256:${kind}' || lpad(to_hex(${n}), 63, '0')`;
const key = (kind: string, n: string) => `'${kind}' || lpad(to_hex(${n}), 31, '0')`;
const id = (kind: string, n: string) => `'0190${kind}-0000-7000-8000-' || lpad(to_hex(${n}), 12, '0')`;

const descriptor = (kind: string, n: string, type: string, size: number) =>
  `'{"mediaType":"application/vnd.oci.image.${type}","digest":"' || ${digest(kind, n)} || '","size":${size}}'`;
const documentSql = `convert_to('{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":'
  || ${descriptor('c', 'r', 'config.v1+json', 1000)} || ',"layers":[' || ${descriptor('b', 'r', 'layer.v1.tar+gzip', 1_000_000)}
  || ',' || ${descriptor('1', 'n', 'layer.v1.tar+gzip', 1_000_000)} || ']}', 'UTF8')`;

/** Fills a registry with `count` images of one layer each, and one and a config that all of a repository share. */
export async function seed(
  client: pg.Client,
  { teamId, registryId, count }: { teamId: string; registryId: string; count: number },
): Promise<Seeded> {
  const bigImages = Math.floor(count / 5);
  const repositories = Math.floor((count - bigImages) / perRepository);
  // Image n is in repository 0, the big one, or in one of the others in turn.
  const place = `case when n <= ${bigImages} then 0 else 1 + (n % ${repositories}) end`;
  const images = `(select n, ${place} as r from generate_series(1, ${count}) n) i`;
  const every = `(select r from generate_series(0, ${repositories}) r) i`;
  const statements = [
    // Without the checks of foreign keys, which would take most of the time.
    'set session_replication_role = replica',
    `insert into repositories (id, registry_id, name, state, revision, size, created_at, updated_at, is_listed, image_count, tag_count)
      select ${id('aaaa', 'r')}, '${registryId}', 'team-' || (r % 50) || '/app-' || r, 'live', 1, r, ${now}, ${now} + r, 1, 200, 200 from ${every}`,
    `insert into objects (key, state, size, refs, attempts) select ${key('c', 'r')}, 'stored', 1000, 1, 0 from ${every}`,
    `insert into objects (key, state, size, refs, attempts) select ${key('1', 'n')}, 'stored', 1000000, 1, 0 from ${images}`,
    `insert into objects (key, state, size, refs, attempts) select ${key('b', 'r')}, 'stored', 1000000, 1, 0 from ${every}`,
    `insert into blobs (registry_id, digest, object_key, size, links, lost)
      select '${registryId}', ${digest('c', 'r')}, ${key('c', 'r')}, 1000, 1, 0 from ${every}`,
    `insert into blobs (registry_id, digest, object_key, size, links, lost)
      select '${registryId}', ${digest('1', 'n')}, ${key('1', 'n')}, 1000000, 1, 0 from ${images}`,
    `insert into blobs (registry_id, digest, object_key, size, links, lost)
      select '${registryId}', ${digest('b', 'r')}, ${key('b', 'r')}, 1000000, 1, 0 from ${every}`,
    `insert into repository_blobs (repository_id, digest, registry_id, leased_until, leased_by)
      select ${id('aaaa', 'r')}, ${digest('1', 'n')}, '${registryId}', ${leased} from ${images}`,
    ...['c', 'b'].map(
      (kind) => `insert into repository_blobs (repository_id, digest, registry_id, leased_until, leased_by)
        select ${id('aaaa', 'r')}, ${digest(kind, 'r')}, '${registryId}', ${leased} from ${every}`,
    ),
    // Each hundredth is a signature of the image before it.
    `insert into manifests (repository_id, digest, media_type, subject, artifact_type, is_attachment, config_media_type, os, architecture,
        pushed_at, size, image_size, leased_until, leased_by, bytes)
      select ${id('aaaa', 'r')}, ${digest('a', 'n')}, 'application/vnd.oci.image.manifest.v1+json',
        case when n % 100 = 0 then ${digest('a', 'n - n % 5000 + 1')} end, case when n % 100 = 0 then 'application/vnd.example' end,
        case when n % 100 = 0 then 1 else 0 end, 'application/vnd.oci.image.config.v1+json', 'linux', 'amd64', ${now} + n, 600, 2001000,
        ${leased}, ${documentSql} from ${images}`,
    ...[digest('1', 'n'), digest('c', 'r'), digest('b', 'r')].map(
      (child) => `insert into manifest_references (repository_id, manifest_digest, child_digest)
        select ${id('aaaa', 'r')}, ${digest('a', 'n')}, ${child} from ${images}`,
    ),
    `insert into tags (repository_id, name, digest, image_pushed_at, created_at, updated_at)
      select ${id('aaaa', 'r')}, 'v' || n, ${digest('a', 'n')}, ${now} + n, ${now}, ${now} from ${images} where n % 100 <> 0`,
    ...beside(teamId, registryId, count),
    'set session_replication_role = origin',
  ];
  for (const statement of statements) await client.query(statement);
  await client.query('vacuum analyze');
  const { rows } = await client.query<{ id: string; name: string }>(
    'select id, name from repositories order by id limit 2',
  );
  const [big, small] = rows;
  if (!big || !small) throw new Error('Nothing was seeded.');
  return { big: { ...big, images: bigImages }, small };
}

/** What jobs look through: secrets, events and operations of years, uploads under way, objects to remove. */
function beside(teamId: string, registryId: string, count: number): string[] {
  const some = Math.floor(count / 10);
  const few = Math.floor(count / 50);
  const series = (length: number) => `generate_series(1, ${length}) n`;
  return [
    `insert into actors (id, kind, team_id, name, secret_hash, generation, permissions, last_used_at, created_at)
      select ${id('bbbb', 'n')}, 'token', '${teamId}', 'token ' || n, ${key('d', 'n')}, 1, '["images:pull"]', ${now}, ${now} from ${series(some)}`,
    `insert into audit_events (id, team_id, actor_kind, actor_id, actor_name, action, target_kind, target_id, target_name, detail, address, created_at)
      select ${id('cccc', 'n')}, '${teamId}', 'key', 'k', 'owner', 'manifest.delete', 'manifest', 'm', 'm', '{}', '127.0.0.1', ${now} + n
      from ${series(some)}`,
    `insert into operations (id, kind, team_id, registry_id, state, again, attempts, freed, input, progress, created_at, finished_at)
      select ${id('dddd', 'n')}, 'garbage_collection', '${teamId}', '${registryId}', 'done', 0, 0, 0, '{}', '{}', ${now} + n, ${now} + n
      from ${series(some)}`,
    `insert into objects (key, state, size, refs, remove_after, attempts)
      select ${key('e', 'n')}, 'doomed', 1000, 0, ${now} + n, 0 from ${series(some)}`,
    `insert into objects (key, state, size, refs, reserved_in, writer_until, attempts)
      select ${key('f', 'n')}, 'writing', 1000, 0, '${registryId}', ${now} * 2, 0 from ${series(few)}`,
    `insert into objects (key, state, size, refs, reserved_in, attempts)
      select ${key('9', 'n')}, 'stored', 1000, 1, '${registryId}', 0 from ${series(few)}`,
    `insert into uploads (id, repository_id, principal, generation, received, version, started_at, expires_at)
      select ${id('eeee', 'n')}, ${id('aaaa', 'n % 100')}, 'k', 1, 1000, 1, ${now}, ${now} * 2 from ${series(few)}`,
    `insert into upload_parts (upload_id, number, object_key, size)
      select ${id('eeee', 'n')}, 0, ${key('9', 'n')}, 1000 from ${series(few)}`,
  ];
}
