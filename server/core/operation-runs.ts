// Working on operations. A worker claims one for a minute and keeps it by advancing it in the transaction of each batch;
// one that stalled finds its claim gone and rolls its batch back, so nothing is done twice.

import { sql } from 'kysely';
import { Failure } from './failure.ts';
import { newId } from './ids.ts';
import { type Operation, type OperationKind, toOperation } from './operations.ts';
import type { Platform } from './platform.ts';
import { transact } from './transact.ts';

/** An operation in the hands of a worker. `claim` is new with each claim, so that a stalled one can be told apart. */
export type ClaimedOperation = Operation & {
  claim: string;
  /** Whether the process is about to end: then the work stops at its next batch, for another worker to go on. */
  isStopping?: (() => boolean) | undefined;
};

const claimMs = 60_000;
/** After so many failures a person must look: the registry says why. */
const attemptsMax = 5;
const firstRetryMs = 10_000;

/** The oldest operation of these kinds that nobody works on, or whose worker has not shown itself for a minute. */
export async function claimOperation(
  { db, now }: Platform,
  workerId: string,
  kinds: readonly string[],
): Promise<ClaimedOperation | undefined> {
  const claim = `${workerId}/${newId()}`;
  // `claimed_until` of a queued row is the end of its pause after a failure. The condition stands outside as well:
  // without it two workers that chose the same row would both get it.
  const isFree = sql<boolean>`state in ('queued', 'running') and (claimed_until is null or claimed_until < ${now()})`;
  const row = await db
    .updateTable('operations')
    .set({
      state: 'running',
      worker: claim,
      claimed_until: now() + claimMs,
      started_at: sql`coalesce(started_at, ${sql.lit(now())})`,
    })
    .where('id', '=', (eb) =>
      eb.selectFrom('operations').select('id').where('kind', 'in', kinds).where(isFree).orderBy('id').limit(1),
    )
    .where(isFree)
    .returningAll()
    .executeTakeFirst();
  return row && { ...toOperation(row), claim };
}

/**
 * Says that the work goes on, and how far it is: the last statement of each batch's transaction. Throws `precondition`
 * if another worker has the operation now, which rolls the batch back and ends the caller.
 */
export async function advanceOperation(
  { db, now }: Platform,
  operation: ClaimedOperation,
  step: { freedBytes?: number; progress?: Readonly<Record<string, number>> } = {},
): Promise<void> {
  if (operation.isStopping?.()) throw stopping;
  const row = await db
    .updateTable('operations')
    .set({
      freed: sql`freed + ${step.freedBytes ?? 0}`,
      claimed_until: now() + claimMs,
      ...(step.progress && { progress: JSON.stringify(step.progress) }),
    })
    .where('id', '=', operation.id)
    .where('worker', '=', operation.claim)
    .where('state', '=', 'running')
    .returning('id')
    .executeTakeFirst();
  if (!row) throw claimLost();
}

/** Ends the work; queues it once more if it was asked for again meanwhile. Throws as `advanceOperation`. */
export async function finishOperation(platform: Platform, operation: ClaimedOperation): Promise<void> {
  await transact(platform, async (platform) => {
    const { db, now } = platform;
    // Before the operation's row: the lock order. A success ends what an earlier failure said of the registry.
    await noteReason(platform, operation, null);
    const row = await db
      .updateTable('operations')
      .set({
        state: sql`case when again = 1 then 'queued' else 'done' end`,
        started_at: sql`case when again = 1 then null else started_at end`,
        finished_at: sql`case when again = 1 then null else ${sql.lit(now())} end`,
        again: 0,
        worker: null,
        claimed_until: null,
        error: null,
      })
      .where('id', '=', operation.id)
      .where('worker', '=', operation.claim)
      .returning('id')
      .executeTakeFirst();
    if (!row) throw claimLost();
  });
}

/** What a registry says of its last operation; only the worker that still has that operation may say so. */
async function noteReason({ db }: Platform, operation: ClaimedOperation, reason: string | null): Promise<void> {
  await db
    .updateTable('registries')
    .set({ status_reason: reason })
    .where('id', '=', operation.registryId ?? '')
    .where(sql<boolean>`coalesce(status_reason, '') <> ${reason ?? ''}`)
    .where(({ exists, selectFrom }) =>
      exists(
        selectFrom('operations').select('id').where('id', '=', operation.id).where('worker', '=', operation.claim),
      ),
    )
    .execute();
}

/** Notes a failure. It is tried again after a growing pause; the fifth time it ends, and its registry says why. */
export async function failOperation(platform: Platform, operation: ClaimedOperation, reason: string): Promise<void> {
  const attempts = operation.attempts + 1;
  const isLast = attempts >= attemptsMax;
  await transact(platform, async (platform) => {
    const { db, now } = platform;
    if (isLast) await noteReason(platform, operation, reason);
    await db
      .updateTable('operations')
      .set({
        state: isLast ? 'failed' : 'queued',
        attempts,
        error: reason,
        worker: null,
        claimed_until: isLast ? null : now() + firstRetryMs * 4 ** (attempts - 1),
        finished_at: isLast ? now() : null,
      })
      .where('id', '=', operation.id)
      .where('worker', '=', operation.claim)
      .execute();
  });
}

export type OperationHandler = (platform: Platform, operation: ClaimedOperation) => Promise<void>;

/** Takes one operation and works on it until it ends. False if there was none to take. */
export async function runNextOperation(
  platform: Platform,
  workerId: string,
  handlers: Readonly<Record<OperationKind, OperationHandler>>,
  isStopping?: () => boolean,
): Promise<boolean> {
  const operation = await claimOperation(platform, workerId, Object.keys(handlers));
  if (!operation) return false;
  try {
    await handlers[operation.kind as OperationKind](platform, { ...operation, isStopping });
  } catch (error) {
    if (error === stopping) {
      await putBack(platform, operation);
      return false;
    }
    if (isClaimLost(error)) {
      platform.log.warn({ operation: operation.id }, 'another worker took over this operation');
      return true;
    }
    platform.log.error({ operation: operation.id, kind: operation.kind, err: error }, 'an operation failed');
    await failOperation(platform, operation, toReason(error));
  }
  return true;
}

/** Rolls back the batch during which the process was told to end; never leaves this file. */
const stopping = new Error('the process is about to end');

async function putBack({ db }: Platform, operation: ClaimedOperation): Promise<void> {
  await db
    .updateTable('operations')
    .set({ state: 'queued', worker: null, claimed_until: null })
    .where('id', '=', operation.id)
    .where('worker', '=', operation.claim)
    .execute();
}

/** On an engine that only one process can open, at its start: what was being worked on goes on at once. */
export async function putBackAbandonedOperations({ db }: Platform): Promise<void> {
  await db
    .updateTable('operations')
    .set({ state: 'queued', worker: null, claimed_until: null })
    .where('state', '=', 'running')
    .execute();
}

// Only refusals of our own are shown to people; what an engine says may name paths and hosts.
const toReason = (error: unknown) =>
  error instanceof Failure ? error.message : 'An unexpected error; the log says more.';

function claimLost(): Failure {
  return new Failure('precondition', 'Another worker has taken over this operation.', { about: 'operation' });
}

const isClaimLost = (error: unknown) =>
  error instanceof Failure && error.reason === 'precondition' && error.detail.about === 'operation';

/** Forgets operations that ended before, the oldest first. Answers how many. */
export async function removeOldOperations({ db }: Platform, before: number, limit: number): Promise<number> {
  let removed = 0;
  // One state after the other, and by their creation too: that is an index, in which what is not old is not read.
  for (const state of ['done', 'failed'] as const) {
    const rows = await db
      .deleteFrom('operations')
      .where('id', 'in', (eb) =>
        eb
          .selectFrom('operations')
          .select('id')
          .where('state', '=', state)
          .where('created_at', '<', before)
          .where('finished_at', '<', before)
          .orderBy('created_at')
          .limit(limit - removed),
      )
      .returning('id')
      .execute();
    removed += rows.length;
  }
  return removed;
}
