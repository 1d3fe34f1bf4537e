import { type Kysely, sql } from 'kysely';
import type { Schema } from '#core/schema.ts';

/** In this transaction statements may take their time: the limits of the session are for requests. */
export async function unhurried(db: Kysely<Schema>, engine: 'sqlite' | 'postgres'): Promise<void> {
  if (engine === 'sqlite') return;
  await sql`set local statement_timeout = 0`.execute(db);
  await sql`set local idle_in_transaction_session_timeout = 0`.execute(db);
}
