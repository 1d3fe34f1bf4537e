import { sql } from 'kysely';
import type { Actor } from './actors.ts';
import { recordAudit } from './audit.ts';
import { checkConnection } from './connection-check.ts';
import {
  changedMeanwhile,
  findConnectionRow,
  lockConnection,
  openSecret,
  type Row,
  toTarget,
} from './connection-rows.ts';
import { type ConnectionTest, insertTest, logChange, nextTestAt, toConnectionTest } from './connection-test-rows.ts';
import { type Noting, opensReplacement, tryReplacement } from './connection-trials.ts';
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
  const { test, isShared } = shareTest(platform, actor, row, 'asked');
  // With the test is stored that somebody had it made; that others got its answer comes after it.
  if (isShared) await noteTest(platform, actor, row, await test);
  return test;
}

/** Of many who ask at once, one asks the registry, and all are answered with what it said. */
export const runTest = (platform: Platform, actor: Actor, row: Row, cause: Cause): Promise<ConnectionTest> =>
  shareTest(platform, actor, row, cause).test;

type Cause = Exclude<ConnectionTest['cause'], 'replacement'>;

function shareTest(platform: Platform, actor: Actor, row: Row, cause: Cause) {
  const { runningTests } = platform.local;
  const key = `${row.id}/${row.version}/${row.sealed_replacement ?? ''}`;
  const running = runningTests.get(key);
  if (running) return { test: running, isShared: true };
  const test = tryOne(platform, actor, row, cause).finally(() => runningTests.delete(key));
  runningTests.set(key, test);
  return { test, isShared: false };
}

async function tryOne(platform: Platform, actor: Actor, row: Row, cause: Cause): Promise<ConnectionTest> {
  const note = async (platform: Platform, test: ConnectionTest) => {
    if (cause === 'asked') await noteTest(platform, actor, row, test);
  };
  const replaced = await tryWaiting(platform, actor, row, note);
  if (replaced?.passed) return replaced;
  const opening = { username: row.username, secret: openSecret(platform, row) };
  const outcome = await checkConnection(platform, row, opening);
  const test = await transact(platform, async (platform) => {
    const current = await lockConnection(platform, row.id, row.slug);
    if (current.version !== row.version) throw changedMeanwhile();
    const status = outcome.passed ? 'passed' : 'failed';
    await platform.db
      .updateTable('connections')
      .set({
        status,
        tested_at: platform.now(),
        // A registry that refuses or is not reached takes nothing back of what it said of the same secret.
        ...(outcome.passed && { credentials_expire_at: outcome.credentialsExpireAt }),
        test_due_at: nextTestAt(platform, outcome, current.status),
      })
      .where('id', '=', row.id)
      .execute();
    const test = await insertTest(platform, { connectionId: row.id, cause, outcome });
    await note(platform, test);
    return test;
  });
  logChange(platform, row, test);
  return test;
}

/** What waits to replace the stored secret, if anything does. One that cannot be opened keeps nobody from testing that. */
async function tryWaiting(
  platform: Platform,
  actor: Actor,
  row: Row,
  note: Noting,
): Promise<ConnectionTest | undefined> {
  if (row.sealed_replacement === null) return undefined;
  if (!opensReplacement(platform, row)) {
    platform.log.warn({ connection: row.id }, 'what waits to replace the secret of a connection cannot be opened');
    return undefined;
  }
  // Of one that fails only the test of the stored secret, which follows, is noted.
  return tryReplacement(platform, actor, row, async (platform, test) => {
    if (test.passed) await note(platform, test);
  });
}

function noteTest(platform: Platform, actor: Actor, row: Row, test: ConnectionTest): Promise<void> {
  const { passed, failedStep } = test;
  const detail = { passed, failedStep };
  return recordAudit(platform, actor, { action: 'connection.test', target: toTarget(row), detail });
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
