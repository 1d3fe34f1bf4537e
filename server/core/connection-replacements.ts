// Replacing a secret without a moment in which the new one is stored and does not work: it is staged, tested, and takes
// the place of the old one only if it has passed. Until then the old one is what tests try and pull secrets carry. One
// that failed stays staged and is tried again before each test of the connection. Whatever else changes where the
// connection leads, or what opens it, ends it: it was given for what is no longer so.

import type { Actor } from './actors.ts';
import { recordAudit } from './audit.ts';
import { lockForChange } from './connection-changes.ts';
import { nothingWaits } from './connection-last-tests.ts';
import {
  type Connection,
  findConnectionRow,
  openSecret,
  type Row,
  readProjects,
  replacementContext,
  sealSecret,
  toProvider,
  toSeen,
  toTarget,
} from './connection-rows.ts';
import { parseSecret, type SecretInput } from './connection-secrets.ts';
import type { ConnectionTest } from './connection-test-rows.ts';
import { tryReplacement } from './connection-trials.ts';
import { refuseConnection } from './connection-url.ts';
import { requirePermission } from './permissions.ts';
import type { Platform } from './platform.ts';
import { transact } from './transact.ts';

export type ReplacementInput = SecretInput & {
  connection: string;
  /** Id of a project: it must be the only one that may use the connection. */
  projectId?: string | undefined;
};

export type Replacement = {
  /** As it is now: `hasReplacement` if the test failed. */
  connection: Connection;
  /** The user name that was given, or kept. */
  username: string;
  test: ConnectionTest;
};

/**
 * Tests a new secret and has it take the place of the stored one if it passes; a failed one waits. One that waited is
 * forgotten. Throws `not_found`, `denied`, `invalid`, `throttled`, and `conflict` if the connection is changed meanwhile.
 */
export async function stageReplacement(
  platform: Platform,
  actor: Actor,
  input: ReplacementInput,
): Promise<Replacement> {
  requirePermission(actor, 'connections:update');
  const staged = await transact(platform, async (platform) => {
    const { row: current } = await lockForChange(platform, actor, input);
    const { username, secret } = parseReplacement(platform, current, input);
    const row = await platform.db
      .updateTable('connections')
      .set({
        replacement_username: username,
        sealed_replacement: sealSecret(platform, replacementContext(current.id), secret),
      })
      .where('id', '=', current.id)
      .returningAll()
      .executeTakeFirstOrThrow();
    const detail = { username, replacementDiscarded: current.sealed_replacement !== null };
    await recordAudit(platform, actor, { action: 'connection.stage', target: toTarget(row), detail });
    return row;
  });
  const test = await tryReplacement(platform, actor, staged, (platform, { cause, passed, failedStep }) => {
    const detail = { cause, passed, failedStep, replaced: passed };
    return recordAudit(platform, actor, { action: 'connection.test', target: toTarget(staged), detail });
  });
  const row = await findConnectionRow(platform, actor, staged.id);
  const projects = await readProjects(platform, [row.id]);
  return {
    connection: toSeen(actor, row, projects.get(row.id)),
    username: staged.replacement_username ?? '',
    test,
  };
}

function parseReplacement(platform: Platform, current: Row, input: SecretInput) {
  const kept = input.auths === undefined ? current.username : undefined;
  const { username, secret } = parseSecret(toProvider(current.provider), {
    password: input.password,
    keyFile: input.keyFile,
    auths: input.auths,
    username: input.username ?? kept,
  });
  if (secret === null) return refuseConnection('password', 'is missing: a replacement is a new secret');
  if (secret.kind === 'auths') requireKnownHosts(platform, current, Object.keys(secret.auths));
  return { username, secret };
}

/** A replacement goes where the stored secret goes. */
function requireKnownHosts(platform: Platform, current: Row, hosts: readonly string[]): void {
  const stored = openSecret(platform, current);
  const known = stored?.kind === 'auths' ? Object.keys(stored.auths) : [current.host];
  if (!hosts.includes(current.host)) refuseConnection('auths', `must have ${current.host}, where the connection leads`);
  if (hosts.every((host) => known.includes(host))) return;
  refuseConnection('auths', 'must name no hosts but those that the connection leads to');
}

/** The stored secret stays. Throws `not_found` where nothing waits, too. */
export async function discardReplacement(
  platform: Platform,
  actor: Actor,
  input: Pick<ReplacementInput, 'connection' | 'projectId'>,
): Promise<void> {
  requirePermission(actor, 'connections:update');
  await transact(platform, async (platform) => {
    const { row } = await lockForChange(platform, actor, input);
    if (row.sealed_replacement === null) throw nothingWaits();
    await platform.db
      .updateTable('connections')
      .set({ replacement_username: null, sealed_replacement: null })
      .where('id', '=', row.id)
      .execute();
    await recordAudit(platform, actor, { action: 'connection.discard', target: toTarget(row) });
  });
}
