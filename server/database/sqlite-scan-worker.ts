// The thread behind `sqlite-scans.ts`: answers one select after the other.

import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { parentPort, workerData } from 'node:worker_threads';

export type ScanQuestion = { id: number; sql: string; parameters: readonly unknown[] };
export type ScanAnswer = { id: number; rows?: unknown[]; error?: Error };

const statementsMax = 100;

const database = new DatabaseSync(workerData as string, { timeout: 5000, readOnly: true });
database.exec('pragma cache_size = -32768');
const statements = new Map<string, StatementSync>();

parentPort?.on('message', ({ id, sql, parameters }: ScanQuestion) => {
  parentPort?.postMessage(answer(id, sql, parameters as readonly SQLInputValue[]));
});

function answer(id: number, sql: string, parameters: readonly SQLInputValue[]): ScanAnswer {
  try {
    const statement = statements.get(sql) ?? prepare(sql);
    return { id, rows: statement.all(...parameters) };
  } catch (error) {
    return { id, error: error as Error };
  }
}

function prepare(sql: string): StatementSync {
  if (statements.size >= statementsMax) statements.clear();
  const statement = database.prepare(sql);
  statements.set(sql, statement);
  return statement;
}
