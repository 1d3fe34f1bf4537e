import { setTimeout as delay } from 'node:timers/promises';
import { Failure } from './failure.ts';
import type { Platform } from './platform.ts';

const maxAttempts = 8;
/** A server that is restarted ends each connection once; one that goes on doing so has another trouble. */
const maxLosses = 2;

/**
 * Runs `work` in one transaction, with a platform whose `db` is that transaction and whose `now` stands still. The
 * parameter shadows the caller's platform on purpose: the outer `db` would deadlock on SQLite and escape the rollback on
 * Postgres. Inside happens nothing but database work, so that a deadlock, a lost serialization or a connection that ended
 * before the commit was sent may be tried again. Where the commit was sent and its answer was lost, nobody knows whether it
 * happened: that is `unavailable`, and the client's own question or repetition finds out. Inside another transaction it
 * simply joins it.
 */
export async function transact<T>(platform: Platform, work: (platform: Platform) => Promise<T>): Promise<T> {
  if (platform.db.isTransaction) return work(platform);
  let losses = 0;
  for (let attempt = 1; ; attempt++) {
    const now = platform.now();
    try {
      return await platform.db.transaction().execute((db) => work({ ...platform, db, now: () => now }));
    } catch (error) {
      const code = (error as { code?: unknown }).code;
      if (code === lockTimeout) throw busy();
      const isUndone = (error as { isUndone?: unknown }).isUndone === true && ++losses <= maxLosses;
      if (!isRetryable(code) && !isUndone) throw error;
      if (attempt === maxAttempts) throw busy();
      await delay(Math.random() * 20 * attempt);
    }
  }
}

// Postgres' SQLSTATE: deadlock detected, serialization failure; lock not available.
const isRetryable = (code: unknown) => code === '40P01' || code === '40001';
const lockTimeout = '55P03';

function busy(): Failure {
  return new Failure('unavailable', 'The database is busy with other changes to the same rows. Try again.', {
    retryAfterSeconds: 1,
  });
}
