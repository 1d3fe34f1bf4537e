// Who works on which integration. A worker claims one for a minute and keeps it by saying so before each place; one that
// stalled finds its claim gone and stops. What it may still write then is fenced off by the cluster itself, because
// every write names the version it was based on.

import { type Selectable, sql } from 'kysely';
import type { Place } from './cluster-places.ts';
import { newId } from './ids.ts';
import type { Platform } from './platform.ts';
import type { ClusterIntegrationRow } from './schema.ts';

export type ClaimedIntegration = Selectable<ClusterIntegrationRow> & { worker: string };

const claimMs = 60_000;
const retryFirstMs = 10_000;
const retryMaxMs = 15 * 60_000;

/** The integration that has waited longest, if any is due and in nobody's hands. */
export async function claimIntegration(
  { db, now }: Platform,
  workerId: string,
): Promise<ClaimedIntegration | undefined> {
  const worker = `${workerId}/${newId()}`;
  const isFree = sql<boolean>`due_at <= ${now()} and (claimed_until is null or claimed_until < ${now()})`;
  // Asked first, because mostly none is due, and looking needs no lock.
  const due = await db
    .selectFrom('cluster_integrations')
    .select('id')
    .where(isFree)
    .orderBy('due_at')
    .orderBy('id')
    .limit(1)
    .executeTakeFirst();
  if (!due) return undefined;
  const row = await db
    .updateTable('cluster_integrations')
    .set({ worker, claimed_until: now() + claimMs })
    .where('id', '=', due.id)
    // Of two workers that saw the same row one gets it; the other comes again.
    .where(isFree)
    .returningAll()
    .executeTakeFirst();
  return row && { ...row, worker };
}

/**
 * False if another worker has it, or it is wanted otherwise meanwhile: then this work is for nothing. `places` are noted
 * with it: what the cluster is about to hold.
 */
export async function keepClaim(
  { db, now }: Platform,
  claimed: ClaimedIntegration,
  places?: readonly Place[],
): Promise<boolean> {
  const change = { claimed_until: now() + claimMs, ...(places && { places: JSON.stringify(places) }) };
  const row = await ownRow(db.updateTable('cluster_integrations').set(change), claimed)
    .where('version', '=', claimed.version)
    .returning('id')
    .executeTakeFirst();
  return row !== undefined;
}

/** Narrows an update to the row, if it is still the worker's. */
function ownRow<Query extends { where(column: 'id' | 'worker', operator: '=', value: string): Query }>(
  query: Query,
  { id, worker }: ClaimedIntegration,
): Query {
  return query.where('id', '=', id).where('worker', '=', worker);
}

type Outcome = {
  /** Undefined: all is as it shall be. */
  error?: string | undefined;
  dueAt: number;
  places: readonly Place[];
};

/** Gives it back. If it is wanted otherwise meanwhile, only the claim ends: it is due already. */
export async function releaseClaim(
  { db, now }: Platform,
  claimed: ClaimedIntegration,
  outcome: Outcome,
): Promise<void> {
  const { error, dueAt, places } = outcome;
  const attempts = error === undefined ? 0 : claimed.attempts + 1;
  const released = await ownRow(
    db.updateTable('cluster_integrations').set({
      worker: null,
      claimed_until: null,
      attempts,
      error: error ?? null,
      due_at:
        error === undefined ? dueAt : now() + Math.min(retryMaxMs, retryFirstMs * 2 ** Math.min(attempts - 1, 10)),
      places: JSON.stringify(places),
      ...(error === undefined && { supplied_version: claimed.version, supplied_at: now() }),
    }),
    claimed,
  )
    .where('version', '=', claimed.version)
    .returning('id')
    .executeTakeFirst();
  if (released) return;
  await ownRow(db.updateTable('cluster_integrations').set({ worker: null, claimed_until: null }), claimed).execute();
}
