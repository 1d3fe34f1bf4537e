import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Kysely, sql } from 'kysely';
import type { Schema } from '#core/schema.ts';
import { listTables, makeTestDatabase } from '#test/database.ts';
import { migrate, migrations } from '../migrate.ts';
import { openDatabase } from '../open-database.ts';

test('blobs and links are the same after the table was made anew, and a link still needs its blob', async (t) => {
  const { db, engine, now, close } = await openDatabase(await makeTestDatabase(t));
  t.after(close);
  for (const table of await listTables(db)) if (table !== 'schema_migrations') await drop(db, table, engine);
  await sql`delete from schema_migrations`.execute(db);
  await migrate(db, engine, now, migrations.slice(0, 8));
  await seed(db);
  const before = await readRows(db);
  assert.equal(before.links.length, 2);
  await migrate(db, engine, now, migrations.slice(0, 9));
  assert.deepEqual(await readRows(db), before);

  await db.deleteFrom('objects').where('key', '=', 'k2').execute();
  const blobs = db.deleteFrom('blobs').where('digest', '=', 'd1');
  await assert.rejects(blobs.execute(), 'a link refers to it');
  await db.deleteFrom('repository_blobs').where('digest', '=', 'd1').execute();
  await blobs.execute();
  const orphan = { repository_id: 'p', digest: 'd1', registry_id: 'g', leased_until: 0, leased_by: '' };
  await assert.rejects(db.insertInto('repository_blobs').values(orphan).execute());
});

async function drop(db: Kysely<Schema>, table: string, engine: string): Promise<void> {
  if (engine === 'sqlite') await sql`pragma foreign_keys = off`.execute(db);
  await sql.raw(`drop table "${table}" ${engine === 'postgres' ? 'cascade' : ''}`).execute(db);
  if (engine === 'sqlite') await sql`pragma foreign_keys = on`.execute(db);
}

async function seed(db: Kysely<Schema>): Promise<void> {
  await sql`insert into regions (id, slug, name) values ('r', 'r', 'r')`.execute(db);
  await sql`insert into teams (id, name, slug, created_at) values ('t', 't', 't', 1)`.execute(db);
  await sql`insert into registries (id, team_id, region_id, name, state, is_public, is_managed, size, reserved, size_limit,
    created_at, updated_at) values ('g', 't', 'r', 'g', 'active', 0, 0, 3, 0, 100, 1, 1)`.execute(db);
  await sql`insert into repositories (id, registry_id, name, state, revision, size, created_at, updated_at)
    values ('p', 'g', 'p', 'live', 0, 3, 1, 1)`.execute(db);
  for (const [n, key] of ['k1', 'k2'].entries()) {
    const digest = `d${n + 1}`;
    await sql`insert into objects (key, state, size, refs, attempts) values (${key}, 'stored', ${n + 1}, 1, 0)`.execute(
      db,
    );
    await sql`insert into blobs (registry_id, digest, object_key, size, links, lost)
      values ('g', ${digest}, ${key}, ${n + 1}, 1, ${n})`.execute(db);
    await sql`insert into repository_blobs (repository_id, digest, registry_id, leased_until, leased_by)
      values ('p', ${digest}, 'g', ${n + 5}, ${`holder ${n}`})`.execute(db);
  }
}

const readRows = async (db: Kysely<Schema>) => ({
  blobs: await db.selectFrom('blobs').selectAll().orderBy('digest').execute(),
  links: await db.selectFrom('repository_blobs').selectAll().orderBy('digest').execute(),
});
