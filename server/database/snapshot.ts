import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync, type SQLInputValue } from 'node:sqlite';
import {
  type CompiledQuery,
  type Dialect,
  Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
  sql,
} from 'kysely';
import pg from 'pg';
import { Failure } from '#core/failure.ts';
import type { Schema } from '#core/schema.ts';
import type { Engine } from './engine.ts';
import { translatePostgresError } from './postgres-errors.ts';
import { connectionTo } from './postgres-pool.ts';
import { newSelectDriver } from './select-driver.ts';
import { translateSqliteError } from './sqlite-errors.ts';

/** One long read transaction on a connection of its own, beside servers at work: every question is about one moment. */
export type Snapshot = { db: Kysely<Schema>; engine: Engine; close(): Promise<void> };

const refusal = 'A snapshot is one transaction already.';

/** `urlName`: what an operator has named the URL with. */
export type SnapshotOptions = { url?: string | undefined; dataDir: string; urlName?: string | undefined };

/** Changes nothing, not even the schema. Undefined: there is no such SQLite file. Throws `unavailable`. */
export async function openSnapshot({ url, dataDir, urlName }: SnapshotOptions): Promise<Snapshot | undefined> {
  if (url !== undefined) return openPostgresSnapshot(url, urlName);
  const file = join(dataDir, 'lading.db');
  return existsSync(file) ? openSqliteSnapshot(file) : undefined;
}

function openSqliteSnapshot(file: string): Snapshot {
  const database = openReadOnly(file);
  const ask = async (query: CompiledQuery) => {
    try {
      return database.prepare(query.sql).all(...(query.parameters as SQLInputValue[]));
    } catch (error) {
      throw translateSqliteError(error);
    }
  };
  const dialect: Dialect = {
    createAdapter: () => new SqliteAdapter(),
    createDriver: () => newSelectDriver(ask, { refusal }),
    createIntrospector: (db) => new SqliteIntrospector(db),
    createQueryCompiler: () => new SqliteQueryCompiler(),
  };
  return snapshotOf(dialect, 'sqlite', async () => database.close());
}

function openReadOnly(file: string): DatabaseSync {
  try {
    const database = new DatabaseSync(file, { readOnly: true, timeout: 5000 });
    database.exec('pragma cache_size = -32768');
    database.exec('begin');
    // What is read first decides which moment is seen.
    database.prepare('select count(*) from sqlite_schema').get();
    return database;
  } catch (error) {
    throw new Failure('unavailable', `The database ${file} cannot be read: ${(error as Error).message}.`);
  }
}

async function openPostgresSnapshot(url: string, urlName: string | undefined): Promise<Snapshot> {
  const client = await connectPostgres(url, urlName);
  await client.query('begin isolation level repeatable read read only; select 1');
  const ask = async (query: CompiledQuery) => {
    try {
      return (await client.query(query.sql, [...query.parameters])).rows;
    } catch (error) {
      throw translatePostgresError(error);
    }
  };
  const dialect: Dialect = {
    createAdapter: () => new PostgresAdapter(),
    createDriver: () => newSelectDriver(ask, { refusal }),
    createIntrospector: (db) => new PostgresIntrospector(db),
    createQueryCompiler: () => new PostgresQueryCompiler(),
  };
  return snapshotOf(dialect, 'postgres', () => client.end());
}

/** A connection that nothing ends for being slow. Throws `unavailable`. */
export async function connectPostgres(url: string, urlName = 'LADING_DATABASE_URL'): Promise<pg.Client> {
  const client = new pg.Client({
    ...connectionTo(url),
    connectionTimeoutMillis: 10_000,
    application_name: 'lading copy',
  });
  // Without a listener a server that goes away would end the process; the next question says it.
  client.on('error', () => {});
  try {
    await client.connect();
    await client.query(
      `set statement_timeout = 0; set idle_in_transaction_session_timeout = 0; set lock_timeout = '5s'`,
    );
    return client;
  } catch (error) {
    await client.end().catch(() => {});
    const { message, code } = error as Error & { code?: string };
    throw new Failure('unavailable', `The database of ${urlName} cannot be reached: ${message || code}.`);
  }
}

function snapshotOf(dialect: Dialect, engine: Engine, end: () => Promise<void>): Snapshot {
  const db = new Kysely<Schema>({ dialect });
  const close = async () => {
    await db.destroy();
    await end();
  };
  return { db, engine, close };
}

/** The schema version of a database; undefined where Lading has never been. */
export async function findSchemaVersion(snapshot: Snapshot): Promise<number | undefined> {
  if ((await findTable(snapshot, ['schema_migrations'])) === undefined) return undefined;
  const { rows } = await sql<{ n: number | null }>`select max(number) as n from schema_migrations`.execute(snapshot.db);
  return rows[0]?.n ?? 0;
}

/** The first of these that is there. */
export async function findTable({ db, engine }: Snapshot, names: readonly string[]): Promise<string | undefined> {
  const all =
    engine === 'sqlite'
      ? sql`select name from sqlite_schema where type = 'table'`
      : sql`select tablename as name from pg_tables where schemaname = current_schema()`;
  const { rows } = await sql<{ name: string }>`select name from (${all}) as t where name in (${sql.join(names)})
    order by name limit 1`.execute(db);
  return rows[0]?.name;
}
