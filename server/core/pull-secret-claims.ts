// What the connections of a project put into its pull secret.

import { openSecret, type Row } from './connection-rows.ts';
import { readPlace } from './connection-url.ts';
import { Failure } from './failure.ts';
import type { Platform } from './platform.ts';
import { type Provider, providerRules } from './providers.ts';
import type { PullSecretClaim } from './pull-secret-entries.ts';
import type { ConnectionSecret, HostCredentials, UpstreamFault, UpstreamLogin } from './upstream.ts';
import { isUpstreamFault } from './upstream.ts';

/** What providers gave for stored keys, by the version of the connection that they were asked for. */
export type Logins = ReadonlyMap<string, UpstreamLogin | UpstreamFault>;

const atOnce = 10;

/**
 * Asks the providers that take no stored secret for pulls, but a token that is made of it. Not in a transaction: it takes
 * as long as they do.
 */
export async function requestLogins(platform: Platform, rows: readonly Row[]): Promise<Logins> {
  const wanting = rows.filter(needsLogin);
  const logins = new Map<string, UpstreamLogin | UpstreamFault>();
  const work = wanting.values();
  const askInTurn = async () => {
    for (const row of work) {
      const credentials = toCredentials(row, openOrUndefined(platform, row));
      if (credentials) logins.set(versionOf(row), await platform.upstream.logIn(toTarget(row, credentials)));
    }
  };
  await Promise.all(Array.from({ length: atOnce }, askInTurn));
  return logins;
}

const needsLogin = ({ provider }: Row) => providerRules[provider as Provider].secret === 'aws';
const versionOf = ({ id, version }: Row) => `${id}/${version}`;

function toTarget(row: Row, credentials: HostCredentials) {
  return {
    provider: row.provider as Provider,
    scheme: readPlace(row.url).scheme,
    host: row.host,
    namespace: row.namespace,
    credentials,
    tokenHost: row.token_host,
    awsRegion: row.aws_region,
  };
}

type Claimed = { claims: PullSecretClaim[]; warnings: string[] };

/** Oldest first. A connection that gives nothing now is a warning and keeps nothing from the others. */
export function claimConnections(platform: Platform, rows: readonly Row[], logins: Logins): Claimed {
  const claimed: Claimed = { claims: [], warnings: [] };
  for (const row of rows) {
    const claims = claimConnection(platform, row, logins);
    if (typeof claims === 'string') claimed.warnings.push(`Connection ${row.slug} is left out: ${claims}`);
    else claimed.claims.push(...claims);
  }
  return claimed;
}

/** A sentence that says why there are none. */
function claimConnection(platform: Platform, row: Row, logins: Logins): PullSecretClaim[] | string {
  const source = { kind: 'connection', id: row.id, slug: row.slug } as const;
  if (needsLogin(row)) {
    const login = logins.get(versionOf(row));
    if (!login) return 'it was changed while its token was fetched. Fetch the pull secret again.';
    if (isUpstreamFault(login)) return login.message;
    const { expiresAt, ...credentials } = login;
    return [{ source, host: row.host, namespace: row.namespace, credentials, expiresAt }];
  }
  const secret = openOrUndefined(platform, row);
  if (secret === undefined) return 'its stored secret cannot be opened. Enter it again.';
  if (secret?.kind === 'auths') {
    return Object.entries(secret.auths).map(([host, credentials]) => {
      // The namespace is below the connection's own host, of which nothing is known elsewhere.
      return { source, host, namespace: host === row.host ? row.namespace : '', credentials, expiresAt: null };
    });
  }
  const credentials = toCredentials(row, secret);
  return credentials ? [{ source, host: row.host, namespace: row.namespace, credentials, expiresAt: null }] : [];
}

function toCredentials(row: Row, secret: ConnectionSecret | null | undefined): HostCredentials | undefined {
  if (secret?.kind === 'password') return { username: row.username, password: secret.password };
  if (secret?.kind === 'key_file') return { username: '_json_key', password: secret.keyFile };
  return undefined;
}

/** One damaged row is no reason to hand out nothing. */
function openOrUndefined(platform: Platform, row: Row): ConnectionSecret | null | undefined {
  try {
    return openSecret(platform, row);
  } catch (error) {
    if (error instanceof Failure) return undefined;
    throw error;
  }
}
