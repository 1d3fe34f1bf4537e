import { closeSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { Kysely } from 'kysely';
import { Failure } from '#core/failure.ts';
import type { Meter } from '#core/readings.ts';
import type { Schema } from '#core/schema.ts';
import { newDatabaseClock } from './database-clock.ts';
import type { Engine } from './engine.ts';
import { migrate } from './migrate.ts';
import { newPoolMeter } from './pool-meter.ts';
import { openPostgresDialect, openPostgresScans } from './postgres.ts';
import { adviseOnConnections, onStartConnection, requireFitServer } from './postgres-start.ts';
import { openSqliteDialect } from './sqlite.ts';
import { openSqliteScans } from './sqlite-scans.ts';

export type Database = {
  db: Kysely<Schema>;
  /** `Platform.scans`. */
  scans: Kysely<Schema>;
  engine: Engine;
  /** Milliseconds UTC, alike on all replicas: leases and claims of one are read by the others. */
  now: () => number;
  /** Throws `unavailable` if the database cannot be read now (readiness). */
  check(): Promise<void>;
  /** How busy the connections are. */
  meter: Meter;
  close(): Promise<void>;
  /** For the log: what works, but not as it should. */
  warnings: readonly string[];
};

export type DatabaseOptions = {
  /** `postgres://…`; without it SQLite in the data directory. */
  url?: string | undefined;
  dataDir: string;
  /** Connections to Postgres, besides the few for scans. */
  poolSize?: number;
  /** What an operator has named the URL with. */
  urlName?: string | undefined;
};

/** Opens the database and brings it to this program's schema. Throws `unavailable` with one sentence if that cannot be. */
export async function openDatabase(options: DatabaseOptions): Promise<Database> {
  const { url, dataDir, poolSize = 20, urlName = 'LADING_DATABASE_URL' } = options;
  return url === undefined ? openSqlite(dataDir) : openPostgres(url, poolSize, urlName);
}

async function openSqlite(dataDir: string): Promise<Database> {
  const file = join(dataDir, 'lading.db');
  return explain(`The database ${file} cannot be opened`, async () => {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    // Made here for its mode: it holds what secrets are compared with. SQLite gives its other files the same.
    closeSync(openSync(file, 'a', 0o600));
    const db = new Kysely<Schema>({ dialect: openSqliteDialect(file) });
    await closeOnFailure(db, () => migrate(db, 'sqlite', Date.now));
    const scans = new Kysely<Schema>({ dialect: openSqliteScans(file) });
    const close = async () => {
      await scans.destroy();
      await db.destroy();
    };
    return {
      db,
      scans,
      engine: 'sqlite',
      now: Date.now,
      check: () => askWriter(db),
      meter: () => [],
      close,
      warnings: [],
    };
  });
}

async function openPostgres(url: string, poolSize: number, urlName: string): Promise<Database> {
  return explain(`The database of ${urlName} cannot be used`, async () => {
    const warnings = await onStartConnection(url, async (db) => {
      await requireFitServer(db);
      const clock = newDatabaseClock(db);
      await clock.measure();
      await migrate(db, 'postgres', clock.now);
      return adviseOnConnections(db, poolSize);
    });
    const { meter, onPools } = newPoolMeter();
    const db = new Kysely<Schema>({ dialect: openPostgresDialect({ url, poolSize, onPools }) });
    const clock = newDatabaseClock(db);
    await closeOnFailure(db, () => clock.measure());
    clock.start();
    const scans = new Kysely<Schema>({ dialect: openPostgresScans(url) });
    const close = async () => {
      clock.stop();
      await scans.destroy();
      await db.destroy();
    };
    return { db, scans, engine: 'postgres', now: clock.now, check: () => ask(db), meter, close, warnings };
  });
}

/** What fails here is for the operator to mend: wrong password, file not readable, no such host. */
async function explain<T>(sentence: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const { cause, code, message } = error as Error & { code?: string };
    // A Failure without a cause is a sentence already; with one it is the answer to a request, too vague for a start.
    if (error instanceof Failure && cause === undefined) throw error;
    const reason = cause instanceof Error ? cause.message || (cause as { code?: string }).code : message || code;
    throw Object.assign(new Failure('unavailable', `${sentence}: ${reason}.`), { cause: error });
  }
}

async function closeOnFailure(db: Kysely<Schema>, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    await db.destroy();
    throw error;
  }
}

/** A transaction, because its end also says whether commits still reach the disk. */
async function askWriter(db: Kysely<Schema>): Promise<void> {
  await db.transaction().execute(ask);
}

async function ask(db: Kysely<Schema>): Promise<void> {
  await db.selectFrom('regions').select('id').limit(1).execute();
}
