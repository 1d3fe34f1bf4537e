import type { Selectable } from 'kysely';
import {
  type ClusterAccess,
  parseCertificates,
  parseClusterToken,
  parseServer,
  refuseField,
} from './cluster-credentials.ts';
import { readKubeconfig } from './kubeconfig.ts';
import { isUuid } from './names.ts';
import type { ClusterRow } from './schema.ts';
import { parseDisplayName } from './slugs.ts';

/** Either a server with its token, or a kubeconfig: its parsed document, of which little is taken. */
export type ClusterAccessInput = {
  server?: string | undefined;
  caPem?: string | null | undefined;
  token?: string | undefined;
  kubeconfig?: unknown;
};

/** Throws `invalid` with the field at fault. */
export function parseAccess({ server, caPem, token, kubeconfig }: ClusterAccessInput): ClusterAccess {
  if (kubeconfig !== undefined) {
    const other = Object.entries({ server, caPem, token }).find(([, value]) => value !== undefined);
    if (other) refuseField(`/${other[0]}`, 'is given beside a kubeconfig: send one of the two');
    return readKubeconfig(kubeconfig);
  }
  return {
    server: parseServer(server ?? refuseField('/server', 'is missing'), '/server'),
    caPem: caPem ? parseCertificates(caPem, '/caPem') : null,
    credentials: { token: parseClusterToken(token ?? refuseField('/token', 'is missing'), '/token') },
  };
}

/** Paths take an id or a name, so a name must not look like an id. */
export function parseName(text: string): string {
  const name = parseDisplayName(text, 'cluster');
  return isUuid(name) ? refuseField('/name', 'must not have the form of a UUID') : name;
}

export const parsePool = (text: string) => (text.trim() === '' ? '' : parseDisplayName(text, 'cluster'));

/**
 * The access after a change; undefined: as it was. Credentials belong to the server they were given for: another server or
 * authority without new ones would send them to whoever is there, and is `invalid`.
 */
export function changedAccess(
  current: Selectable<ClusterRow>,
  { server, caPem, token, kubeconfig }: ClusterAccessInput,
): ClusterAccess | undefined {
  if (kubeconfig !== undefined) return parseAccess({ server, caPem, token, kubeconfig });
  if (token !== undefined) {
    return parseAccess({
      token,
      server: server ?? current.server,
      caPem: caPem === undefined ? current.ca_pem : caPem,
    });
  }
  const isSame =
    (server === undefined || parseServer(server, '/server') === current.server) &&
    (caPem === undefined || (caPem && parseCertificates(caPem, '/caPem')) === current.ca_pem);
  if (isSame) return undefined;
  return refuseField('/token', `is needed again: the stored one was given for ${current.server} and its authority`);
}
