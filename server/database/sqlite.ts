import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import {
  type CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  type QueryResult,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from 'kysely';
import { type Mutex, newMutex } from './mutex.ts';
import { translateSqliteError } from './sqlite-errors.ts';
import { isSelect, refuseStreaming } from './statements.ts';
import { newWalCheckpoints, type WalCheckpoints } from './wal-checkpoints.ts';
import { newWalSync, type WalSync } from './wal-sync.ts';

/**
 * Kysely on `node:sqlite`, with two connections to one WAL file: `writer` runs transactions and every statement that
 * writes, `reader` the selects outside transactions. Reads therefore never wait for a transaction; with the stock
 * dialect's single connection they would wait for all of it, pauses of the program included.
 *
 * Between two processes SQLite's own lock decides; inside this one the mutex does, because two transactions cannot
 * share a connection.
 *
 * A commit is appended to the WAL at once and synced in the background, one sync for all that wait; `commit` and single
 * writes resolve when it is done. SQLite's own `synchronous = full` makes the same promise, but syncs each commit by
 * itself and stops the whole program meanwhile.
 */
export function openSqliteDialect(
  file: string,
  { busyTimeoutMs = 5000, openWalSync = newWalSync, longWalPages = 16_384 } = {},
): Dialect {
  return {
    createAdapter: newAdapter,
    createDriver: () => {
      const mutex = newMutex();
      const checkpoints = newWalCheckpoints(file, mutex, longWalPages);
      return newDriver(file, busyTimeoutMs, { mutex, wal: openWalSync(file), checkpoints });
    },
    createIntrospector: (db) => new SqliteIntrospector(db),
    createQueryCompiler: () => new SqliteQueryCompiler(),
  };
}

/** The stock adapter makes Kysely serialise everything over one connection; ours looks after itself. */
function newAdapter(): SqliteAdapter {
  return Object.defineProperty(new SqliteAdapter(), 'supportsMultipleConnections', { value: true });
}

const statementsMax = 1000;

type Connection = {
  database: DatabaseSync;
  statements: Map<string, Statement>;
};

type Statement = { prepared: StatementSync; returnsRows: boolean };

type Session = DatabaseConnection & { inTransaction: boolean; hasWritten: boolean };

type Wal = { mutex: Mutex; wal: WalSync; checkpoints: WalCheckpoints };
type Engine = Wal & { writer: Connection; reader: Connection };

function newDriver(file: string, timeout: number, wal: Wal): Driver {
  const idle: Session[] = [];
  let engine: Engine;

  return {
    async init() {
      const writer = attempt(() => openWriter(file, timeout));
      const reader = attempt(() => openReader(file, timeout));
      engine = { ...wal, writer, reader };
    },
    async acquireConnection() {
      return idle.pop() ?? newSession(engine);
    },
    async beginTransaction(connection) {
      const { mutex, writer } = engine;
      await mutex.acquire();
      try {
        attempt(() => begin(writer.database));
        Object.assign(connection, { inTransaction: true, hasWritten: false });
      } catch (error) {
        mutex.release();
        throw error;
      }
    },
    // A commit that fails keeps the mutex: Kysely rolls back next. One that succeeds lets the next transaction in before
    // it is synced; the sync of that one covers both.
    async commitTransaction(connection) {
      attempt(() => engine.writer.database.exec('commit'));
      if ((connection as Session).hasWritten) noteWrite(engine);
      endTransaction(connection as Session, engine);
      await engine.wal.settle();
    },
    async rollbackTransaction(connection) {
      const session = connection as Session;
      // After a commit whose sync failed the writer belongs to others already.
      if (!session.inTransaction) return;
      try {
        rollBack(engine.writer.database);
      } finally {
        endTransaction(session, engine);
      }
    },
    async releaseConnection(connection) {
      idle.push(connection as Session);
    },
    async destroy() {
      await engine.checkpoints.close();
      await engine.wal.close();
      engine.reader.database.close();
      engine.writer.database.close();
    },
  };
}

function newSession(engine: Engine): Session {
  const { writer, reader } = engine;
  const session: Session = {
    inTransaction: false,
    hasWritten: false,
    async executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
      const isRead = isSelect(query);
      if (session.inTransaction) {
        session.hasWritten ||= !isRead;
        return runInTransaction(writer, query);
      }
      if (isRead) return run(reader, query);
      const result = await runAlone<R>(engine, query);
      noteWrite(engine);
      await engine.wal.settle();
      return result;
    },
    streamQuery: refuseStreaming,
  };
  return session;
}

function noteWrite({ wal, checkpoints }: Engine): void {
  wal.wrote();
  checkpoints.wrote();
}

/** A statement of its own runs to its end here and now, so it needs the mutex only to wait for transactions. */
async function runAlone<R>({ writer, mutex }: Engine, query: CompiledQuery): Promise<QueryResult<R>> {
  if (!mutex.isHeld()) return run(writer, query);
  await mutex.acquire();
  try {
    return run(writer, query);
  } finally {
    mutex.release();
  }
}

function endTransaction(session: Session, { mutex }: Engine): void {
  session.inTransaction = false;
  mutex.release();
}

/** `immediate`: a transaction that reads first and writes later would fail at once if anyone wrote in between. */
function begin(database: DatabaseSync): void {
  rollBack(database);
  database.exec('begin immediate');
}

/** SQLite itself rolls back on a full disk and the like; a second `rollback` would be an error that hides the first. */
function rollBack(database: DatabaseSync): void {
  if (database.isTransaction) database.exec('rollback');
}

/** Without the check, what follows a rollback by SQLite itself would be committed statement by statement. */
function runInTransaction<R>(writer: Connection, query: CompiledQuery): QueryResult<R> {
  if (!writer.database.isTransaction) throw new Error('The transaction has ended: the database rolled it back.');
  return run(writer, query);
}

function run<R>(connection: Connection, query: CompiledQuery): QueryResult<R> {
  const parameters = query.parameters as readonly SQLInputValue[];
  try {
    const statement = connection.statements.get(query.sql) ?? prepare(connection, query.sql);
    if (statement.returnsRows) {
      const rows = statement.prepared.all(...parameters) as R[];
      return query.query.kind === 'SelectQueryNode' ? { rows } : { rows, numAffectedRows: BigInt(rows.length) };
    }
    const { changes, lastInsertRowid } = statement.prepared.run(...parameters);
    return { rows: [], numAffectedRows: BigInt(changes), insertId: BigInt(lastInsertRowid) };
  } catch (error) {
    throw translateSqliteError(error);
  }
}

function prepare({ database, statements }: Connection, sql: string): Statement {
  const prepared = database.prepare(sql);
  const statement = { prepared, returnsRows: prepared.columns().length > 0 };
  const oldest = statements.size >= statementsMax ? statements.keys().next().value : undefined;
  if (oldest !== undefined) statements.delete(oldest);
  statements.set(sql, statement);
  return statement;
}

/** `synchronous = normal` syncs around checkpoints only, so that the file stays whole; commits are `wal-sync.ts`'s. */
function openWriter(file: string, timeout: number): Connection {
  const database = new DatabaseSync(file, { timeout, enableForeignKeyConstraints: true });
  database.exec('pragma journal_mode = wal');
  database.exec('pragma synchronous = normal');
  // Where the thread of `wal-checkpoints.ts` cannot keep up: little is left to do then.
  database.exec('pragma wal_autocheckpoint = 32768');
  database.exec('pragma cache_size = -16384');
  database.exec('pragma journal_size_limit = 67108864');
  database.exec('pragma temp_store = memory');
  return { database, statements: new Map() };
}

function openReader(file: string, timeout: number): Connection {
  const database = new DatabaseSync(file, { timeout, readOnly: true });
  database.exec('pragma cache_size = -32768');
  database.exec('pragma temp_store = memory');
  return { database, statements: new Map() };
}

function attempt<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw translateSqliteError(error);
  }
}
