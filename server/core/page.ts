import { type RawBuilder, type SelectQueryBuilder, sql } from 'kysely';
import { Failure } from './failure.ts';
import type { Schema } from './schema.ts';

/** Where a page ended: the sort values of its last row, the last of them unique. Surfaces make cursors of it. */
export type Position = readonly (string | number)[];

export type Page<T> = { items: T[]; nextCursor: Position | null };

/** `offset` is for surfaces whose clients count rows; it costs what it skips. */
export type PageInput = { limit: number; after?: Position | null | undefined; offset?: number | undefined };

export type Sort<By extends string> = { by: By; descending: boolean };

/** One column of an order: how the database reads it, how it is read from a row, and what its values are. */
export type SortColumn<Row> = {
  sql: RawBuilder<unknown>;
  type: 'text' | 'number';
  of: (row: Row) => string | number;
};

export type Order<Row> = { columns: readonly SortColumn<Row>[]; descending: boolean };

/**
 * One page by keyset: rows that come or go meanwhile shift nothing, and page 1000 costs as much as page 1.
 * The last column of the order must be unique. Throws `invalid` for a position of another order.
 */
export async function readPage<Table extends keyof Schema, Row, T>(
  query: SelectQueryBuilder<Schema, Table, Row>,
  { columns, descending }: Order<Row>,
  { limit, after, offset }: PageInput,
  toItem: (row: Row) => T,
): Promise<Page<T>> {
  let page = query.limit(limit + 1);
  if (after) {
    requirePosition(after, columns);
    const names = sql.join(columns.map((column) => column.sql));
    page = page.where(sql<boolean>`(${names}) ${sql.raw(descending ? '<' : '>')} (${sql.join([...after])})`);
  }
  if (offset) page = page.offset(offset);
  for (const column of columns) page = page.orderBy(column.sql, descending ? 'desc' : 'asc');
  const rows = await page.execute();
  const last = rows.length > limit ? rows[limit - 1] : undefined;
  return {
    items: rows.slice(0, limit).map(toItem),
    nextCursor: last === undefined ? null : columns.map((column) => column.of(last)),
  };
}

/** A position comes back from clients: what the database would choke on must not reach it. */
function requirePosition(after: Position, columns: readonly SortColumn<never>[]): void {
  const fits =
    after.length === columns.length &&
    columns.every(({ type }, i) => {
      const value = after[i];
      return type === 'text' ? typeof value === 'string' && isStorable(value) : Number.isSafeInteger(value);
    });
  if (fits) return;
  throw new Failure('invalid', 'The cursor belongs to a list in another order. Begin again without it.', {
    about: 'page',
    fields: { '/cursor': 'belongs to a list in another order' },
  });
}

/** A `like` pattern for a substring, without regard to the case of ASCII letters: `lower(column) like … escape '\'`. */
export function toSearchPattern(search: string): string {
  if (search.length > 255 || !isStorable(search)) {
    throw new Failure('invalid', 'A search is at most 255 characters long and has no NUL in it.', {
      about: 'page',
      fields: { '/search': 'at most 255 characters, no NUL' },
    });
  }
  const folded = search.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
  return `%${folded.replace(/[\\%_]/g, (special) => `\\${special}`)}%`;
}

/** Postgres refuses NUL in text, SQLite keeps it: neither may see it. */
export function isStorable(text: string): boolean {
  return !text.includes('\0') && text.length <= 1000;
}
