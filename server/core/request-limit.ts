import { sql } from 'kysely';
import type { Platform } from './platform.ts';

// Requests an hour, for each API key. The hour begins with the key's first request and is a row that all replicas share.
// A replica takes from it before it answers, a few requests at a time: whatever crashes or restarts, no hour ever has more
// than the limit. What a replica has taken and not used when the hour or the process ends is lost to the key, so it takes
// a share of what is left, which becomes one request at a time when little is.

export type Allowance = { isAllowed: boolean; limit: number; remaining: number; resetSeconds: number };

/** What this process has of one key's hour. */
export type RequestBudget = {
  startedAt: number;
  /** Of the row, when it was last taken from or found spent. */
  used: number;
  /** Taken from the row and not used yet. */
  left: number;
  isSpent: boolean;
  waiting: number;
  refilling: Promise<void> | undefined;
};

const hourMs = 60 * 60_000;
const share = 50;
const takenMax = 100;
const budgetsMax = 10_000;

/** Counts one request of this key; undefined where nothing is limited. A database that cannot count lets it pass. */
export async function takeRequest(platform: Platform, actorId: string): Promise<Allowance | undefined> {
  const limit = platform.config.requestsPerHour;
  if (limit === null) return undefined;
  const budget = budgetOf(platform, actorId);
  try {
    budget.waiting++;
    while (!hasHour(platform, budget) || (budget.left === 0 && !budget.isSpent)) {
      budget.refilling ??= refill(platform, actorId, budget, limit).finally(() => {
        budget.refilling = undefined;
      });
      await budget.refilling;
    }
  } catch (error) {
    platform.log.warn({ actor: actorId, err: error }, 'could not count a request');
    return undefined;
  } finally {
    budget.waiting--;
  }
  const isAllowed = budget.left > 0;
  if (isAllowed) budget.left--;
  const resetSeconds = Math.ceil((budget.startedAt + hourMs - platform.now()) / 1000);
  return { isAllowed, limit, remaining: Math.max(0, limit - budget.used) + budget.left, resetSeconds };
}

function budgetOf({ local, now }: Platform, actorId: string): RequestBudget {
  const { requestBudgets: budgets } = local;
  const known = budgets.get(actorId);
  if (known) return known;
  if (budgets.size >= budgetsMax) {
    for (const [id, one] of budgets) if (one.waiting === 0 && one.startedAt <= now() - hourMs) budgets.delete(id);
  }
  const budget = { startedAt: 0, used: 0, left: 0, isSpent: false, waiting: 0, refilling: undefined };
  budgets.set(actorId, budget);
  return budget;
}

const hasHour = ({ now }: Platform, { startedAt }: RequestBudget) => startedAt > now() - hourMs;

async function refill(platform: Platform, actorId: string, budget: RequestBudget, limit: number): Promise<void> {
  // What is left of an hour that is over ends with it.
  if (!hasHour(platform, budget)) Object.assign(budget, { startedAt: 0, used: 0, left: 0, isSpent: false });
  const free = limit - budget.used;
  let count = Math.min(Math.max(1, budget.waiting, Math.floor(free / share)), takenMax, Math.max(1, free));
  for (;;) {
    const taken = await takeFromRow(platform, actorId, count, limit);
    if (taken) {
      Object.assign(budget, { startedAt: taken.started_at, used: taken.used, left: budget.left + count });
      return;
    }
    const row = await findRow(platform, actorId);
    // Its hour has ended just now, or the janitor has it.
    if (!row || row.started_at <= platform.now() - hourMs) continue;
    if (row.used >= limit) {
      Object.assign(budget, { startedAt: row.started_at, used: row.used, isSpent: true });
      return;
    }
    count = Math.min(count, limit - row.used);
  }
}

function findRow({ db }: Platform, actorId: string) {
  return db.selectFrom('request_windows').selectAll().where('actor_id', '=', actorId).executeTakeFirst();
}

/** One statement: the condition inside the row decides between all replicas. Nothing is taken where so much is not left. */
function takeFromRow({ db, now }: Platform, actorId: string, count: number, limit: number) {
  const at = now();
  const isOver = sql<boolean>`request_windows.started_at <= ${at - hourMs}`;
  return db
    .insertInto('request_windows')
    .values({ actor_id: actorId, started_at: at, used: count })
    .onConflict((conflict) =>
      conflict
        .column('actor_id')
        .doUpdateSet({
          started_at: sql<number>`case when ${isOver} then excluded.started_at else request_windows.started_at end`,
          used: sql<number>`case when ${isOver} then 0 else request_windows.used end + excluded.used`,
        })
        .where(sql<boolean>`(${isOver} or request_windows.used + excluded.used <= ${limit})`),
    )
    .returning(['started_at', 'used'])
    .executeTakeFirst();
}

/** Rows of keys that have not asked for a day. Answers how many. */
export async function removeOldWindows({ db, now }: Platform, limit = 500): Promise<number> {
  const old = now() - 24 * hourMs;
  const rows = await db
    .deleteFrom('request_windows')
    .where('actor_id', 'in', (eb) =>
      eb.selectFrom('request_windows').select('actor_id').where('started_at', '<', old).limit(limit),
    )
    // Asked again: in between, the key may have begun another hour.
    .where('started_at', '<', old)
    .returning('actor_id')
    .execute();
  return rows.length;
}
