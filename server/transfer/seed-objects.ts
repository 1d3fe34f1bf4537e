import type { Kysely } from 'kysely';
import type { Schema } from '#core/schema.ts';

const pageSize = 1000;

/** Makes known to a new database which objects an earlier copy in the same place has brought, or still had to remove. */
export async function seedObjects(earlier: Kysely<Schema>, db: Kysely<Schema>): Promise<void> {
  let after = '';
  for (;;) {
    const page = await earlier
      .selectFrom('objects')
      .selectAll()
      .where('key', '>', after)
      .orderBy('key')
      .limit(pageSize)
      .execute();
    const last = page.at(-1);
    if (!last) return;
    await db
      .insertInto('objects')
      .values(page)
      .onConflict((conflict) => conflict.doNothing())
      .execute();
    after = last.key;
  }
}
