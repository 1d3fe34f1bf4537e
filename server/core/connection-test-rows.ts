import { type Selectable, sql } from 'kysely';
import type { CheckOutcome } from './connection-check.ts';
import { newId } from './ids.ts';
import type { Platform } from './platform.ts';
import type { ConnectionRow, ConnectionTestRow } from './schema.ts';
import { upstreamSteps } from './upstream.ts';

/** How a connection stood once. */
export type ConnectionTest = CheckOutcome & {
  id: string;
  connectionId: string;
  /** `changed`: it was made or changed. `replacement`: what was tried is the secret that shall replace the stored one. */
  cause: ConnectionTestRow['cause'];
  testedAt: number;
};

const keptPerConnection = 100;
const retryFirstMs = 15 * 60_000;
const retryMs = 60 * 60_000;

export async function insertTest(
  { db, now }: Platform,
  { connectionId, cause, outcome }: { connectionId: string; cause: ConnectionTest['cause']; outcome: CheckOutcome },
): Promise<ConnectionTest> {
  const row = await db
    .insertInto('connection_tests')
    .values({
      id: newId(),
      connection_id: connectionId,
      cause,
      passed: outcome.passed ? 1 : 0,
      failed_step: outcome.failedStep,
      message: outcome.message,
      steps: JSON.stringify(outcome.steps),
      latency_ms: outcome.latencyMs,
      rate_limit: outcome.rateLimit && JSON.stringify(outcome.rateLimit),
      credentials_expire_at: outcome.credentialsExpireAt,
      created_at: now(),
    })
    .returningAll()
    .executeTakeFirstOrThrow();
  await db
    .deleteFrom('connection_tests')
    .where('connection_id', '=', connectionId)
    .where(
      sql<boolean>`id <= (select t.id from connection_tests t where t.connection_id = ${connectionId}
        order by t.id desc limit 1 offset ${sql.lit(keptPerConnection)})`,
    )
    .execute();
  return toConnectionTest(row);
}

export function toConnectionTest(row: Selectable<ConnectionTestRow>): ConnectionTest {
  return {
    id: row.id,
    connectionId: row.connection_id,
    cause: row.cause,
    passed: row.passed === 1,
    failedStep: upstreamSteps.find((step) => step === row.failed_step) ?? null,
    message: row.message,
    steps: JSON.parse(row.steps),
    latencyMs: row.latency_ms,
    rateLimit: row.rate_limit === null ? null : JSON.parse(row.rate_limit),
    credentialsExpireAt: row.credentials_expire_at,
    testedAt: row.created_at,
  };
}

/**
 * When it is tried again: with some spread, so that what was made together is not tried together for ever. A registry
 * that could not be reached was told no password, so it is asked again soon.
 */
export function nextTestAt(
  { config, now }: Platform,
  { failedStep }: CheckOutcome,
  before: ConnectionRow['status'],
): number {
  const interval = config.connectionCheckIntervalMs ?? 0;
  const isUnreached = failedStep === 'reach' || failedStep === 'tls';
  const waitMs = isUnreached ? Math.min(interval, before === 'failed' ? retryMs : retryFirstMs) : interval;
  return Math.round(now() + waitMs * (0.9 + Math.random() / 5));
}

/** For the operator; without what could be somebody's secret. */
export function logChange(
  { log }: Platform,
  before: Pick<Selectable<ConnectionRow>, 'id' | 'host' | 'status'>,
  { passed, failedStep }: ConnectionTest,
): void {
  const fields = { connection: before.id, host: before.host };
  if (!passed && before.status === 'passed') log.warn({ ...fields, failedStep }, 'a connection fails its test');
  if (passed && before.status === 'failed') log.info(fields, 'a connection passes its test again');
}
