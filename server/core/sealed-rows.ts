import { type RawBuilder, sql } from 'kysely';
import { Failure } from './failure.ts';
import type { Platform } from './platform.ts';
import { type SealedColumn, sealContext, sealedColumns } from './sealed-columns.ts';

/** Where sealed rows are, and what opens them. */
export type Sealing = Pick<Platform, 'db' | 'secrets'>;

export type SealedRow = { key: string; sealed: string };

/** Rows are told apart by how their values begin; nothing is opened for it. */
const sealedWith = ({ secrets }: Sealing, { column }: SealedColumn, keyId: string): RawBuilder<boolean> => {
  const prefix = secrets.prefixOf(keyId);
  return sql<boolean>`substr(${sql.ref(column)}, 1, ${sql.lit(prefix.length)}) = ${prefix}`;
};

/** An empty one was lost with its key and dropped. */
const isSealed = ({ column }: SealedColumn) =>
  sql<boolean>`(${sql.ref(column)} is not null and ${sql.ref(column)} <> '')`;

/** Of the key that sealed it; `` for what is no sealed value. */
export const keyIdOf = (sealed: string): string => sealed.split('.')[1] ?? '';

type Choice = { where: RawBuilder<boolean>; after?: string; limit: number };

async function selectRows({ db }: Sealing, column: SealedColumn, choice: Choice): Promise<SealedRow[]> {
  const { where, after = '', limit } = choice;
  const [key, sealed] = [sql.ref(column.key), sql.ref(column.column)];
  const { rows } = await sql<SealedRow>`select ${key} as key, ${sealed} as sealed from ${sql.table(column.table)}
    where ${isSealed(column)} and ${key} > ${after} and ${where} order by ${key} limit ${limit}`.execute(db);
  return rows;
}

/** In the order of their keys. */
export function listSealed(platform: Sealing, column: SealedColumn, after: string, limit: number) {
  return selectRows(platform, column, { where: sql<boolean>`1 = 1`, after, limit });
}

/** Those that are not sealed with the first key, in the order of their keys. */
export function listOutdated(platform: Sealing, column: SealedColumn, after: string, limit: number) {
  return selectRows(platform, column, { where: outdated(platform, column), after, limit });
}

export async function countOutdated(platform: Sealing, column: SealedColumn): Promise<number> {
  const { rows } = await sql<{ n: number }>`select count(*) as n from ${sql.table(column.table)}
    where ${isSealed(column)} and ${outdated(platform, column)}`.execute(platform.db);
  return Number(rows[0]?.n ?? 0);
}

function outdated(platform: Sealing, column: SealedColumn): RawBuilder<boolean> {
  const [first = ''] = platform.secrets.keyIds();
  return sql<boolean>`not ${sealedWith(platform, column, first)}`;
}

/** `changed`: meanwhile, by a server, which has sealed it with a key of its own choice; or the row is gone. */
export type Outcome = 'resealed' | 'changed' | 'unreadable';

/** Seals the value anew, with the first key, unless the row has changed since it was read. */
export async function reseal(platform: Sealing, column: SealedColumn, row: SealedRow): Promise<Outcome> {
  const fresh = openAndSeal(platform, sealContext(column, row.key), row.sealed);
  if (fresh === undefined) return 'unreadable';
  const value = sql.ref(column.column);
  const { numAffectedRows } = await sql`update ${sql.table(column.table)} set ${value} = ${fresh}
    where ${sql.ref(column.key)} = ${row.key} and ${value} = ${row.sealed}`.execute(platform.db);
  return numAffectedRows === 1n ? 'resealed' : 'changed';
}

function openAndSeal({ secrets }: Sealing, context: string, sealed: string): string | undefined {
  try {
    return secrets.seal(secrets.open(sealed, context), context);
  } catch (error) {
    if (error instanceof Failure) return undefined;
    throw error;
  }
}

/** One damaged row must not keep a server from starting. */
const samples = 5;

/**
 * Asks of every column whether there is a value of a key that is not configured, and whether values of those that are
 * open. A few rows are opened, however many there are. Throws `unavailable` with the id of the key that is missing or wrong.
 */
export async function requireMasterKeys(platform: Sealing): Promise<void> {
  const ids = platform.secrets.keyIds();
  for (const column of sealedColumns) {
    const known = ids.map((id) => sealedWith(platform, column, id));
    const isKnown = known.length > 0 ? sql<boolean>`(${sql.join(known, sql` or `)})` : sql<boolean>`1 = 0`;
    requireOneOpens(platform, column, await selectRows(platform, column, { where: sql`not ${isKnown}`, limit: 1 }));
    for (const where of known) {
      requireOneOpens(platform, column, await selectRows(platform, column, { where, limit: samples }));
    }
  }
}

function requireOneOpens({ secrets }: Sealing, column: SealedColumn, rows: readonly SealedRow[]): void {
  let refusal: unknown;
  for (const { key, sealed } of rows) {
    try {
      secrets.open(sealed, sealContext(column, key));
      return;
    } catch (error) {
      refusal ??= error;
    }
  }
  if (refusal !== undefined) throw refusal;
}
