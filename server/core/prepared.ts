import type { CompiledQuery, Kysely } from 'kysely';
import type { Schema } from './schema.ts';

type Compilable<Row> = { compile(): CompiledQuery<Row> };

/**
 * A query whose text is built once for each database and then only filled in. Building one costs more than running it,
 * which matters on the few queries that every pull makes. `build` gets stand-ins for the inputs: it may put them into the
 * query and must not look at them.
 */
export function prepare<Input extends Record<string, string>, Row>(
  names: readonly (keyof Input & string)[],
  build: (db: Kysely<Schema>, input: Input) => Compilable<Row>,
): (db: Kysely<Schema>, input: Input) => Promise<Row | undefined> {
  const texts = new WeakMap<
    Kysely<Schema>,
    { query: CompiledQuery<Row>; slots: ((keyof Input & string) | undefined)[] }
  >();
  const standIns = new Map<unknown, keyof Input & string>(names.map((name) => [Symbol(name), name]));
  const symbols = Object.fromEntries([...standIns].map(([symbol, name]) => [name, symbol])) as unknown as Input;
  return async (db, input) => {
    let text = texts.get(db);
    if (!text) {
      const query = build(db, symbols).compile();
      text = { query, slots: query.parameters.map((value) => standIns.get(value)) };
      texts.set(db, text);
    }
    const { query, slots } = text;
    const parameters = slots.map((name, i) => (name === undefined ? query.parameters[i] : input[name]));
    const { rows } = await db.executeQuery<Row>({ ...query, parameters });
    return rows[0];
  };
}
