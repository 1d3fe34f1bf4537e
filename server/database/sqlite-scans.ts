import { Worker } from 'node:worker_threads';
import {
  type CompiledQuery,
  type Dialect,
  type Driver,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from 'kysely';
import { newSelectDriver } from './select-driver.ts';
import type { ScanAnswer, ScanQuestion } from './sqlite-scan-worker.ts';

/**
 * Kysely on a read-only connection that lives in a thread of its own: a select that takes a second there stops nobody,
 * while on the main thread no request would be answered meanwhile. The thread starts with the first question.
 */
export function openSqliteScans(file: string): Dialect {
  return {
    createAdapter: () => Object.defineProperty(new SqliteAdapter(), 'supportsMultipleConnections', { value: true }),
    createDriver: () => newDriver(file),
    createIntrospector: (db) => new SqliteIntrospector(db),
    createQueryCompiler: () => new SqliteQueryCompiler(),
  };
}

type Waiting = { resolve: (rows: unknown[]) => void; reject: (error: Error) => void };

function newDriver(file: string): Driver {
  const waiting = new Map<number, Waiting>();
  let worker: Worker | undefined;
  let asked = 0;

  const failAll = (error: Error) => {
    worker = undefined;
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
  };
  const start = () => {
    const started = new Worker(new URL('./sqlite-scan-worker.ts', import.meta.url), { workerData: file, execArgv: [] });
    started.on('message', ({ id, rows, error }: ScanAnswer) => {
      const { resolve, reject } = waiting.get(id) ?? {};
      waiting.delete(id);
      // An idle thread must not keep the process from ending.
      if (waiting.size === 0) started.unref();
      if (error) reject?.(error);
      else resolve?.(rows ?? []);
    });
    started.on('error', failAll);
    started.on('exit', () => failAll(new Error('The thread that scans the database has ended.')));
    return started;
  };
  const ask = (query: CompiledQuery) =>
    new Promise<unknown[]>((resolve, reject) => {
      worker ??= start();
      worker.ref();
      const id = ++asked;
      waiting.set(id, { resolve, reject });
      const question: ScanQuestion = { id, sql: query.sql, parameters: query.parameters };
      worker.postMessage(question);
    });

  return newSelectDriver(ask, {
    refusal: 'Scans are single selects.',
    destroy: async () => {
      await worker?.terminate();
    },
  });
}
