import type { Actor } from './actors.ts';
import { findConnectionRow } from './connection-rows.ts';
import { type ConnectionTest, toConnectionTest } from './connection-test-rows.ts';
import { Failure } from './failure.ts';
import { requirePermission } from './permissions.ts';
import type { Platform } from './platform.ts';
import { orNone } from './projects.ts';

/** Each connection's last test of what it leads to now, by its id; a replacement that failed says nothing of it. */
export async function readLastTests({ db }: Platform, ids: readonly string[]): Promise<Map<string, ConnectionTest>> {
  const rows = await db
    .selectFrom('connection_tests as t')
    .innerJoin('connections as c', 'c.id', 't.connection_id')
    .selectAll('t')
    .where('c.id', 'in', orNone(ids))
    // A change takes the time away; one that was tested at the same moment has the greater id.
    .whereRef('t.created_at', '=', 'c.tested_at')
    .where((eb) => eb.or([eb('t.cause', '!=', 'replacement'), eb('t.passed', '=', 1)]))
    .orderBy('t.id')
    .execute();
  return new Map(rows.map((row) => [row.connection_id, toConnectionTest(row)]));
}

/** A new secret that waits until it passes its test. */
export type WaitingReplacement = {
  /** The user name that goes with it; empty where that has its own. */
  username: string;
  /** Why it waits. Null: its test did not come to an end. */
  lastTest: ConnectionTest | null;
};

/** Throws `not_found` where nothing waits, too. */
export async function getReplacement(platform: Platform, actor: Actor, ref: string): Promise<WaitingReplacement> {
  requirePermission(actor, 'connections:read');
  const row = await findConnectionRow(platform, actor, ref);
  if (row.sealed_replacement === null) throw nothingWaits();
  const test = await platform.db
    .selectFrom('connection_tests')
    .selectAll()
    .where('connection_id', '=', row.id)
    .where('cause', '=', 'replacement')
    .where('passed', '=', 0)
    .orderBy('id', 'desc')
    .limit(1)
    .executeTakeFirst();
  return { username: row.replacement_username ?? '', lastTest: test ? toConnectionTest(test) : null };
}

export const nothingWaits = () =>
  new Failure('not_found', 'No new secret waits to replace the stored one of this connection.', {
    about: 'connection',
  });
