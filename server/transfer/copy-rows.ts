import { type Kysely, sql } from 'kysely';
import { requireRun } from '#core/installations.ts';
import type { Schema } from '#core/schema.ts';
import { insertRows, type RowTarget } from './insert-rows.ts';
import { adaptRow, type Row, type Table, tables } from './tables.ts';
import { unhurried } from './unhurried.ts';

const rowsPerPage = 1000;
/** Manifests have up to 4 MiB each. */
const bytesPerPage = 8 * 1024 * 1024;

/** Replaces the target's rows by those of the snapshot. Answers how many there are. */
export async function copyRows(
  source: Kysely<Schema>,
  target: RowTarget,
  signal: AbortSignal,
  report: (done: number, total: number) => void,
): Promise<number> {
  const total = await countRows(source);
  let done = 0;
  report(done, total);
  await emptyTables(target);
  for (const table of [objects, ...tables]) {
    for await (const page of readTable(source, table)) {
      signal.throwIfAborted();
      if (table.name === 'objects') await insertRows(target, 'objects', page.map(toExpected), expectAgain);
      else
        await insertRows(
          target,
          table.name,
          page.map((row) => adaptRow(table.name, row)),
        );
      done += page.length;
      report(done, total);
    }
  }
  await doomUnneeded(target);
  return done;
}

type ReadTable = Pick<Table, 'key'> & { name: string };

const objects = { name: 'objects', key: ['key'] } as const;

/** Not yet here: it turns `stored` with its bytes. One that an earlier run has brought stays so. */
const toExpected = ({ key, size, refs, reserved_in }: Row): Row => ({
  key,
  state: 'writing',
  size,
  refs,
  reserved_in,
  attempts: 0,
});

const expectAgain = `on conflict (key) do update set size = excluded.size, refs = excluded.refs,
  reserved_in = excluded.reserved_in, attempts = objects.attempts + 1, remove_after = null, forget_after = null,
  state = case when objects.state = 'doomed' then 'writing' else objects.state end`;

async function countRows(db: Kysely<Schema>): Promise<number> {
  const each = [objects, ...tables].map(({ name }) => sql`(select count(*) from ${sql.table(name)})`);
  const { rows } = await sql<{ n: number }>`select ${sql.join(each, sql` + `)} as n`.execute(db);
  return Number(rows[0]?.n ?? 0);
}

/** All but objects, whose rows know what is in the target's store. */
async function emptyTables({ db, engine, run }: RowTarget): Promise<void> {
  const names = tables.map(({ name }) => name).toReversed();
  await db.transaction().execute(async (db) => {
    await unhurried(db, engine);
    await requireRun(db, run);
    if (engine === 'postgres') await sql`truncate ${sql.join(names.map((name) => sql.table(name)))}`.execute(db);
    else for (const name of names) await sql`delete from ${sql.table(name)}`.execute(db);
  });
}

/**
 * What only an earlier copy in this place needed, and what the source no longer has. Where that copy may have been killed in
 * the middle of a write, a writer is named, as of any that is given up: the remover then looks for parts too.
 */
async function doomUnneeded({ db, engine, run, now }: RowTarget): Promise<void> {
  await db.transaction().execute(async (db) => {
    await unhurried(db, engine);
    await requireRun(db, run);
    // So written, neither engine asks once for each object.
    await sql`update objects set state = 'doomed', refs = 0, reserved_in = null, remove_after = ${now()},
        writer_until = case when state = 'writing' then cast(${now()} as bigint) end
      where key in (select key from objects where state <> 'doomed'
        except select object_key from blobs except select object_key from upload_parts)`.execute(db);
  });
}

async function* readTable(source: Kysely<Schema>, table: ReadTable): AsyncGenerator<Row[]> {
  let last: Row | undefined;
  for (;;) {
    const limit = table.name === 'manifests' ? await countThatFit(source, table, last) : rowsPerPage;
    const page = limit === 0 ? [] : await readPage(source, table, last, limit);
    if (page.length === 0) return;
    yield page;
    last = page.at(-1);
  }
}

async function readPage(db: Kysely<Schema>, { name, key }: ReadTable, last: Row | undefined, limit: number) {
  const columns = sql.join(key.map((column) => sql.ref(column)));
  // Of objects only what is whole and needed; the others are the source's own affair.
  const stored = name === 'objects' ? sql`state = 'stored' and` : sql``;
  const { rows } = await sql<Row>`select * from ${sql.table(name)} where ${stored} ${after(key, last)}
    order by ${columns} limit ${limit}`.execute(db);
  return rows;
}

function after(key: readonly string[], last: Row | undefined) {
  if (!last) return sql`1 = 1`;
  const columns = sql.join(key.map((column) => sql.ref(column)));
  return sql`(${columns}) > (${sql.join(key.map((column) => last[column]))})`;
}

/** How many of the next manifests are read at once: at least one, however large. */
async function countThatFit(db: Kysely<Schema>, { name, key }: ReadTable, last: Row | undefined): Promise<number> {
  const columns = sql.join(key.map((column) => sql.ref(column)));
  const { rows } = await sql<{ size: number }>`select size from ${sql.table(name)} where ${after(key, last)}
    order by ${columns} limit ${rowsPerPage}`.execute(db);
  let bytes = 0;
  const tooMany = rows.findIndex(({ size }) => {
    bytes += size;
    return bytes > bytesPerPage;
  });
  return tooMany === -1 ? rows.length : Math.max(1, tooMany);
}
