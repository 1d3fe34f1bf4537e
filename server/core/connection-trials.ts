// The test of what waits to replace a stored secret, which takes its place by passing.

import type { Actor } from './actors.ts';
import { recordAudit } from './audit.ts';
import { type CheckOutcome, checkConnection, type Opening } from './connection-check.ts';
import {
  changedMeanwhile,
  lockConnection,
  openReplacement,
  openSecret,
  type Row,
  sealSecret,
  secretContext,
  toTarget,
} from './connection-rows.ts';
import { type ConnectionTest, insertTest, logChange, nextTestAt, toConnectionTest } from './connection-test-rows.ts';
import { Failure } from './failure.ts';
import type { Platform } from './platform.ts';
import { transact } from './transact.ts';
import type { ConnectionSecret } from './upstream.ts';

/** Written together with the test. */
export type Noting = (platform: Platform, test: ConnectionTest) => Promise<void>;

/** Whether what waits can be opened: its master key may be lost. */
export function opensReplacement(platform: Platform, row: Row): boolean {
  try {
    return openReplacement(platform, row) !== null;
  } catch (error) {
    if (error instanceof Failure) return false;
    throw error;
  }
}

/**
 * Tests what waits, and has it take the place of the stored secret if it passes. Where another test of it had it do so
 * meanwhile, that one is the answer. Throws `conflict` if the connection was changed, or something else staged, meanwhile.
 */
export async function tryReplacement(
  platform: Platform,
  actor: Actor,
  row: Row,
  note: Noting,
): Promise<ConnectionTest> {
  const secret = openReplacement(platform, row);
  if (!secret) throw changedMeanwhile();
  const opening = { username: row.replacement_username ?? '', secret };
  const outcome = await checkConnection(platform, row, opening);
  const { current, test } = await transact(platform, async (platform) => {
    const current = await lockConnection(platform, row.id, row.slug);
    const taken = await findTaking(platform, row, current, opening);
    if (!taken && (current.version !== row.version || !isStaged(platform, current, opening))) throw changedMeanwhile();
    if (!taken && outcome.passed) await takePlace(platform, actor, current, { opening, outcome });
    const test = taken ?? (await insertTest(platform, { connectionId: row.id, cause: 'replacement', outcome }));
    await note(platform, test);
    return { current, test };
  });
  // One that fails says nothing of the stored secret.
  if (test.passed) logChange(platform, current, test);
  return test;
}

/** The test with which this very secret took its place meanwhile: two may try it at once, in different processes too. */
async function findTaking(
  platform: Platform,
  row: Row,
  current: Row,
  { username, secret }: Opening,
): Promise<ConnectionTest | undefined> {
  const isNext = current.version === row.version + 1 && current.status === 'passed' && current.username === username;
  if (!isNext || JSON.stringify(openSecret(platform, current)) !== JSON.stringify(secret)) return undefined;
  const last = await platform.db
    .selectFrom('connection_tests')
    .selectAll()
    .where('connection_id', '=', row.id)
    .orderBy('id', 'desc')
    .limit(1)
    .executeTakeFirst();
  return last?.cause === 'replacement' && last.passed === 1 ? toConnectionTest(last) : undefined;
}

async function takePlace(
  platform: Platform,
  actor: Actor,
  current: Row,
  { opening, outcome }: { opening: Opening & { secret: ConnectionSecret }; outcome: CheckOutcome },
): Promise<void> {
  await platform.db
    .updateTable('connections')
    .set({
      username: opening.username,
      sealed_secret: sealSecret(platform, secretContext(current.id), opening.secret),
      replacement_username: null,
      sealed_replacement: null,
      version: current.version + 1,
      status: 'passed',
      tested_at: platform.now(),
      credentials_expire_at: outcome.credentialsExpireAt,
      test_due_at: nextTestAt(platform, outcome, current.status),
      updated_at: platform.now(),
    })
    .where('id', '=', current.id)
    .execute();
  const detail = { username: opening.username };
  await recordAudit(platform, actor, { action: 'connection.replace', target: toTarget(current), detail });
}

/** Whether what was tested is still what waits. It is opened for that: another master key may have sealed it meanwhile. */
function isStaged(platform: Platform, current: Row, { username, secret }: Opening): boolean {
  const staged = openReplacement(platform, current);
  return current.replacement_username === username && JSON.stringify(staged) === JSON.stringify(secret);
}
