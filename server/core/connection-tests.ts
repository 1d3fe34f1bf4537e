import { sql } from 'kysely';
import type { Actor } from './actors.ts';
import { recordAudit } from './audit.ts';
import { checkConnection } from './connection-check.ts';
import { tryReplacement } from './connection-replacements.ts';
import {
  changedMeanwhile,
  findConnectionRow,
  lockConnection,
  openSecret,
  type Row,
  toTarget,
} from './connection-rows.ts';
import { type ConnectionTest, insertTest, nextTestAt, toConnectionTest } from './connection-test-rows.ts';
import { type Page, type PageInput, readPage } from './page.ts';
import { requirePermission } from './permissions.ts';
import type { Platform } from './platform.ts';
import { transact } from './transact.ts';

/**
 * Tries what a pull would do, and keeps how it went. Whoever may see a connection may test it. A secret that waits to
 * replace the stored one is tried first. Throws `not_found`, `throttled`, `conflict` if it is changed meanwhile.
 */
export async function testConnection(
  platform: Platform,
  actor: Actor,
  input: { connection: string; projectId?: string | undefined },
): Promise<ConnectionTest> {
  requirePermission(actor, 'connections:test');
  const row = await findConnectionRow(platform, actor, input.connection, input.projectId);
  const test = await runTest(platform, actor, row, 'asked');
  const { passed, failedStep } = test;
  await recordAudit(platform, actor, {
    action: 'connection.test',
    target: toTarget(row),
    detail: { passed, failedStep },
  });
  return test;
}

/** Of many who ask at once, one asks the registry, and all are answered with what it said. */
export function runTest(
  platform: Platform,
  actor: Actor,
  row: Row,
  cause: 'asked' | 'scheduled',
): Promise<ConnectionTest> {
  const { runningTests } = platform.local;
  const key = `${row.id}/${row.version}/${row.sealed_replacement ?? ''}`;
  const running = runningTests.get(key);
  if (running) return running;
  const test = tryOne(platform, actor, row, cause).finally(() => runningTests.delete(key));
  runningTests.set(key, test);
  return test;
}

async function tryOne(
  platform: Platform,
  actor: Actor,
  row: Row,
  cause: 'asked' | 'scheduled',
): Promise<ConnectionTest> {
  const replaced = row.sealed_replacement === null ? undefined : await tryReplacement(platform, actor, row);
  if (replaced?.passed) return replaced;
  const opening = { username: row.username, secret: openSecret(platform, row) };
  const outcome = await checkConnection(platform, row, opening);
  const test = await transact(platform, async (platform) => {
    const current = await lockConnection(platform, row.id, row.slug);
    if (current.version !== row.version) throw changedMeanwhile();
    const status = outcome.passed ? 'passed' : 'failed';
    await platform.db
      .updateTable('connections')
      .set({ status, tested_at: platform.now(), test_due_at: nextTestAt(platform, outcome, current.status) })
      .where('id', '=', row.id)
      .execute();
    return insertTest(platform, { connectionId: row.id, cause, outcome });
  });
  noteChange(platform, row, test);
  return test;
}

/** For the operator's log; without what could be somebody's secret. */
function noteChange({ log }: Platform, row: Row, { passed, failedStep }: ConnectionTest): void {
  const fields = { connection: row.id, host: row.host };
  if (!passed && row.status === 'passed') log.warn({ ...fields, failedStep }, 'a connection fails its test');
  if (passed && row.status === 'failed') log.info(fields, 'a connection passes its test again');
}

/** Newest first. Older ones than the last hundred are not kept. */
export async function listConnectionTests(
  platform: Platform,
  actor: Actor,
  input: PageInput & { connection: string },
): Promise<Page<ConnectionTest>> {
  requirePermission(actor, 'connections:read');
  const { id } = await findConnectionRow(platform, actor, input.connection);
  const query = platform.db.selectFrom('connection_tests').selectAll().where('connection_id', '=', id);
  const byId = { sql: sql.ref('id'), type: 'text', of: (row: { id: string }) => row.id } as const;
  return readPage(query, { columns: [byId], descending: true }, input, toConnectionTest);
}
