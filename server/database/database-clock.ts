import { type Kysely, sql } from 'kysely';
import type { Schema } from '#core/schema.ts';

const measureEveryMs = 10_000;

export type DatabaseClock = {
  now: () => number;
  measure(): Promise<void>;
  /** Measures again and again, until `stop`. */
  start(): void;
  stop(): void;
};

/**
 * The local clock, corrected by its distance to the database's: leases and claims made by one replica are compared by
 * others, and a replica whose clock runs ahead would end all of them early.
 */
export function newDatabaseClock(db: Kysely<Schema>): DatabaseClock {
  let distanceMs = 0;
  let timer: NodeJS.Timeout | undefined;

  async function measure(): Promise<void> {
    const before = Date.now();
    const { rows } = await sql<{ now: number }>`
      select cast(extract(epoch from clock_timestamp()) * 1000 as bigint) as now`.execute(db);
    const after = Date.now();
    // The answer was made some time between the two; half way is wrong by half the round trip at most.
    if (rows[0]) distanceMs = Math.round(rows[0].now - (before + after) / 2);
  }

  return {
    now: () => Date.now() + distanceMs,
    measure,
    start() {
      // While the database is away the last distance is the best one known.
      timer = setInterval(() => void measure().catch(() => {}), measureEveryMs).unref();
    },
    stop: () => clearInterval(timer),
  };
}
