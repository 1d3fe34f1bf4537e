import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { Kysely, sql } from 'kysely';
import type { Schema } from '#core/schema.ts';
import { makeTestDirectory, type Scope } from '#test/database.ts';
import { openSqliteDialect } from './sqlite.ts';
import { openSqliteScans } from './sqlite-scans.ts';

async function open(t: Scope) {
  const file = join(makeTestDirectory(t), 'lading.db');
  const db = new Kysely<Schema>({ dialect: openSqliteDialect(file) });
  const scans = new Kysely<Schema>({ dialect: openSqliteScans(file) });
  t.after(() => db.destroy());
  t.after(() => scans.destroy());
  await sql`create table things (id integer primary key, name text) strict`.execute(db);
  return { file, db, scans };
}

const names = async (db: Kysely<Schema>) => {
  const { rows } = await sql<{ name: string }>`select name from things order by id`.execute(db);
  return rows.map(({ name }) => name);
};

test('a scan sees what was committed, and nothing of a transaction that goes on', async (t) => {
  const { db, scans } = await open(t);
  await sql`insert into things (name) values ('one')`.execute(db);
  assert.deepEqual(await names(scans), ['one']);
  await db.transaction().execute(async (transaction) => {
    await sql`insert into things (name) values ('two')`.execute(transaction);
    assert.deepEqual(await names(scans), ['one']);
  });
  assert.deepEqual(await names(scans), ['one', 'two']);
});

test('while a scan runs the program goes on, and questions asked together are all answered', async (t) => {
  const { scans } = await open(t);
  const count = sql<{ n: number }>`with recursive c(n) as (select 1 union all select n + 1 from c where n < 3000000)
    select max(n) as n from c`.execute(scans);
  let turns = 0;
  let isAnswered = false;
  const turn = () => {
    turns++;
    if (!isAnswered) setImmediate(turn);
  };
  setImmediate(turn);
  const [{ rows }, none] = await Promise.all([count, names(scans)]);
  isAnswered = true;
  assert.deepEqual(rows, [{ n: 3_000_000 }]);
  assert.deepEqual(none, []);
  assert.ok(turns > 10, `${turns} turns of the event loop`);
});

test('a scan that fails says why, and the next one works', async (t) => {
  const { scans } = await open(t);
  await assert.rejects(sql`select name from nowhere`.execute(scans), /no such table: nowhere/);
  await assert.rejects(
    sql`with a(b) as (select 1) insert into things (name) select b from a`.execute(scans),
    /readonly/,
  );
  assert.deepEqual(await names(scans), []);
});

test('an idle scan thread does not keep the process from ending', async (t) => {
  const { file } = await open(t);
  const program = `
    import { Kysely, sql } from 'kysely';
    import { openSqliteScans } from ${JSON.stringify(new URL('./sqlite-scans.ts', import.meta.url).href)};
    const scans = new Kysely({ dialect: openSqliteScans(${JSON.stringify(file)}) });
    console.log(JSON.stringify((await sql\`select 1 as one\`.execute(scans)).rows));`;
  const answer = execFileSync(process.execPath, ['--input-type=module', '--eval', program], {
    encoding: 'utf8',
    cwd: import.meta.dirname,
    timeout: 20_000,
  });
  assert.equal(answer.trim(), '[{"one":1}]');
});
