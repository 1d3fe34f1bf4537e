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
import type { Pool, PoolClient } from 'pg';
import type { NamedQuery } from '#core/prepared.ts';
import { isConnectionLost, nothingDone, perhapsDone } from './postgres-errors.ts';
import { openPipeline, type Pipeline } from './postgres-pipeline.ts';
import {
  type Answer,
  openPool,
  type PoolOptions,
  rethrow,
  run,
  type Statement,
  takeConnection,
  tryOnLiving,
} from './postgres-pool.ts';
import { isSelect, refuseStreaming } from './statements.ts';

export type PostgresOptions = {
  url: string;
  /**
   * Connections at most: a quarter for selects outside transactions, one of them for those that every pull makes, and the
   * rest for transactions and single writes.
   */
  poolSize?: number;
  /** How long a request waits for a connection. */
  acquireTimeoutMs?: number;
  /** Told of the pools when they are opened. */
  onPools?: (pools: Pools) => void;
};

// A lock that is not free after 5 s is answered 503; a program that hangs in a transaction must not stop the others.
const sessionSettings = [
  `set default_transaction_isolation = 'read committed'`,
  `set lock_timeout = '5s'`,
  `set statement_timeout = '30s'`,
  `set idle_in_transaction_session_timeout = '15s'`,
];
const readerSettings = [...sessionSettings, 'set default_transaction_read_only = on'];

/**
 * Kysely on two pools and a pipeline. A burst of pushes to one registry may hold every connection that writes, all waiting
 * for that registry's row; pulls and sign-ins of everyone else read through connections of their own meanwhile.
 * As on SQLite, a connection is chosen by what is done with it: there is no session to keep state in but a transaction.
 * Errors are ours: a database that is gone is `unavailable`, and never ends the process.
 */
export function openPostgresDialect({
  url,
  poolSize = 20,
  acquireTimeoutMs = 10_000,
  onPools,
}: PostgresOptions): Dialect {
  const selectsMax = Math.max(2, Math.floor(poolSize / 4));
  const client = { acquireTimeoutMs, silenceMs: 35_000 };
  const reading = { ...client, settings: readerSettings };
  return dialectOf(() => {
    const pools = {
      writers: openPool(url, { ...client, settings: sessionSettings, max: Math.max(1, poolSize - selectsMax) }),
      readers: openPool(url, { ...reading, max: selectsMax - 1 }),
      pipeline: openPipeline(url, reading),
    };
    onPools?.(pools);
    return pools;
  });
}

/** For selects that read much: connections of their own, which only read, and minutes of time for each. */
export function openPostgresScans(url: string): Dialect {
  const settings = [...readerSettings, `set statement_timeout = '10min'`];
  return onOnePool(url, { max: scanConnections, acquireTimeoutMs: 10 * 60_000, settings, silenceMs: 11 * 60_000 });
}

export const scanConnections = 2;

/** One connection for what comes before all else at a start: migrations may take minutes, and wait for another's. */
export function openPostgresStart(url: string, onConnect: PoolOptions['onConnect']): Dialect {
  const settings = [
    ...sessionSettings,
    'set lock_timeout = 0',
    'set statement_timeout = 0',
    'set idle_in_transaction_session_timeout = 0',
  ];
  return onOnePool(url, { max: 1, acquireTimeoutMs: 10_000, settings, ...(onConnect && { onConnect }) });
}

function onOnePool(url: string, options: PoolOptions): Dialect {
  return dialectOf(() => {
    const pool = openPool(url, options);
    return { writers: pool, readers: pool };
  });
}

export type Pools = { writers: Pool; readers: Pool; pipeline: Pipeline };
/** Of one that does little there is one, for all. */
type PoolsOrOne = Omit<Pools, 'pipeline'> & Partial<Pick<Pools, 'pipeline'>>;

function dialectOf(openPools: () => PoolsOrOne): Dialect {
  return {
    createAdapter: () => new PostgresAdapter(),
    createDriver: () => newDriver(openPools()),
    createIntrospector: (db) => new PostgresIntrospector(db),
    createQueryCompiler: () => new PostgresQueryCompiler(),
  };
}

type Session = DatabaseConnection & {
  transaction: PoolClient | undefined;
  /** Nobody is there any more to be told of the transaction's end. */
  isLost: boolean;
};

function newDriver(pools: PoolsOrOne): Driver {
  const { writers, readers, pipeline } = pools;
  return {
    async init() {},
    async acquireConnection() {
      return newSession(pools);
    },
    async beginTransaction(connection, settings) {
      const [, client] = await tryOnLiving(writers, (client) => client.query(beginStatement(settings)));
      Object.assign(connection, { transaction: client, isLost: false });
    },
    async commitTransaction(connection) {
      const { command } = await transactionOf(connection)
        .query('commit')
        .catch((error: unknown) => {
          (connection as Session).isLost = isConnectionLost(error);
          rethrow(perhapsDone(error));
        });
      // So Postgres answers a commit after a statement that failed, if someone has swallowed its error.
      if (command === 'ROLLBACK') throw new Error('The transaction was rolled back: one of its statements had failed.');
      endTransaction(connection as Session);
    },
    async rollbackTransaction(connection) {
      const session = connection as Session;
      if (session.isLost) return endTransaction(session, { isBroken: true });
      try {
        await transactionOf(connection).query('rollback');
        endTransaction(session);
      } catch {
        // The connection is broken, and the server rolls back by itself. The first error is the one to tell.
        endTransaction(session, { isBroken: true });
      }
    },
    async releaseConnection(connection) {
      endTransaction(connection as Session, { isBroken: true });
    },
    async destroy() {
      await Promise.all([...[...new Set([writers, readers])].map((pool) => pool.end()), pipeline?.end()]);
    },
  };
}

function newSession({ writers, readers, pipeline }: PoolsOrOne): Session {
  async function ask<R>(statement: Statement, onlyReads: boolean): Promise<Answer<R>> {
    if (session.transaction) return inTransaction<R>(session, session.transaction, statement);
    if (!onlyReads) return writeOnce<R>(writers, statement);
    const piped = statement.name !== undefined ? await pipeline?.ask<R>(statement) : undefined;
    if (piped) return piped;
    const [answer, client] = await tryOnLiving(readers, (client) => run<R>(client, statement));
    client.release();
    return answer;
  }
  const session: Session = {
    transaction: undefined,
    isLost: false,
    async executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
      const statement = { text: query.sql, values: query.parameters, name: (query as NamedQuery).name };
      const { rows, rowCount, command } = await ask<R>(statement, isSelect(query));
      return command === 'SELECT' ? { rows } : { rows, numAffectedRows: BigInt(rowCount ?? 0) };
    },
    streamQuery: refuseStreaming,
  };
  return session;
}

/** Statements are not kept by name here: one whose plan is outdated would end the transaction. */
function inTransaction<R>(session: Session, client: PoolClient, { text, values }: Statement): Promise<Answer<R>> {
  return run<R>(client, { text, values }).catch((error: unknown) => {
    session.isLost ||= isConnectionLost(error);
    rethrow(nothingDone(error));
  });
}

/** A change that is its own transaction. */
async function writeOnce<R>(pool: Pool, statement: Statement): Promise<Answer<R>> {
  const { client } = await takeConnection(pool);
  try {
    const answer = await run<R>(client, statement);
    client.release();
    return answer;
  } catch (error) {
    client.release(isConnectionLost(error));
    return rethrow(perhapsDone(error));
  }
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
