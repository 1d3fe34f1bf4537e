import {
  type CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  type QueryResult,
  type TransactionSettings,
} from 'kysely';
import { type ClientBase, Pool, type PoolClient, type PoolConfig, types } from 'pg';
import { translatePostgresError } from './postgres-errors.ts';
import { isSelect, refuseStreaming } from './statements.ts';

export type PostgresOptions = {
  url: string;
  /** Connections at most: a quarter for selects outside transactions, the rest for transactions and single writes. */
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
];
const readerSettings = [...sessionSettings, 'set default_transaction_read_only = on'];

// Sizes and milliseconds fit into a double; `pg` hands int8 and numeric out as strings to be safe for all programs.
const asNumber = new Set<number>([types.builtins.INT8, types.builtins.NUMERIC]);
const typeParsers: PoolConfig['types'] = {
  getTypeParser: ((oid: number, format: 'text' | 'binary') =>
    asNumber.has(oid) ? Number : types.getTypeParser(oid, format)) as typeof types.getTypeParser,
};

/**
 * Kysely on two pools. A burst of pushes to one registry may hold every connection that writes, all waiting for that
 * registry's row; pulls and sign-ins of everyone else read through connections of their own meanwhile.
 * As on SQLite, a connection is chosen by what is done with it: there is no session to keep state in but a transaction.
 * Errors are ours: a database that is gone is `unavailable`, and never ends the process.
 */
export function openPostgresDialect({ url, poolSize = 20, acquireTimeoutMs = 10_000 }: PostgresOptions): Dialect {
  const readersMax = Math.max(1, Math.floor(poolSize / 4));
  const openPool = (max: number, settings: readonly string[]) => newPool(url, { max, acquireTimeoutMs, settings });
  return dialectOf(() => ({
    writers: openPool(Math.max(1, poolSize - readersMax), sessionSettings),
    readers: openPool(readersMax, readerSettings),
  }));
}

/** For selects that read much: connections of their own, which only read, and minutes of time for each. */
export function openPostgresScans(url: string): Dialect {
  const settings = [...readerSettings, `set statement_timeout = '10min'`];
  return dialectOf(() => {
    const pool = newPool(url, { max: 2, acquireTimeoutMs: 10 * 60_000, settings });
    return { writers: pool, readers: pool };
  });
}

type Pools = { writers: Pool; readers: Pool };

function dialectOf(openPools: () => Pools): Dialect {
  return {
    createAdapter: () => new PostgresAdapter(),
    createDriver: () => newDriver(openPools()),
    createIntrospector: (db) => new PostgresIntrospector(db),
    createQueryCompiler: () => new PostgresQueryCompiler(),
  };
}

type PoolOptions = { max: number; acquireTimeoutMs: number; settings: readonly string[] };

function newPool(url: string, { max, acquireTimeoutMs, settings }: PoolOptions): Pool {
  const pool = new Pool({
    connectionString: url,
    max,
    connectionTimeoutMillis: acquireTimeoutMs,
    idleTimeoutMillis: 60_000,
    keepAlive: true,
    application_name: 'lading',
    types: typeParsers,
    onConnect: (async (client: ClientBase) => {
      await client.query(settings.join(';'));
    }) as (client: ClientBase) => void,
  });
  // Connections die when the server restarts. Without listeners the event would end the process; the next query says it.
  pool.on('error', () => {});
  pool.on('connect', (client) => client.on('error', () => {}));
  return pool;
}

type Session = DatabaseConnection & { transaction: PoolClient | undefined };

function newDriver({ writers, readers }: Pools): Driver {
  return {
    async init() {},
    async acquireConnection() {
      return newSession(writers, readers);
    },
    async beginTransaction(connection, settings) {
      const client = await writers.connect().catch(rethrow);
      try {
        await client.query(beginStatement(settings));
      } catch (error) {
        client.release(true);
        rethrow(error);
      }
      (connection as Session).transaction = client;
    },
    async commitTransaction(connection) {
      const { command } = await run(transactionOf(connection), 'commit');
      // So Postgres answers a commit after a statement that failed, if someone has swallowed its error.
      if (command === 'ROLLBACK') throw new Error('The transaction was rolled back: one of its statements had failed.');
      endTransaction(connection as Session);
    },
    async rollbackTransaction(connection) {
      try {
        await transactionOf(connection).query('rollback');
        endTransaction(connection as Session);
      } catch {
        // The connection is broken, and the server rolls back by itself. The first error is the one to tell.
        endTransaction(connection as Session, { isBroken: true });
      }
    },
    async releaseConnection(connection) {
      endTransaction(connection as Session, { isBroken: true });
    },
    async destroy() {
      await Promise.all([...new Set([writers, readers])].map((pool) => pool.end()));
    },
  };
}

function newSession(writers: Pool, readers: Pool): Session {
  const session: Session = {
    transaction: undefined,
    async executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
      const runner = session.transaction ?? (isSelect(query) ? readers : writers);
      const { rows, rowCount, command } = await run<R>(runner, query.sql, query.parameters);
      return command === 'SELECT' ? { rows } : { rows, numAffectedRows: BigInt(rowCount ?? 0) };
    },
    streamQuery: refuseStreaming,
  };
  return session;
}

function transactionOf(connection: DatabaseConnection): PoolClient {
  const { transaction } = connection as Session;
  if (!transaction) throw new Error('There is no transaction to end.');
  return transaction;
}

function endTransaction(session: Session, { isBroken = false } = {}): void {
  session.transaction?.release(isBroken);
  session.transaction = undefined;
}

function beginStatement({ isolationLevel, accessMode }: TransactionSettings): string {
  return `begin${isolationLevel ? ` isolation level ${isolationLevel}` : ''}${accessMode ? ` ${accessMode}` : ''}`;
}

type Answer<R> = { rows: R[]; rowCount: number | null; command: string };

async function run<R>(runner: Pool | PoolClient, text: string, values: readonly unknown[] = []): Promise<Answer<R>> {
  try {
    return (await runner.query(text, [...values])) as unknown as Answer<R>;
  } catch (error) {
    rethrow(error);
  }
}

function rethrow(error: unknown): never {
  throw translatePostgresError(error);
}
