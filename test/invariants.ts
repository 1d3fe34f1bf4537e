// What must be true of the rows and of what lies in the store at any moment, whatever runs, crashes or waits beside it.
// Each statement is one snapshot, and everything a question compares is read by one statement. Only the store has no
// snapshot: what looks wrong there is looked at again. So this may be asked while a server is at work.

import { createHash } from 'node:crypto';
import { sql } from 'kysely';
import { type DigestAlgorithm, toDigest } from '#core/digest.ts';
import type { TestPlatform } from './platform.ts';
import { listKeys, type StoreView } from './store-view.ts';

export type InvariantOptions = {
  /** `repository id/digest` of what was deleted by name: an index may list it still. */
  deletedByName?: ReadonlySet<string>;
  /** Names of registries whose limit was lowered below what they held. */
  loweredLimits?: ReadonlySet<string>;
  /** Keys whose bytes were compared already: objects never change. */
  hashed?: Set<string>;
};

/** Sentences about what is broken; empty if all is well. */
export async function findBroken(platform: TestPlatform, options: InvariantOptions = {}): Promise<string[]> {
  return [
    ...(await findBrokenRows(platform)),
    ...(await findOverfull(platform, options.loweredLimits ?? new Set())),
    ...(await findHoles(platform, options.deletedByName ?? new Set())),
    ...(await findUnowned(platform)),
    ...(await findMissing(platform, options.hashed ?? new Set())),
  ];
}

// Each answers a row for every violation, its columns for the reader.
const questions: Readonly<Record<string, string>> = {
  'a blob or part without a stored object': `select u.object_key, o.state from
    (select object_key from blobs union all select object_key from upload_parts) u
    left join objects o on o.key = u.object_key where coalesce(o.state, '') <> 'stored'`,
  'refs that are not the number of uses': `select * from (select o.key, o.refs, count(u.object_key) as uses from objects o
    left join (select object_key from blobs union all select object_key from upload_parts) u on u.object_key = o.key
    where o.state = 'stored' group by o.key, o.refs) c where refs <> uses or uses < 1`,
  'links that are not the number of links': `select * from (select b.registry_id, b.digest, b.links,
    (select count(*) from repository_blobs where registry_id = b.registry_id and digest = b.digest) as linked
    from blobs b) c where links <> linked or linked < 1`,
  'the size of a registry': `select * from (select g.name, g.size,
    (select coalesce(sum(size), 0) from blobs where registry_id = g.id) + (select coalesce(sum(m.size), 0)
      from manifests m join repositories r on r.id = m.repository_id where r.registry_id = g.id) as counted
    from registries g) c where size <> counted`,
  'the reservations of a registry': `select * from (select g.name, g.reserved, (select coalesce(sum(size), 0)
      from objects where reserved_in = g.id and state <> 'doomed') as counted from registries g) c
    where reserved <> counted`,
  'the size of a repository': `select * from (select r.name, r.size,
    (select coalesce(sum(b.size), 0) from repository_blobs l join blobs b on b.registry_id = l.registry_id
      and b.digest = l.digest where l.repository_id = r.id)
    + (select coalesce(sum(size), 0) from manifests where repository_id = r.id) as counted
    from repositories r where r.state = 'live') c where size <> counted`,
  'an attachment taken for an image, or an image for an attachment': `select * from (select m.repository_id, m.digest,
    m.is_attachment, case when m.subject is not null then 1
      when count(t.name) = 0 then 0 when count(t.belongs_to) = count(t.name) then 1 else 0 end as judged
    from manifests m left join tags t on t.repository_id = m.repository_id and t.digest = m.digest
    group by m.repository_id, m.digest, m.is_attachment, m.subject) c where is_attachment <> judged`,
  'a tag that a search finds though it names no image, or the reverse': `select * from (select t.name, t.image_pushed_at,
    case when t.belongs_to is null and m.subject is null then m.pushed_at end as wanted from tags t
    join manifests m on m.repository_id = t.repository_id and m.digest = t.digest) c
    where coalesce(image_pushed_at, -1) <> coalesce(wanted, -1)`,
  'the images of a repository': `select * from (select r.name, r.image_count,
    (select count(*) from manifests where repository_id = r.id and is_attachment = 0) as counted
    from repositories r where r.state = 'live') c where image_count <> counted`,
  'the tags of a repository': `select * from (select r.name, r.tag_count,
    (select count(*) from tags where repository_id = r.id) as counted
    from repositories r where r.state = 'live') c where tag_count <> counted`,
  'a repository with a manifest that is not listed, or a closed one that is': `select r.name, r.state, r.is_listed
    from repositories r where r.is_listed <> (case when r.state <> 'live' then 0
      when exists (select 1 from manifests where repository_id = r.id) then 1 else r.is_listed end)`,
  'the repositories of a registry': `select * from (select g.name, g.repository_count,
    (select count(*) from repositories where registry_id = g.id and is_listed = 1) as counted
    from registries g) c where repository_count <> counted`,
  'what an upload received': `select * from (select u.id, u.received,
    (select coalesce(sum(size), 0) from upload_parts where upload_id = u.id) as counted from uploads u) c
    where received <> counted`,
  'a tag without its manifest': `select t.name, t.digest from tags t left join manifests m
    on m.repository_id = t.repository_id and m.digest = t.digest where m.digest is null`,
};

async function findBrokenRows({ db }: TestPlatform): Promise<string[]> {
  const found: string[] = [];
  for (const [what, question] of Object.entries(questions)) {
    const { rows } = await sql.raw(question).execute(db);
    found.push(...rows.map((row) => `${what}: ${JSON.stringify(row)}`));
  }
  return found;
}

async function findOverfull({ db }: TestPlatform, lowered: ReadonlySet<string>): Promise<string[]> {
  const rows = await db
    .selectFrom('registries')
    .select(['name', 'size', 'reserved', 'size_limit'])
    .where(sql<boolean>`size + reserved > size_limit`)
    .execute();
  return rows
    .filter(({ name }) => !lowered.has(name))
    .map((row) => `a registry over its limit: ${JSON.stringify(row)}`);
}

/** Each config and layer of each manifest is linked; a child of an index is here, or was deleted by name. */
async function findHoles({ db }: TestPlatform, deletedByName: ReadonlySet<string>): Promise<string[]> {
  const { rows } = await sql<{ repository: string; parent: string; child: string; bytes: Uint8Array }>`
    select f.repository_id as repository, f.manifest_digest as parent, f.child_digest as child, m.bytes
    from manifest_references f
    join manifests m on m.repository_id = f.repository_id and m.digest = f.manifest_digest
    join repositories r on r.id = f.repository_id and r.state = 'live'
    where not exists (select 1 from repository_blobs where repository_id = f.repository_id and digest = f.child_digest)
    and not exists (select 1 from manifests where repository_id = f.repository_id and digest = f.child_digest)`.execute(
    db,
  );
  return rows
    .filter(({ repository, child, bytes }) => {
      const { config, layers = [], urls = [] } = JSON.parse(Buffer.from(bytes).toString());
      const layer = [config, ...layers].find((descriptor) => descriptor?.digest === child);
      if (!layer) return !deletedByName.has(`${repository}/${child}`);
      return !urls.length && !/nondistributable|foreign/.test(layer.mediaType);
    })
    .map(({ repository, parent, child }) => `a hole: ${child} of ${parent} in repository ${repository}`);
}

async function findUnowned({ db, storeView }: TestPlatform): Promise<string[]> {
  // Objects first: one that comes meanwhile has its row before it.
  const keys = await listKeys(storeView);
  const rows = await db.selectFrom('objects').select('key').execute();
  for (const { key } of rows) keys.delete(key);
  if (keys.size === 0) return [];
  const still = await listKeys(storeView);
  return [...keys].filter((key) => still.has(key)).map((key) => `bytes without a row in objects: ${key}`);
}

type Stored = { key: string; size: number; digest: string | null };

async function findMissing({ db, storeView }: TestPlatform, hashed: Set<string>): Promise<string[]> {
  const select = () =>
    db
      .selectFrom('objects as o')
      .leftJoin('blobs as b', 'b.object_key', 'o.key')
      .select(['o.key', 'o.size', 'b.digest'])
      .where('o.state', '=', 'stored');
  const found: string[] = [];
  const rows = (await select().execute()) as Stored[];
  // Rows first: the bytes of each of them were there before it.
  const sizes = await storeView.listObjects();
  for (const object of rows) {
    const fault = findSizeFault(object, sizes.get(object.key)) ?? (await findOtherBytes(storeView, object, hashed));
    // Removed meanwhile for good reasons: then it is not stored any more.
    if (fault && (await select().where('o.key', '=', object.key).executeTakeFirst())) found.push(fault);
  }
  return found;
}

function findSizeFault({ key, size }: Stored, found: number | undefined): string | undefined {
  if (found === undefined) return `a stored object without its bytes: ${key}`;
  if (found === size) return undefined;
  return `a stored object of the wrong size: ${key} has ${found} bytes, its row says ${size}`;
}

async function findOtherBytes(
  view: StoreView,
  { key, digest }: Stored,
  hashed: Set<string>,
): Promise<string | undefined> {
  if (digest === null || hashed.has(`${key} ${digest}`)) return undefined;
  const algorithm = digest.slice(0, digest.indexOf(':')) as DigestAlgorithm;
  const bytes = await view.readObject(key).catch(() => undefined);
  if (bytes === undefined) return `a stored object that cannot be read: ${key}`;
  if (toDigest(algorithm, createHash(algorithm).update(bytes)) !== digest)
    return `an object with other bytes: ${key} is not ${digest}`;
  hashed.add(`${key} ${digest}`);
  return undefined;
}

/** What must be true besides when no client, upload or operation is left and the janitor and the remover have come by. */
export async function findRestless(platform: TestPlatform): Promise<string[]> {
  const { db } = platform;
  const found: string[] = [];
  const unfinished = await db.selectFrom('objects').select(['key', 'state']).where('state', '<>', 'stored').execute();
  found.push(...unfinished.map(({ key, state }) => `an object at rest that is ${state}: ${key}`));
  const uploads = await db.selectFrom('uploads').select('id').execute();
  found.push(...uploads.map(({ id }) => `an upload at rest: ${id}`));
  const reserving = await db.selectFrom('registries').select(['name', 'reserved']).where('reserved', '<>', 0).execute();
  found.push(...reserving.map(({ name, reserved }) => `a reservation at rest: ${reserved} bytes in ${name}`));
  const blobs = await db.selectFrom('blobs').select('object_key').distinct().execute();
  const needed = new Set(blobs.map((blob) => blob.object_key));
  for (const key of await listKeys(platform.storeView))
    if (!needed.has(key)) found.push(`bytes at rest of no blob: ${key}`);
  for (const key of await platform.storeView.listUnfinished()) found.push(`a write at rest: ${key}`);
  return found;
}
