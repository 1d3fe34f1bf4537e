// Tests that nobody asks for, so that a password that no longer works is known before a deployment fails. The row says
// when its turn is; whoever claims it tests it. A claim that was not given back (the process is gone) ends by itself. Two
// that test the same connection because of that do no harm: both store what is true.

import { sql } from 'kysely';
import { systemActor } from './actors.ts';
import type { Row } from './connection-rows.ts';
import { runTest } from './connection-tests.ts';
import { Failure, type Reason } from './failure.ts';
import { newId } from './ids.ts';
import type { Platform } from './platform.ts';

const claimMs = 5 * 60_000;
const retryMs = 5 * 60_000;

/** Tests one connection that is due. False if there is none, or where tests on a schedule are off. */
export async function testNextConnection(platform: Platform, workerId: string): Promise<boolean> {
  if (platform.config.connectionCheckIntervalMs === null) return false;
  const claimed = await claimConnection(platform, workerId);
  if (claimed === 'none') return false;
  if (claimed === 'lost') return true;
  let isDone = false;
  try {
    await runTest(platform, systemActor(claimed.team_id), claimed, causeOf(claimed));
    isDone = true;
  } catch (error) {
    const reason = error instanceof Failure ? error.reason : undefined;
    // A change has made it due already.
    isDone = reason === 'conflict';
    if (reason === undefined || !expected.includes(reason)) {
      platform.log.error({ connection: claimed.id, err: error }, 'testing a connection failed');
    }
  } finally {
    await release(platform, claimed, isDone);
  }
  return true;
}

/** A new connection, and one that leads elsewhere since its last test, is due at once. */
const causeOf = ({ status }: Row) => (status === 'untested' ? 'changed' : 'scheduled');

/** Changed or deleted meanwhile, or too much waits. */
const expected: readonly Reason[] = ['conflict', 'not_found', 'throttled'];

/** Of many teams the one after the last that was served here, and of it what has waited longest. */
async function claimConnection(platform: Platform, workerId: string): Promise<Row | 'none' | 'lost'> {
  const { db, now, local } = platform;
  const isFree = sql<boolean>`test_due_at <= ${now()} and (claimed_until is null or claimed_until < ${now()})`;
  const due = db.selectFrom('connections').select(['id', 'team_id']).where(isFree);
  // Mostly none is due, and this question reads one entry of an index.
  if (!(await due.orderBy('test_due_at').limit(1).executeTakeFirst())) return 'none';
  const inOrder = due.orderBy('team_id').orderBy('test_due_at').limit(1);
  const next =
    (await inOrder.where('team_id', '>', local.lastTestedTeam).executeTakeFirst()) ??
    (await inOrder.executeTakeFirst());
  if (!next) return 'lost';
  local.lastTestedTeam = next.team_id;
  const row = await db
    .updateTable('connections')
    .set({ worker: `${workerId}/${newId()}`, claimed_until: now() + claimMs })
    .where('id', '=', next.id)
    .where(isFree)
    .returningAll()
    .executeTakeFirst();
  return row ?? 'lost';
}

/** A test that could not be made must not be the next one again. */
async function release({ db, now }: Platform, { id, worker }: Row, isDone: boolean): Promise<void> {
  await db
    .updateTable('connections')
    .set({ worker: null, claimed_until: null, ...(!isDone && { test_due_at: now() + retryMs }) })
    .where('id', '=', id)
    .where('worker', '=', worker)
    .execute();
}
