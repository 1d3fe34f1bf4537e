import type { Opening } from './connection-check.ts';
import { type Row, toConnection } from './connection-rows.ts';
import { readPlace } from './connection-url.ts';
import type { HostCredentials, UpstreamTarget } from './upstream.ts';

/**
 * The registries that a connection leads to, as they are to be spoken to: one, or each host of Docker `auths`. What was
 * said of the connection's own host (plain http, its token service, its namespace) holds for no other.
 */
export function toUpstreamTargets(row: Row, { username, secret }: Opening): UpstreamTarget[] {
  const { provider, host, namespace, awsRegion, tokenHost } = toConnection(row, []);
  const { scheme } = readPlace(row.url);
  const own = { provider, scheme, host, namespace, tokenHost, awsRegion };
  if (secret?.kind !== 'auths') return [{ ...own, credentials: toCredentials({ username, secret }) }];
  return Object.entries(secret.auths).map(([name, credentials]) =>
    name === host
      ? { ...own, credentials }
      : { provider, scheme: 'https', host: name, namespace: '', tokenHost: null, awsRegion: null, credentials },
  );
}

function toCredentials({ username, secret }: Opening): HostCredentials | null {
  if (secret === null || secret.kind === 'auths') return null;
  if (secret.kind === 'key_file') return { username, password: secret.keyFile };
  return { username: secret.username ?? username, password: secret.password };
}
