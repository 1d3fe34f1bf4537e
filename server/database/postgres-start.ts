import { Kysely, sql } from 'kysely';
import { Client, type ClientBase } from 'pg';
import { Failure } from '#core/failure.ts';
import type { Schema } from '#core/schema.ts';
import { openPostgresStart, scanConnections } from './postgres.ts';
import { connectionTo } from './postgres-pool.ts';

/** Does what comes before the first request, on one connection that has all the time it needs. */
export async function onStartConnection<T>(url: string, work: (db: Kysely<Schema>) => Promise<T>): Promise<T> {
  const db = new Kysely<Schema>({ dialect: openPostgresStart(url, (client) => requireSessions(url, client)) });
  try {
    return await work(db);
  } finally {
    await db.destroy();
  }
}

/** With `synchronous_commit = off` a crash could bring rows back whose bytes the remover has already taken. */
export async function requireFitServer(db: Kysely<Schema>): Promise<void> {
  const { rows } = await sql<{ version: string; number: number; commit: string }>`select
    current_setting('server_version') as version, cast(current_setting('server_version_num') as integer) as number,
    current_setting('synchronous_commit') as commit`.execute(db);
  const server = rows[0];
  if (!server || server.number < 150_000) {
    throw new Failure('unavailable', `The database is PostgreSQL ${server?.version}; Lading needs 15 or later.`);
  }
  if (server.commit === 'off') {
    throw new Failure(
      'unavailable',
      'The database has synchronous_commit = off, which can lose acknowledged images in a crash. Set it to on for the database or user of LADING_DATABASE_URL.',
    );
  }
}

/** What the operator should hear about the number of connections, if there is something. */
export async function adviseOnConnections(db: Kysely<Schema>, poolSize: number): Promise<string[]> {
  const { rows } = await sql<{ server: number; user: number; database: number }>`select
    cast(current_setting('max_connections') as integer) - cast(current_setting('superuser_reserved_connections') as integer) as server,
    (select rolconnlimit from pg_roles where rolname = current_user) as user,
    (select datconnlimit from pg_database where datname = current_database()) as database`.execute(db);
  const wanted = poolSize + scanConnections;
  const limits = Object.values(rows[0] ?? {}).filter((limit) => limit >= 0);
  const allowed = Math.min(...limits);
  if (wanted <= allowed) return [];
  return [
    `This replica opens up to ${wanted} connections (LADING_DATABASE_POOL_SIZE and ${scanConnections} for collections), but PostgreSQL allows this user ${allowed}. Under load, requests will be refused: raise max_connections or lower LADING_DATABASE_POOL_SIZE.`,
  ];
}

/**
 * Each connection has time limits, and those for reading can write nothing: settings of a session, which a pooler that gives
 * every transaction another server connection would hand to anyone. Such a one shows itself by process ids that are not
 * the server's; then two connections try out whether a setting stays with the one that made it.
 */
async function requireSessions(url: string, client: ClientBase): Promise<void> {
  const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
  if (rows[0]?.pid === (client as ClientBase & { processID: number }).processID) return;
  if (await keepsSessions(url).catch(() => false)) return;
  throw new Failure(
    'unavailable',
    'Between Lading and PostgreSQL is a pooler that shares connections between transactions. Let it pool sessions (pgbouncer: pool_mode = session), or name the server itself in LADING_DATABASE_URL.',
  );
}

async function keepsSessions(url: string): Promise<boolean> {
  const options = { ...connectionTo(url), connectionTimeoutMillis: 5000, query_timeout: 5000 };
  const [one, other] = [new Client(options), new Client(options)];
  for (const client of [one, other]) client.on('error', () => {});
  try {
    await one.connect();
    await other.connect();
    await one.query(`set lading.session = 'one'`);
    // Takes the connection that became free, if that is how it is.
    await other.query('begin');
    const { rows } = await one.query<{ kept: string | null }>(`select current_setting('lading.session', true) as kept`);
    return rows[0]?.kept === 'one';
  } finally {
    await Promise.allSettled([one.end(), other.end()]);
  }
}
