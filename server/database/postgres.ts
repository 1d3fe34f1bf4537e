import {
  type Dialect,
  PostgresDialect,
  type PostgresPool,
  type PostgresPoolClient,
  type PostgresQueryResult,
} from 'kysely';
import { type ClientBase, Pool, type PoolClient, type PoolConfig, types } from 'pg';
import { translatePostgresError } from './postgres-errors.ts';

export type PostgresOptions = {
  url: string;
  /** Connections at most. */
  poolSize?: number;
  /** How long a request waits for a connection. */
  acquireTimeoutMs?: number;
};

// A lock that is not free after 5 s is answered 503; a program that hangs in a transaction must not stop the others.
const sessionSettings = [
  `set default_transaction_isolation = 'read committed'`,
  `set lock_timeout = '5s'`,
  `set statement_timeout = '30s'`,
  `set idle_in_transaction_session_timeout = '15s'`,
].join(';');

// Sizes and milliseconds fit into a double; `pg` hands int8 and numeric out as strings to be safe for all programs.
const asNumber = new Set<number>([types.builtins.INT8, types.builtins.NUMERIC]);
const typeParsers: PoolConfig['types'] = {
  getTypeParser: ((oid: number, format: 'text' | 'binary') =>
    asNumber.has(oid) ? Number : types.getTypeParser(oid, format)) as typeof types.getTypeParser,
};

/** Kysely's dialect on a pool whose errors are ours: a database that is gone is `unavailable`, and never ends the process. */
export function openPostgresDialect({ url, poolSize = 20, acquireTimeoutMs = 10_000 }: PostgresOptions): Dialect {
  const pool = new Pool({
    connectionString: url,
    max: poolSize,
    connectionTimeoutMillis: acquireTimeoutMs,
    idleTimeoutMillis: 60_000,
    keepAlive: true,
    application_name: 'lading',
    types: typeParsers,
    onConnect: prepareSession,
  });
  // Connections die when the server restarts. Without listeners the event would end the process; the next query says it.
  pool.on('error', () => {});
  pool.on('connect', (client) => client.on('error', () => {}));
  return new PostgresDialect({ pool: translatingPool(pool) });
}

async function prepareSession(client: ClientBase): Promise<void> {
  await client.query(sessionSettings);
}

function translatingPool(pool: Pool): PostgresPool {
  const wrapped = new WeakMap<PoolClient, PostgresPoolClient>();
  return {
    async connect() {
      const client = await pool.connect().catch(rethrow);
      let known = wrapped.get(client);
      if (!known) {
        known = translatingClient(client);
        wrapped.set(client, known);
      }
      return known;
    },
    end: () => pool.end(),
  } as PostgresPool;
}

/** The pool itself drops a connection that died; this only says what happened. */
function translatingClient(client: PoolClient): PostgresPoolClient {
  return {
    query: <R>(text: string, parameters: readonly unknown[]) =>
      client.query(text, parameters as unknown[]).catch(rethrow) as Promise<PostgresQueryResult<R>>,
    release: () => client.release(),
  } as PostgresPoolClient;
}

function rethrow(error: unknown): never {
  throw translatePostgresError(error);
}
