import type { Kysely } from 'kysely';
import { Failure } from '#core/failure.ts';
import { newId } from '#core/ids.ts';
import type { Schema } from '#core/schema.ts';

/** Keeps the source's servers from removing objects. Prolonged while it is held; after a crash it runs out by itself. */
export type Hold = {
  /** Throws `unavailable` if it has run out: what is missing then may have been removed for good reasons. */
  check(): Promise<void>;
  end(): Promise<void>;
};

const holdMs = 10 * 60_000;
const renewEveryMs = 60_000;

/** Committed when this resolves. */
export async function takeHold(db: Kysely<Schema>, now: () => number): Promise<Hold> {
  const id = newId();
  await db.deleteFrom('holds').where('until', '<', now()).execute();
  await db
    .insertInto('holds')
    .values({ id, until: now() + holdMs })
    .execute();
  // One that has run out stays so: objects may be gone.
  const renew = async () => {
    const { numUpdatedRows } = await db
      .updateTable('holds')
      .set({ until: now() + holdMs })
      .where('id', '=', id)
      .where('until', '>', now())
      .executeTakeFirstOrThrow();
    return Number(numUpdatedRows) === 1;
  };
  // A database that is away for a while must not end a copy of hours: the next one comes in time.
  const timer = setInterval(() => void renew().catch(() => {}), renewEveryMs);
  return {
    async check() {
      if (!(await renew())) throw runOut();
    },
    async end() {
      clearInterval(timer);
      await db
        .deleteFrom('holds')
        .where('id', '=', id)
        .execute()
        .catch(() => {});
    },
  };
}

function runOut(): Failure {
  return new Failure(
    'unavailable',
    'The source could not be told for ten minutes to keep its objects, so some may be gone. Run the command again.',
  );
}
