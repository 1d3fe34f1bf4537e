import { CompiledQuery, type Kysely } from 'kysely';
import { requireRun } from '#core/installations.ts';
import type { Schema } from '#core/schema.ts';
import type { Row } from './tables.ts';

export type RowTarget = {
  db: Kysely<Schema>;
  engine: 'sqlite' | 'postgres';
  now: () => number;
  run: string;
};

/** SQLite takes 32,766 parameters in a statement, Postgres 65,535. */
const parametersMax = 30_000;

/** In one transaction, which ends if another run has taken the target over. */
export async function insertRows(
  { db, engine, run }: RowTarget,
  table: string,
  rows: readonly Row[],
  ending = '',
): Promise<void> {
  const columns = Object.keys(rows[0] ?? {});
  const perStatement = Math.max(1, Math.floor(parametersMax / columns.length));
  await db.transaction().execute(async (db) => {
    await requireRun(db, run);
    for (let i = 0; i < rows.length; i += perStatement) {
      const batch = rows.slice(i, i + perStatement);
      await db.executeQuery(
        CompiledQuery.raw(`${insertText(table, columns, batch.length, engine)} ${ending}`, flatten(batch, columns)),
      );
    }
  });
}

const flatten = (rows: readonly Row[], columns: readonly string[]) =>
  rows.flatMap((row) => columns.map((column) => row[column]));

function insertText(table: string, columns: readonly string[], rows: number, engine: RowTarget['engine']): string {
  let n = 0;
  const placeholder = engine === 'sqlite' ? () => '?' : () => `$${++n}`;
  const tuples = Array.from({ length: rows }, () => `(${columns.map(placeholder).join(', ')})`);
  return `insert into "${table}" (${columns.map((column) => `"${column}"`).join(', ')}) values ${tuples.join(', ')}`;
}
