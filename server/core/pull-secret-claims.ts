// What the connections of a project put into its pull secret.

import type { Actor } from './actors.ts';
import { openSecret, type Row, toProvider, visibleConnections } from './connection-rows.ts';
import { toUpstreamTargets } from './connection-targets.ts';
import type { ConnectionTest } from './connection-test-rows.ts';
import { Failure } from './failure.ts';
import type { Platform } from './platform.ts';
import { providerRules } from './providers.ts';
import type { PullSecretClaim } from './pull-secret-entries.ts';
import { isUpstreamFault, type UpstreamFault, type UpstreamLogin, type UpstreamStep } from './upstream.ts';

/** While they are read and written down nobody else writes on SQLite; and more fit into no Kubernetes Secret. */
const usableMax = 1000;

const usable = (platform: Platform, actor: Actor, projectId: string) =>
  visibleConnections(platform, actor, projectId)
    .where('sealed_secret', 'is not', null)
    .orderBy('id')
    .limit(usableMax + 1);

/** The connections with a secret that the project may use, oldest first; one more than `usableMax` if there are more. */
export const listUsable = (platform: Platform, actor: Actor, projectId: string): Promise<Row[]> =>
  usable(platform, actor, projectId).execute();

/**
 * As `listUsable`; deletions, changes and new restrictions of them wait for the end of the transaction. What came between
 * the lock and the list is not among them: nothing would keep it from ending meanwhile.
 */
export async function lockUsable(platform: Platform, actor: Actor, projectId: string): Promise<Row[]> {
  const locked = await platform.db
    .updateTable('connections')
    .set((eb) => ({ name: eb.ref('name') }))
    .where('id', 'in', usable(platform, actor, projectId).clearSelect().select('id'))
    .returning('id')
    .execute();
  const ids = new Set(locked.map(({ id }) => id));
  return (await listUsable(platform, actor, projectId)).filter(({ id }) => ids.has(id));
}

/** What providers gave for stored keys, by the version of the connection that they were asked for. */
export type Logins = ReadonlyMap<string, UpstreamLogin | UpstreamFault>;

const askedAtOnce = 10;
const beginWithinMs = 15_000;

/**
 * Asks the providers that take no stored secret for pulls, but a token that is made of it. Not in a transaction: it takes
 * as long as they do, and where many of them are slow the last are not asked any more.
 */
export async function requestLogins(
  platform: Platform,
  rows: readonly Row[],
  withinMs = beginWithinMs,
): Promise<Logins> {
  const lastStart = performance.now() + withinMs;
  const logins = new Map<string, UpstreamLogin | UpstreamFault>();
  const waiting = rows.slice(0, usableMax).filter(needsLogin).values();
  const askInTurn = async () => {
    for (const row of waiting) {
      if (performance.now() > lastStart) return;
      const [target] = openTargets(platform, row) ?? [];
      if (target) logins.set(versionOf(row), await platform.upstream.logIn(target));
    }
  };
  await Promise.all(Array.from({ length: askedAtOnce }, askInTurn));
  return logins;
}

const needsLogin = ({ provider }: Row) => providerRules[toProvider(provider)].secret === 'aws';
const versionOf = ({ id, version }: Row) => `${id}/${version}`;

type Claimed = { claims: PullSecretClaim[]; warnings: string[] };

/** A connection that gives nothing now is a warning and keeps nothing from the others. */
export function claimConnections(
  platform: Platform,
  rows: readonly Row[],
  logins: Logins,
  lastTests: ReadonlyMap<string, ConnectionTest> = new Map(),
): Claimed {
  const claimed: Claimed = { claims: [], warnings: rows.length > usableMax ? [tooMany] : [] };
  for (const row of rows.slice(0, usableMax)) {
    const claims = claimConnection(platform, row, logins);
    if (typeof claims === 'string') {
      claimed.warnings.push(`Connection ${row.slug} is left out: ${claims}`);
      continue;
    }
    claimed.claims.push(...claims);
    const refused = describeRefusal(lastTests.get(row.id));
    if (refused !== undefined) claimed.warnings.push(`Connection ${row.slug} ${refused}`);
    if (row.credentials_expire_at === null || row.credentials_expire_at > platform.now()) continue;
    const end = new Date(row.credentials_expire_at).toISOString();
    claimed.warnings.push(
      `What connection ${row.slug} has stored ended at ${end}, its registry says. Enter a new secret.`,
    );
  }
  return claimed;
}

/** What a pull would meet, too; a registry that was not reached may be there for whoever pulls. */
const refusingSteps: readonly (UpstreamStep | null)[] = ['registry', 'challenge', 'token'];

function describeRefusal(test: ConnectionTest | undefined): string | undefined {
  if (!test || test.passed || !refusingSteps.includes(test.failedStep)) return undefined;
  return `failed its last test at ${new Date(test.testedAt).toISOString()}: ${test.message}`;
}

const tooMany = `The project may use more than ${usableMax} connections: all but the oldest ${usableMax} are left out. Restrict some to other projects.`;

/** A sentence that says why there are none. */
function claimConnection(platform: Platform, row: Row, logins: Logins): PullSecretClaim[] | string {
  const source = { kind: 'connection', id: row.id, slug: row.slug } as const;
  const targets = openTargets(platform, row);
  if (!targets) return 'its stored secret cannot be opened. Enter it again.';
  const own = (host: string, namespace: string) => ({ source, host, namespace, expiresAt: row.credentials_expire_at });
  if (!needsLogin(row)) {
    return targets.map(({ host, namespace, credentials }) => ({ ...own(host, namespace), credentials }));
  }
  const login = logins.get(versionOf(row));
  if (!login) return 'its token was not there in time, or it was changed meanwhile. Fetch the pull secret again.';
  if (isUpstreamFault(login)) return login.message;
  const { expiresAt, ...credentials } = login;
  return [{ ...own(row.host, row.namespace), credentials, expiresAt: expiresAt ?? row.credentials_expire_at }];
}

/** Undefined where the secret does not open: one damaged row is no reason to hand out nothing. */
function openTargets(platform: Platform, row: Row) {
  try {
    const opening = { username: row.username, secret: openSecret(platform, row) };
    return toUpstreamTargets(row, opening).flatMap(({ credentials, ...target }) =>
      credentials ? [{ ...target, credentials }] : [],
    );
  } catch (error) {
    if (error instanceof Failure) return undefined;
    throw error;
  }
}
