import { randomBytes } from 'node:crypto';
import { accessSync, constants, mkdtempSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { type Kysely, sql } from 'kysely';
import pg from 'pg';
import type { Schema } from '#core/schema.ts';
import { type Database, openDatabase } from '#database/open-database.ts';

/** A test, or anything else that tells when it is over. */
export type Scope = { after(work: () => unknown): void };

/** The server of `npm run test:all`; without it tests run on SQLite. */
export const testDatabaseUrl = process.env.LADING_TEST_DATABASE_URL;

/** Where waiting for the disk costs nothing, if there is such a place with room: most tests are not about the disk. */
export const memoryDirectory = findMemoryDirectory();

function findMemoryDirectory(): string {
  const [path, bytesMin] = ['/dev/shm', 1024 ** 3];
  try {
    const { bavail, bsize } = statfsSync(path);
    accessSync(path, constants.W_OK);
    return bavail * bsize >= bytesMin ? path : tmpdir();
  } catch {
    return tmpdir();
  }
}

/** A directory that ends with its test. */
export function makeTestDirectory(t: Scope, parent: string = tmpdir()): string {
  const directory = mkdtempSync(join(parent, 'lading-test-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** An empty database of the engine under test. A second one opened with the same options is a second replica's. */
export async function makeTestDatabase(t: Scope): Promise<{ url?: string; dataDir: string }> {
  const dataDir = makeTestDirectory(t, memoryDirectory);
  if (testDatabaseUrl === undefined) return { dataDir };
  return { dataDir, url: await makeTestSchema(t, testDatabaseUrl) };
}

/**
 * Opened, with all tables and no rows; closed when the test ends. What is registered first with `after` runs first:
 * whoever must end before the database registers its own end before opening one.
 */
export async function openTestDatabase(t: Scope): Promise<Database> {
  let database: Database | undefined;
  const url = testDatabaseUrl && (emptySchemas.pop() ?? (await makeTestSchema(fileScope, testDatabaseUrl)));
  t.after(async () => {
    await database?.close();
    if (url) await emptySchema(url);
  });
  const dataDir = url ? '' : makeTestDirectory(t, memoryDirectory);
  if (!url) {
    sqliteTemplate ??= await makeSqliteTemplate();
    writeFileSync(join(dataDir, 'lading.db'), sqliteTemplate, { mode: 0o600 });
  }
  database = await openDatabase({ url, dataDir, poolSize: 10 });
  if (url) columnsMade ??= (await runOnServer(url, listColumns))[0]?.rows[0].columns;
  return database;
}

let sqliteTemplate: Buffer | undefined;

/** The file with all tables and no rows: copying it takes a tenth of the time of making the tables. */
async function makeSqliteTemplate(): Promise<Buffer> {
  const dataDir = mkdtempSync(join(memoryDirectory, 'lading-test-'));
  try {
    await (await openDatabase({ dataDir })).close();
    return readFileSync(join(dataDir, 'lading.db'));
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
}

/** Making the tables takes Postgres as long as most tests, so the tests of a file hand them on. */
const emptySchemas: string[] = [];
const endings: (() => unknown)[] = [];
const fileScope: Scope = { after: (work) => endings.push(work) };
// Out here it is the end of the file; called in a test, it would be that test's end.
if (testDatabaseUrl !== undefined) after(async () => void (await Promise.all(endings.map((work) => work()))));

/** What every schema of this process looked like when its tables had just been made. */
let columnsMade: string | undefined;

const listColumns = `select string_agg(concat_ws(' ', table_name, column_name, data_type), ',' order by table_name,
  column_name) as columns from information_schema.columns where table_schema = current_schema`;

async function emptySchema(url: string): Promise<void> {
  const statement = `do $$ declare name text; begin
    set local session_replication_role = replica;
    for name in select tablename from pg_tables
      where schemaname = current_schema and tablename <> 'schema_migrations'
    loop execute format('delete from %I', name); end loop;
  end $$; ${listColumns}`;
  const [, columns] = await runOnServer(url, statement);
  // One in which a test has renamed a table, or that it has migrated further, is no other test's.
  if (columns?.rows[0].columns === columnsMade) emptySchemas.push(url);
}

/** A schema of its own is a database of its own to everything that does not look for others. */
export async function makeTestSchema(t: Scope, serverUrl: string): Promise<string> {
  const schema = `test_${randomBytes(8).toString('hex')}`;
  await runOnServer(serverUrl, `create schema ${schema}`);
  t.after(() => runOnServer(serverUrl, `drop schema ${schema} cascade`));
  const url = new URL(serverUrl);
  url.searchParams.set('options', `-c search_path=${schema}`);
  return url.href;
}

/** One statement or several; a result of each. */
export async function runOnServer(serverUrl: string, statement: string): Promise<pg.QueryResult[]> {
  const client = new pg.Client({ connectionString: serverUrl });
  await client.connect();
  try {
    const results: pg.QueryResult | pg.QueryResult[] = await client.query(statement);
    return [results].flat();
  } finally {
    await client.end();
  }
}

/** The tables of a test's own database: on Postgres those of other tests come and go in schemas beside it. */
export async function listTables(db: Kysely<Schema>): Promise<string[]> {
  const tables =
    testDatabaseUrl === undefined
      ? sql<{ name: string }>`select name from sqlite_schema where type = 'table'`
      : sql<{ name: string }>`select tablename as name from pg_tables where schemaname = current_schema()`;
  return (await tables.execute(db)).rows.map(({ name }) => name);
}
