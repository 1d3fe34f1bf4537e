import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Kysely, sql } from 'kysely';
import type { Schema } from '#core/schema.ts';
import { makeTestDirectory } from '#test/database.ts';
import { openSqliteDialect } from './sqlite.ts';

test('what is committed reaches the database file while the program goes on, and nothing of it is lost', async (t) => {
  const file = join(makeTestDirectory(t), 'lading.db');
  const db = new Kysely<Schema>({ dialect: openSqliteDialect(file) });
  await sql`create table things (id integer primary key, text text) strict`.execute(db);
  const sizeOf = () => statSync(file).size;
  const before = sizeOf();
  let count = 0;
  const deadline = Date.now() + 20_000;
  // Far below the number of pages at which a commit would do it itself.
  while (sizeOf() === before) {
    assert.ok(Date.now() < deadline, 'nothing was moved');
    await sql`insert into things (text) values (${'x'.repeat(500)})`.execute(db);
    count++;
  }
  assert.ok(statSync(`${file}-wal`).size < 32768 * 4096, 'not the limit of commits did it');
  const { rows } = await sql<{ n: number }>`select count(*) as n from things`.execute(db);
  assert.equal(rows[0]?.n, count);
  await db.destroy();
  const again = new Kysely<Schema>({ dialect: openSqliteDialect(file) });
  t.after(() => again.destroy());
  assert.equal((await sql<{ n: number }>`select count(*) as n from things`.execute(again)).rows[0]?.n, count);
});

test('a WAL that has become long is filled from its beginning again, though somebody always writes', async (t) => {
  const file = join(makeTestDirectory(t), 'lading.db');
  const longWalPages = 500;
  const db = new Kysely<Schema>({ dialect: openSqliteDialect(file, { longWalPages }) });
  t.after(() => db.destroy());
  await sql`create table things (id integer primary key, text text) strict`.execute(db);
  const text = 'x'.repeat(100_000);
  const until = Date.now() + 30_000;
  let writtenBytes = 0;
  const writeOn = async () => {
    // Far more than it may hold, in ten times as many pieces as bring a checkpoint.
    while (writtenBytes < 200 * longWalPages * 4096 && Date.now() < until) {
      await sql`insert into things (text) values (${text})`.execute(db);
      writtenBytes += text.length;
      if (statSync(`${file}-wal`).size > writtenBytes / 2 || writtenBytes < 20 * longWalPages * 4096) continue;
      return;
    }
    assert.fail('it grew all the time');
  };
  await Promise.all([writeOn(), writeOn()]);
});
