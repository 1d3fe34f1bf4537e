import assert from 'node:assert/strict';
import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { Kysely, sql } from 'kysely';
import type { Schema } from '#core/schema.ts';
import { makeTestDirectory, type Scope } from '#test/database.ts';
import { newGroupSync } from './group-sync.ts';
import { migrate } from './migrate.ts';
import { openDatabase } from './open-database.ts';
import { openSqliteDialect } from './sqlite.ts';
import { newWalSync } from './wal-sync.ts';

/** `disk` stands for the disk under the WAL, where a test wants to say when a sync ends and how. */
async function open(t: Scope, disk?: { sync: () => Promise<void> }) {
  const file = join(makeTestDirectory(t), 'lading.db');
  const openWalSync = disk && (() => ({ ...newGroupSync(() => disk.sync()), close: async () => {} }));
  const dialect = openSqliteDialect(file, { busyTimeoutMs: 20, ...(openWalSync && { openWalSync }) });
  const db = new Kysely<Schema>({ dialect });
  t.after(() => db.destroy());
  await migrate(db, 'sqlite', Date.now);
  return { db, file };
}

const insertRegion = (db: Kysely<Schema>, id: string, name = id) =>
  db.insertInto('regions').values({ id, slug: id, name }).execute();

test('commits go to a WAL, and checkpoints are synced', async (t) => {
  const { db } = await open(t);
  // Raw statements that are no select go to the writing connection; 1 is normal.
  assert.deepEqual({ ...(await sql<object>`pragma synchronous`.execute(db)).rows[0] }, { synchronous: 1 });
  assert.deepEqual({ ...(await sql<object>`pragma journal_mode`.execute(db)).rows[0] }, { journal_mode: 'wal' });
});

test('nothing is acknowledged before the WAL is synced, and all other work goes on meanwhile', async (t) => {
  const disk = { sync: async () => {} };
  const { db } = await open(t, disk);
  const writes = [
    () => insertRegion(db, 'a'),
    () => db.transaction().execute((db) => insertRegion(db, 'b')),
    () => db.deleteFrom('regions').where('id', '=', 'a').execute(),
  ];
  for (const write of writes) {
    const { promise, resolve: letGo } = Promise.withResolvers<void>();
    disk.sync = () => promise;
    let isAcknowledged = false;
    const acknowledged = write().then(() => {
      isAcknowledged = true;
    });
    await db.selectFrom('regions').select('id').execute();
    for (let n = 0; n < 5; n++) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(isAcknowledged, false);
    letGo();
    await acknowledged;
  }
});

test('what a transaction has read is durable when it ends', async (t) => {
  const disk = { sync: async () => {} };
  const { db } = await open(t, disk);
  const { promise, resolve: letGo } = Promise.withResolvers<void>();
  disk.sync = () => promise;
  const written = insertRegion(db, 'a');
  let hasEnded = false;
  const read = db
    .transaction()
    .execute((db) => db.selectFrom('regions').select('id').execute())
    .then((rows) => {
      hasEnded = true;
      return rows;
    });
  for (let n = 0; n < 5; n++) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(hasEnded, false);
  letGo();
  await written;
  assert.equal((await read).length, 1);
});

test('a commit that did not reach the disk is an error, and so is every later one', async (t) => {
  const disk = { sync: async () => {} };
  const { db } = await open(t, disk);
  disk.sync = () => Promise.reject(new Error('the disk is gone'));
  const isRefused = { message: 'the disk is gone' };
  await assert.rejects(
    db.transaction().execute((db) => insertRegion(db, 'a')),
    isRefused,
  );
  disk.sync = async () => {};
  await assert.rejects(insertRegion(db, 'b'), isRefused);
  await assert.rejects(
    db.transaction().execute(() => Promise.resolve()),
    isRefused,
  );
});

test('the file that is synced is the WAL of the database', async (t) => {
  const { db, file } = await open(t);
  const wal = newWalSync(file);
  t.after(() => wal.close());
  wal.wrote();
  await wal.settle();
  const elsewhere = newWalSync(join(makeTestDirectory(t), 'nowhere.db'));
  elsewhere.wrote();
  await assert.rejects(elsewhere.settle() ?? assert.fail(), { reason: 'unavailable', message: /Check the disk/ });
  await insertRegion(db, 'a');
});

test('a transaction that cannot begin is refused as busy and holds up nobody', async (t) => {
  const { db, file } = await open(t);
  const other = new DatabaseSync(file);
  t.after(() => other.close());
  other.exec('begin immediate');
  const busy = { reason: 'unavailable', code: 'SQLITE_BUSY' };
  await assert.rejects(
    db.transaction().execute((db) => insertRegion(db, 'a')),
    busy,
  );
  await assert.rejects(insertRegion(db, 'a'), busy);
  assert.deepEqual(await db.selectFrom('regions').select('id').execute(), [], 'reads go on');
  other.exec('rollback');
  await db.transaction().execute((db) => insertRegion(db, 'a'));
  assert.equal((await db.selectFrom('regions').select('id').execute()).length, 1);
});

test('a transaction that cannot commit is rolled back and holds up nobody', async (t) => {
  const { db } = await open(t);
  const refused = db.transaction().execute(async (db) => {
    await sql`pragma defer_foreign_keys = on`.execute(db);
    await db
      .insertInto('projects')
      .values({ id: 'p', team_id: 'nowhere', name: 'p', slug: 'p', created_at: 0 })
      .execute();
  });
  await assert.rejects(refused, { code: 'SQLITE_CONSTRAINT_FOREIGNKEY' });
  assert.deepEqual(await db.selectFrom('projects').select('id').execute(), []);
  await db.transaction().execute((db) => insertRegion(db, 'a'));
});

test('after SQLite itself has rolled back nothing more is written for that transaction', async (t) => {
  const { db } = await open(t);
  await insertRegion(db, 'a');
  const refused = db.transaction().execute(async (db) => {
    await insertRegion(db, 'b');
    // What SQLite may do by itself on a full disk, asked for.
    await sql`insert or rollback into regions (id, slug, name) values ('a', 'a', 'a')`.execute(db).catch(() => {});
    await insertRegion(db, 'c');
  });
  await assert.rejects(refused, /has ended/);
  const rows = await db.selectFrom('regions').select('id').execute();
  assert.deepEqual(
    rows.map(({ id }) => id),
    ['a'],
  );
});

test('a full disk is refused as unavailable, and all goes on when there is space again', async (t) => {
  const { db } = await open(t);
  const large = 'x'.repeat(1024 * 1024);
  const { rows } = await sql<{ page_count: number }>`pragma page_count`.execute(db);
  await sql`pragma max_page_count = ${sql.lit((rows[0]?.page_count ?? 0) + 10)}`.execute(db);
  const full = { reason: 'unavailable', code: 'SQLITE_FULL', message: /disk that holds the database is full/ };
  await assert.rejects(insertRegion(db, 'a', large), full);
  await assert.rejects(
    db.transaction().execute((db) => insertRegion(db, 'a', large)),
    full,
  );
  await sql`pragma max_page_count = 1000000`.execute(db);
  await db.transaction().execute((db) => insertRegion(db, 'a', large));
  assert.equal((await db.selectFrom('regions').select('id').execute()).length, 1);
});

test('a unique name taken is told apart by its code', async (t) => {
  const { db } = await open(t);
  await insertRegion(db, 'a');
  const again = db.insertInto('regions').values({ id: 'b', slug: 'a', name: 'a' }).execute();
  await assert.rejects(again, { code: 'SQLITE_CONSTRAINT_UNIQUE' });
});

test('writes waiting for a transaction run in the order in which they came', async (t) => {
  const { db } = await open(t);
  const transaction = db.transaction().execute(async (db) => {
    await new Promise((resolve) => setImmediate(resolve));
    await insertRegion(db, 'first');
  });
  await new Promise((resolve) => process.nextTick(resolve));
  const rest = ['a', 'b', 'c', 'd'].map(async (id, n) => {
    if (n % 2) await db.transaction().execute((db) => insertRegion(db, id));
    else await insertRegion(db, id);
  });
  await Promise.all([transaction, ...rest]);
  const { rows } = await sql<{ id: string }>`select id from regions order by rowid`.execute(db);
  assert.deepEqual(
    rows.map(({ id }) => id),
    ['first', 'a', 'b', 'c', 'd'],
  );
});

test('the database is readable by its owner only', async (t) => {
  const dataDir = join(makeTestDirectory(t), 'data');
  const { close } = await openDatabase({ dataDir });
  t.after(close);
  assert.equal(statSync(dataDir).mode & 0o777, 0o700);
  for (const name of ['lading.db', 'lading.db-wal']) assert.equal(statSync(join(dataDir, name)).mode & 0o777, 0o600);
});

test('a file that is no database, and a directory that is a file, are refused in one sentence', async (t) => {
  const dataDir = makeTestDirectory(t);
  writeFileSync(join(dataDir, 'lading.db'), 'this was never a database, whoever put it here'.repeat(100));
  await assert.rejects(openDatabase({ dataDir }), {
    reason: 'unavailable',
    message: /^The database .*lading\.db cannot be opened: file is not a database\.$/,
  });
  await assert.rejects(openDatabase({ dataDir: join(dataDir, 'lading.db') }), {
    reason: 'unavailable',
    message: /^The database .* cannot be opened: .*(?:EEXIST|ENOTDIR)/,
  });
});

// Without this test deleting one image reads all tags of its repository, and deleting a hundred thousand never ends.
test('the tags of a deleted manifest are found by its digest, however many the repository has', async (t) => {
  const { db, file } = await open(t);
  const plan = 'explain query plan delete from manifests where repository_id = ? and digest = ?';
  const expected = /SEARCH tags USING INDEX tags_by_digest \(repository_id=\? AND digest=\?\)/;
  const { rows } = await sql<{ detail: string }>`${sql.raw(plan.replaceAll('?', "''"))}`.execute(db);
  assert.match(rows.map((row) => row.detail).join(), expected);
  const later = new DatabaseSync(file);
  t.after(() => later.close());
  const found = later.prepare(plan).all('', '') as { detail: string }[];
  assert.match(found.map((row) => row.detail).join(), expected);
});
