// Paperspace's words and forms. Pure.

import type { Connection } from '#core/connection-rows.ts';
import type { ConnectionTest } from '#core/connection-test-rows.ts';
import { Failure } from '#core/failure.ts';
import type { Provider } from '#core/providers.ts';

/** RFC 3339, in UTC. */
export const toTime = (ms: number): string => new Date(ms).toISOString();

const kinds: Readonly<Record<Provider, string>> = {
  dockerhub: 'dockerhub',
  ghcr: 'ghcr',
  gcr: 'gcr',
  'artifact-registry': 'gcr',
  ecr: 'other',
  acr: 'azure',
  gitlab: 'other',
  digitalocean: 'digitalocean',
  quay: 'other',
  oci: 'other',
};

/** What a kind may be here. The first is what nothing more is known of. */
const providersOfKinds: Readonly<Record<string, readonly Provider[]>> = {
  other: ['oci', 'ecr', 'gitlab', 'quay'],
  dockerhub: ['dockerhub'],
  gcr: ['gcr', 'artifact-registry'],
  ghcr: ['ghcr'],
  digitalocean: ['digitalocean'],
  azure: ['acr'],
};

/** Throws `invalid` that names the kinds there are. */
export function fromKind(kind: string): readonly Provider[] {
  const providers = Object.hasOwn(providersOfKinds, kind) ? providersOfKinds[kind] : undefined;
  if (providers) return providers;
  const said = `must be one of ${Object.keys(providersOfKinds).join(', ')}`;
  throw new Failure('invalid', `kind ${said}.`, { about: 'connection', fields: { '/kind': said } });
}

/** As the vendor's own documentation has it. */
export function toContainerRegistry(connection: Connection) {
  const { id, name, namespace, provider, url, username, createdAt, updatedAt } = connection;
  return {
    dtCreated: toTime(createdAt),
    dtModified: toTime(updatedAt),
    id,
    kind: kinds[provider],
    name,
    namespace,
    url,
    username,
  };
}

/** As in the description on APIs.io. */
export function toApisioRegistry({ id, name, url, username, teamId, createdAt }: Connection) {
  return { id, name, url, username, teamId, dtCreated: toTime(createdAt) };
}

/** A registry that refuses is a result, with status 200. */
export const toTestResult = ({ passed, message }: ConnectionTest) =>
  passed ? { success: true } : { success: false, error: message };

export const toApisioTestResult = ({ passed, message }: ConnectionTest) => ({ success: passed, message });
