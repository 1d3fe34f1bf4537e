import { type Kysely, sql, type Transaction } from 'kysely';
import { Failure } from '#core/failure.ts';
import type { Schema } from '#core/schema.ts';
import type { Engine } from './engine.ts';
import { first } from './migrations/0001-first.ts';
import { counters } from './migrations/0002-counters.ts';
import { clusters } from './migrations/0003-clusters.ts';
import { objectIndexes } from './migrations/0004-object-indexes.ts';
import { tagStatistics } from './migrations/0005-tag-statistics.ts';
import { repositoryStatistics } from './migrations/0006-repository-statistics.ts';
import { connections } from './migrations/0007-connections.ts';
import { requestWindows } from './migrations/0008-request-windows.ts';
import { blobsByObject } from './migrations/0009-blobs-by-object.ts';
import { installation } from './migrations/0010-installation.ts';
import { uploadsByStart } from './migrations/0011-uploads-by-start.ts';

/** One step of the schema. Forward only, and never edited once released. */
export type Migration = { number: number; name: string; statements: (words: Words, engine: Engine) => string[] };

/** What the two engines spell differently. */
export type Words = {
  /** Text that compares byte by byte. */
  text: string;
  bigint: string;
  bytes: string;
  /** Ends a table of ordinary rows; of small rows that are updated all the time; of narrow rows found by their key. */
  table: string;
  hot: string;
  keyed: string;
};

const words: Readonly<Record<Engine, Words>> = {
  sqlite: {
    text: 'text',
    bigint: 'integer',
    bytes: 'blob',
    table: 'strict',
    hot: 'strict',
    keyed: 'strict, without rowid',
  },
  // The locale of the cluster must not decide how names sort: pages would differ from one installation to the next.
  postgres: {
    text: 'text collate "C"',
    bigint: 'bigint',
    bytes: 'bytea',
    table: '',
    hot: 'with (fillfactor = 50)',
    keyed: '',
  },
};

export const migrations: readonly Migration[] = [
  first,
  counters,
  clusters,
  objectIndexes,
  tagStatistics,
  repositoryStatistics,
  connections,
  requestWindows,
  blobsByObject,
  installation,
  uploadsByStart,
];

/**
 * Brings the database to this program's schema, all steps in one transaction. Two processes that start together take
 * turns: SQLite's transaction is exclusive, on Postgres an advisory lock stands before the first look.
 */
export async function migrate(
  db: Kysely<Schema>,
  engine: Engine,
  now: () => number,
  steps: readonly Migration[] = migrations,
): Promise<void> {
  await db.transaction().execute(async (db) => {
    if (engine === 'postgres') await lockMigrations(db);
    const done = await findVersion(db);
    const latest = steps.at(-1)?.number ?? 0;
    if (done > latest) throw tooNew(done, latest);
    for (const step of steps.filter(({ number }) => number > done)) {
      for (const statement of step.statements(words[engine], engine)) await sql.raw(statement).execute(db);
      await sql`insert into schema_migrations (number, name, applied_at)
        values (${step.number}, ${step.name}, ${now()})`.execute(db);
    }
  });
}

/** The session's own time limits are for requests; a migration, or waiting for another's, may take minutes. */
async function lockMigrations(db: Transaction<Schema>): Promise<void> {
  await sql`set local lock_timeout = 0`.execute(db);
  await sql`set local statement_timeout = 0`.execute(db);
  await sql`set local idle_in_transaction_session_timeout = 0`.execute(db);
  await sql`select pg_advisory_xact_lock(hashtext('lading migrations'))`.execute(db);
}

async function findVersion(db: Transaction<Schema>): Promise<number> {
  await sql`create table if not exists schema_migrations (
    number integer primary key, name text not null, applied_at bigint not null
  )`.execute(db);
  const { rows } = await sql<{ number: number | null }>`select max(number) as number from schema_migrations`.execute(
    db,
  );
  return rows[0]?.number ?? 0;
}

function tooNew(found: number, latest: number): Failure {
  return new Failure(
    'unavailable',
    `The database has schema version ${found}, made by a newer release of Lading; this release knows versions up to ${latest}. Start the newer release, or restore a backup made before the upgrade.`,
  );
}
