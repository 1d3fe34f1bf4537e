import { createHash } from 'node:crypto';
import type { CompiledQuery, Kysely } from 'kysely';
import type { Schema } from './schema.ts';

/** A query under whose name a database server keeps it ready. The name is made of the text: one name, one query. */
export type NamedQuery<Row = unknown> = CompiledQuery<Row> & { name?: string };

type Compilable<Row> = { compile(): CompiledQuery<Row> };

/**
 * A query whose text is built once for each database and then only filled in. Building one costs more than running it,
 * which matters on the few queries that every pull makes; Postgres keeps them parsed and planned besides. `build` gets
 * stand-ins for the inputs: it may put them into the query and must not look at them.
 */
export function prepare<Input extends Record<string, string>, Row>(
  names: readonly (keyof Input & string)[],
  build: (db: Kysely<Schema>, input: Input) => Compilable<Row>,
): (db: Kysely<Schema>, input: Input) => Promise<Row | undefined> {
  const texts = new WeakMap<
    Kysely<Schema>,
    { query: NamedQuery<Row>; slots: ((keyof Input & string) | undefined)[] }
  >();
  const standIns = new Map<unknown, keyof Input & string>(names.map((name) => [Symbol(name), name]));
  const symbols = Object.fromEntries([...standIns].map(([symbol, name]) => [name, symbol])) as unknown as Input;
  return async (db, input) => {
    let text = texts.get(db);
    if (!text) {
      const query = build(db, symbols).compile();
      const name = `lading_${createHash('sha256').update(query.sql).digest('hex').slice(0, 16)}`;
      text = { query: { ...query, name }, slots: query.parameters.map((value) => standIns.get(value)) };
      texts.set(db, text);
    }
    const { query, slots } = text;
    const parameters = slots.map((name, i) => (name === undefined ? query.parameters[i] : input[name]));
    const { rows } = await db.executeQuery<Row>({ ...query, parameters });
    return rows[0];
  };
}
