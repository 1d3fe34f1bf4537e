import { sql } from 'kysely';
import type { Platform } from './platform.ts';
import type { ConnectionRow } from './schema.ts';

/** What an operator watches, counted in tables that stay small however many bytes are stored. */
export type Measurements = {
  registries: number;
  /** Whose collection or deletion was given up; their state says why. */
  registriesFailed: number;
  /** Sum of the sizes of all registries; bytes that two share count twice. */
  sizeBytes: number;
  reservedBytes: number;
  uploads: number;
  operationsQueued: number;
  operationsRunning: number;
  /** Since the oldest of those that wait was asked for; 0 where none waits. */
  operationsOldestSeconds: number;
  /** Objects that nothing needs and that are not removed yet. */
  removalsWaiting: number;
  /** Of these, what should have been gone ten minutes ago. */
  removalsOverdue: number;
  /** By how their last test went. */
  connections: Readonly<Record<ConnectionRow['status'], number>>;
  /** What they have stored ends soon, or has ended. */
  connectionsExpiring: number;
};

const overdueMs = 10 * 60_000;
const soonMs = 7 * 24 * 60 * 60_000;

export async function measure({ db, scans, now }: Platform): Promise<Measurements> {
  const registries = await db
    .selectFrom('registries')
    .select(({ fn }) => [
      fn.countAll().as('count'),
      fn.count('status_reason').as('failed'),
      fn.sum('size').as('size'),
      fn.sum('reserved').as('reserved'),
    ])
    .executeTakeFirstOrThrow();
  const uploads = await db.selectFrom('uploads').select(count).executeTakeFirstOrThrow();
  const operations = await db
    .selectFrom('operations')
    .select(({ fn }) => ['state', count, fn.min('created_at').as('oldest')])
    .where('state', 'in', ['queued', 'running'])
    .groupBy('state')
    .execute();
  const removals = await db
    .selectFrom('objects')
    .select([count, overdue(now() - overdueMs)])
    .where('state', '=', sql.lit<'doomed'>('doomed'))
    .executeTakeFirstOrThrow();
  // A team may have ten thousand of these.
  const connections = await scans
    .selectFrom('connections')
    .select(['status', count, expiring(now() + soonMs)])
    .groupBy('status')
    .execute();
  const connectionsOf = (status: string) => Number(connections.find((row) => row.status === status)?.count ?? 0);
  const operationsIn = (state: string) => Number(operations.find((row) => row.state === state)?.count ?? 0);
  const oldest = operations.find((row) => row.state === 'queued')?.oldest;
  return {
    registries: Number(registries.count),
    registriesFailed: Number(registries.failed),
    sizeBytes: Number(registries.size ?? 0),
    reservedBytes: Number(registries.reserved ?? 0),
    uploads: Number(uploads.count),
    operationsQueued: operationsIn('queued'),
    operationsRunning: operationsIn('running'),
    operationsOldestSeconds: oldest === undefined ? 0 : Math.max(0, now() - Number(oldest)) / 1000,
    removalsWaiting: Number(removals.count),
    removalsOverdue: Number(removals.overdue),
    connections: {
      untested: connectionsOf('untested'),
      passed: connectionsOf('passed'),
      failed: connectionsOf('failed'),
    },
    connectionsExpiring: connections.reduce((sum, { expiring }) => sum + Number(expiring), 0),
  };
}

const count = sql<number>`count(*)`.as('count');

const overdue = (before: number) => sql<number>`count(case when remove_after <= ${before} then 1 end)`.as('overdue');

const expiring = (before: number) =>
  sql<number>`count(case when credentials_expire_at <= ${before} then 1 end)`.as('expiring');
