// Which installation a database is. `lading copy-store`, `backup` and `restore` write into a database only if it is empty
// or an untouched copy of the very same source, so that nobody's data is ever overwritten. A server that starts on a copy
// makes it an installation of its own: from then on it may hold pushes that its source does not know.

import type { Kysely, Selectable } from 'kysely';
import { Failure } from './failure.ts';
import { newId } from './ids.ts';
import type { InstallationRow, Schema } from './schema.ts';

export type InstallationState = Selectable<InstallationRow>;

/** Below its own directory, where a copy into a directory is built. */
export const unfinishedName = 'unfinished-copy';

/** Of this database; undefined where no server and no copy was ever made in it. */
export function findInstallation(db: Kysely<Schema>): Promise<InstallationState | undefined> {
  return db.selectFrom('installations').selectAll().executeTakeFirst();
}

/** The id of this installation, made where it has none yet. Throws `unavailable` for an unfinished copy. */
export async function identify(db: Kysely<Schema>): Promise<string> {
  const made = { slot: 1, id: newId(), copy_of: null, copied_at: null, run: null } as const;
  await db
    .insertInto('installations')
    .values(made)
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  const row = await db.selectFrom('installations').selectAll().executeTakeFirstOrThrow();
  requireWhole(row);
  return row.id;
}

/** Throws `unavailable` for an unfinished copy. */
export function requireWhole(row: InstallationState | undefined): void {
  if (row && row.run !== null) throw unfinished();
}

/** Before a server changes anything: what was a copy is one no more. Throws `unavailable` for an unfinished one. */
export async function takeIntoService(db: Kysely<Schema>): Promise<void> {
  await identify(db);
  await db
    .updateTable('installations')
    .set({ copy_of: null, copied_at: null })
    .where('copy_of', 'is not', null)
    .where('run', 'is', null)
    .execute();
  // A copy that has begun in between has found its target untouched, and the update found nothing.
  await identify(db);
}

/** A copy begins. False if the database is not what it was a moment ago. */
export async function beginCopy(
  db: Kysely<Schema>,
  before: InstallationState | undefined,
  { copyOf, run, id = newId() }: { copyOf: string; run: string; id?: string | undefined },
): Promise<boolean> {
  if (!before) {
    const row = { slot: 1, id, copy_of: copyOf, copied_at: null, run } as const;
    const { numInsertedOrUpdatedRows } = await db
      .insertInto('installations')
      .values(row)
      .onConflict((conflict) => conflict.doNothing())
      .executeTakeFirstOrThrow();
    return Number(numInsertedOrUpdatedRows) === 1;
  }
  // Still a copy: no server has begun on it.
  const { numUpdatedRows } = await db
    .updateTable('installations')
    .set({ run })
    .where('copy_of', '=', copyOf)
    .executeTakeFirstOrThrow();
  return Number(numUpdatedRows) === 1;
}

/** First in each transaction that writes into a copy: throws `conflict` if another run has taken it over. */
export async function requireRun(db: Kysely<Schema>, run: string): Promise<void> {
  const { numUpdatedRows } = await db
    .updateTable('installations')
    .set({ run })
    .where('run', '=', run)
    .executeTakeFirstOrThrow();
  if (Number(numUpdatedRows) !== 1) {
    throw new Failure('conflict', 'Another copy into the same place has taken over. This one has stopped.');
  }
}

/** In the transaction that makes the copy complete. */
export async function endCopy(db: Kysely<Schema>, run: string, copiedAt: number): Promise<void> {
  await requireRun(db, run);
  await db.updateTable('installations').set({ run: null, copied_at: copiedAt }).execute();
}

function unfinished(): Failure {
  return new Failure(
    'unavailable',
    'The database holds an unfinished copy of another installation. Run the lading command that makes the copy again; it goes on where it stopped.',
  );
}
