// Northflank's words and forms of what it answers. Pure.

import type { Connection } from '#core/connection-rows.ts';
import type { Revealed } from '#core/connections.ts';
import { type Provider, providerRules } from '#core/providers.ts';
import type { HostCredentials } from '#core/upstream.ts';

export type ProjectSlugs = ReadonlyMap<string, string>;

export type ProviderWord = 'dockerhub' | 'gcr' | 'gcr-eu' | 'gcr-us' | 'gitlab' | 'github' | 'custom';

/** The words of the vendor's published page: what has none there is `custom`. */
const providerWords: Readonly<Record<Provider, ProviderWord>> = {
  dockerhub: 'dockerhub',
  ghcr: 'github',
  gcr: 'gcr',
  'artifact-registry': 'custom',
  ecr: 'custom',
  acr: 'custom',
  gitlab: 'gitlab',
  digitalocean: 'custom',
  quay: 'custom',
  oci: 'custom',
};

/** The places of Google's registry that have a word of their own. */
const gcrHosts: Readonly<Partial<Record<string, ProviderWord>>> = {
  'eu.gcr.io': 'gcr-eu',
  'us.gcr.io': 'gcr-us',
};

export function toProviderWord({ provider, host }: Pick<Connection, 'provider' | 'host'>): ProviderWord {
  return (provider === 'gcr' && gcrHosts[host]) || providerWords[provider];
}

/** Field by field what the vendor's page lists, and nothing beyond it. */
export function toListed(connection: Connection, slugs: ProjectSlugs) {
  const { slug, name, description, projectIds } = connection;
  return {
    id: slug,
    name,
    description,
    restrictions: {
      restricted: projectIds !== null,
      projects: (projectIds ?? []).flatMap((id) => slugs.get(id) ?? []),
    },
    provider: toProviderWord(connection),
  };
}

/** And what the newer generation of the API may add. */
export function toAdded(connection: Connection, slugs: ProjectSlugs) {
  const { url, awsRegion, createdAt, updatedAt } = connection;
  return {
    ...toListed(connection, slugs),
    registryUrl: url,
    ...(awsRegion !== null && { aws: { region: awsRegion } }),
    createdAt: new Date(createdAt).toISOString(),
    updatedAt: new Date(updatedAt).toISOString(),
  };
}

/** A key file is the password of `_json_key`, as Docker has it. `scope`: the newer generation wants it; we only pull. */
export function toRevealed({ connection, username, secret }: Revealed, slugs: ProjectSlugs) {
  const shown = toAdded(connection, slugs);
  if (secret === null) return shown;
  if (secret.kind === 'auths') return { ...shown, auths: toDockerAuths(secret.auths) };
  const password = secret.kind === 'password' ? secret.password : secret.keyFile;
  return { ...shown, credentials: { username, password, scope: { pull: true } } };
}

const { host: dockerHub, dockerConfigKey } = providerRules.dockerhub;

/** As under `auths` in a `config.json`, where Docker Hub is a URL. */
function toDockerAuths(auths: Readonly<Record<string, HostCredentials>>) {
  const entries = Object.entries(auths).map(([host, { username, password }]) => {
    const key = (dockerHub?.pattern.test(host) && dockerConfigKey) || host;
    return [key, { auth: Buffer.from(`${username}:${password}`).toString('base64') }];
  });
  return Object.fromEntries(entries);
}
