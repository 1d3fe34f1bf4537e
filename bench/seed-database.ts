// Fills a database with a repository of many images and a registry of many repositories, by inserts: what a listing
// needs, without the time of pushing it. Their blobs are not there, so nothing can be pulled.
//
// Lading has been started on that database once, so that there are a region and a team.
//
//   node bench/seed-database.ts <data directory or postgres://…> <registry> <images> <repositories>

import { createHash } from 'node:crypto';
import { sql } from 'kysely';
import { newId } from '#core/ids.ts';
import type { Platform } from '#core/platform.ts';
import { insertRegistry } from '#core/registry-rows.ts';
import { openDatabase } from '#database/open-database.ts';

const rowsPerInsert = 500;
const imageType = 'application/vnd.oci.image.manifest.v1+json';
const startedAt = Date.UTC(2026, 0, 1);

/** A registry of the oldest team. */
async function makeRegistry(platform: Pick<Platform, 'db' | 'now'>, name: string): Promise<string> {
  const { db } = platform;
  const region = await db.selectFrom('regions').select('id').executeTakeFirstOrThrow();
  const team = await db.selectFrom('teams').select('id').orderBy('created_at').executeTakeFirstOrThrow();
  const settings = { projectId: null, isPublic: false, isManaged: false, sizeLimitBytes: 2 ** 50 };
  const registry = await insertRegistry(platform as Platform, {
    teamId: team.id,
    regionId: region.id,
    name,
    ...settings,
  });
  if (!registry) throw new Error(`The name ${name} is taken.`);
  return registry.id;
}

async function insertRepositories({ db }: Pick<Platform, 'db'>, registryId: string, names: readonly string[]) {
  const ids: string[] = [];
  for (let from = 0; from < names.length; from += rowsPerInsert) {
    const rows = names.slice(from, from + rowsPerInsert).map((name, i) => ({
      id: newId(),
      registry_id: registryId,
      name,
      state: 'live' as const,
      revision: 0,
      size: ((from + i) * 7919) % 100_000,
      is_listed: 1,
      created_at: startedAt,
      updated_at: startedAt + (((from + i) * 104_729) % 1_000_000),
    }));
    await db.insertInto('repositories').values(rows).execute();
    ids.push(...rows.map((row) => row.id));
  }
  await db
    .updateTable('registries')
    .set((eb) => ({ repository_count: eb('repository_count', '+', names.length) }))
    .where('id', '=', registryId)
    .execute();
  return ids;
}

const hexOf = (text: string) => createHash('sha256').update(text).digest('hex');

function manifestOf(repositoryId: string, index: number) {
  const layer = (n: number) => ({
    mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
    digest: `sha256:${hexOf(`layer ${n}`)}`,
    size: 1_000_000 + n,
  });
  const document = {
    schemaVersion: 2,
    mediaType: imageType,
    config: { ...layer(index), mediaType: 'application/vnd.oci.image.config.v1+json' },
    layers: Array.from({ length: 8 }, (_, n) => layer(index + n)),
  };
  const bytes = Buffer.from(JSON.stringify(document));
  return {
    repository_id: repositoryId,
    digest: `sha256:${createHash('sha256').update(bytes).digest('hex')}`,
    media_type: imageType,
    artifact_type: null,
    config_media_type: document.config.mediaType,
    subject: null,
    annotations: null,
    os: 'linux',
    architecture: 'amd64',
    built_at: null,
    pushed_at: startedAt + index * 1000,
    size: bytes.length,
    image_size: 8_000_000,
    leased_until: 0,
    leased_by: '',
    bytes,
  };
}

/** One tag each, the build's number in it. */
async function insertImages({ db }: Pick<Platform, 'db'>, repositoryId: string, count: number): Promise<void> {
  for (let from = 0; from < count; from += rowsPerInsert) {
    const length = Math.min(rowsPerInsert, count - from);
    const rows = Array.from({ length }, (_, i) => manifestOf(repositoryId, from + i));
    await db.insertInto('manifests').values(rows).execute();
    const tags = rows.map(({ digest, pushed_at }, i) => ({
      repository_id: repositoryId,
      name: `main-${hexOf(String(from + i)).slice(0, 8)}-${from + i}`,
      digest,
      belongs_to: null,
      image_pushed_at: pushed_at,
      created_at: pushed_at,
      updated_at: pushed_at,
    }));
    await db.insertInto('tags').values(tags).execute();
  }
  const size = 1500 * count;
  await db
    .updateTable('repositories')
    .set({ size, image_count: count, tag_count: count })
    .where('id', '=', repositoryId)
    .execute();
}

const [target = '', registry = 'seeded', images = '100000', repositories = '50000'] = process.argv.slice(2);
const isUrl = target.startsWith('postgres');
const { db, now, close } = await openDatabase(isUrl ? { url: target, dataDir: '' } : { dataDir: target });
await db.transaction().execute(async (db) => {
  const registryId = await makeRegistry({ db, now }, registry);
  const [big = ''] = await insertRepositories({ db }, registryId, ['big']);
  await insertImages({ db }, big, Number(images));
  const names = Array.from({ length: Number(repositories) }, (_, i) => `team-${hexOf(String(i)).slice(0, 6)}/app-${i}`);
  await insertRepositories({ db }, registryId, names);
});
// As Postgres does by itself, some time after so much has changed.
if (isUrl)
  for (const table of ['manifests', 'tags', 'repositories']) await sql.raw(`vacuum analyze ${table}`).execute(db);
await close();
