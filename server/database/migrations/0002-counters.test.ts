import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Insertable, Kysely } from 'kysely';
import type { ManifestRow, Schema } from '#core/schema.ts';
import { makeTestDatabase } from '#test/database.ts';
import { migrate } from '../migrate.ts';
import { openDatabase } from '../open-database.ts';
import { openPostgresDialect } from '../postgres.ts';
import { openSqliteDialect } from '../sqlite.ts';
import { first } from './0001-first.ts';

test('a database from before the counters has them counted when it is opened', async (t) => {
  const options = await makeTestDatabase(t);
  await makeOldDatabase(options);
  const { db, close } = await openDatabase(options);
  t.after(close);
  const attachments = await db.selectFrom('manifests').select('digest').where('is_attachment', '=', 1).execute();
  assert.deepEqual(attachments.map((row) => row.digest).sort(), ['referrer', 'signature', 'tagged-referrer']);
  const searched = await db
    .selectFrom('tags')
    .select('name')
    .where('image_pushed_at', '=', 0)
    .orderBy('name')
    .execute();
  assert.deepEqual(
    searched.map((row) => row.name),
    ['latest', 'my-attestation', 'v1'],
  );
  const repositories = await db
    .selectFrom('repositories')
    .select(['id', 'image_count', 'tag_count', 'is_listed'])
    .orderBy('id')
    .execute();
  assert.deepEqual(
    repositories.map((row) => ({ ...row })),
    [
      { id: 'app', image_count: 3, tag_count: 6, is_listed: 1 },
      { id: 'deleting', image_count: 1, tag_count: 0, is_listed: 0 },
      { id: 'empty', image_count: 0, tag_count: 0, is_listed: 0 },
    ],
  );
  const { repository_count } = await db.selectFrom('registries').select('repository_count').executeTakeFirstOrThrow();
  assert.equal(repository_count, 1);
});

async function makeOldDatabase({ url, dataDir }: { url?: string; dataDir: string }): Promise<void> {
  const dialect = url ? openPostgresDialect({ url, poolSize: 4 }) : openSqliteDialect(join(dataDir, 'lading.db'));
  const db = new Kysely<Schema>({ dialect });
  await migrate(db, url ? 'postgres' : 'sqlite', Date.now, [first]);
  await insertRegistry(db);
  await insertManifests(db, 'deleting', ['gone']);
  await insertManifests(db, 'app', ['image', 'untagged']);
  await insertManifests(db, 'app', ['signature', 'renamed']);
  await insertManifests(db, 'app', ['referrer', 'tagged-referrer'], 'image');
  await insertTag(db, 'latest', 'image');
  await insertTag(db, 'v1', 'image');
  await insertTag(db, 'image.sig', 'signature', 'image');
  await insertTag(db, 'image.att', 'renamed', 'image');
  await insertTag(db, 'my-attestation', 'renamed');
  await insertTag(db, 'my-sbom', 'tagged-referrer');
  await db.destroy();
}

async function insertRegistry(db: Kysely<Schema>): Promise<void> {
  const times = { created_at: 1, updated_at: 1 };
  await db.insertInto('regions').values({ id: 'r', slug: 'r', name: 'r' }).execute();
  await db.insertInto('teams').values({ id: 't', name: 't', slug: 't', created_at: 1 }).execute();
  const registry = { id: 'g', team_id: 't', project_id: null, region_id: 'r', name: 'g', state: 'active' } as const;
  const sizes = { size: 0, reserved: 0, size_limit: 0 };
  const flags = { status_reason: null, is_public: 0, is_managed: 0 };
  await db
    .insertInto('registries')
    .values({ ...registry, ...sizes, ...flags, ...times })
    .execute();
  for (const id of ['app', 'empty', 'deleting']) {
    const state = id === 'deleting' ? 'deleting' : 'live';
    await db
      .insertInto('repositories')
      .values({ id, registry_id: 'g', name: id, state, revision: 0, size: 0, ...times })
      .execute();
  }
}

async function insertManifests(
  db: Kysely<Schema>,
  repositoryId: string,
  digests: string[],
  subject: string | null = null,
) {
  const nothing = { artifact_type: null, config_media_type: null, annotations: null, built_at: null };
  const texts = { media_type: '', os: '', architecture: '', leased_by: '' };
  const numbers = { pushed_at: 0, size: 1, image_size: 1, leased_until: 0 };
  const row = { repository_id: repositoryId, subject, ...nothing, ...texts, ...numbers, bytes: new Uint8Array(1) };
  const rows: Insertable<ManifestRow>[] = digests.map((digest) => ({ ...row, digest }));
  await db.insertInto('manifests').values(rows).execute();
}

async function insertTag(db: Kysely<Schema>, name: string, digest: string, belongsTo: string | null = null) {
  const row = { repository_id: 'app', name, digest, belongs_to: belongsTo, created_at: 1, updated_at: 1 };
  await db.insertInto('tags').values(row).execute();
}
