// One Secret of ours in one namespace, made so or taken away. Whatever is there without our label is somebody else's.

import type { ClusterFault, Secret, SecretCall, SecretContent } from './cluster-api.ts';
import { createSecret, deleteSecret, isClusterFault, readSecret, replaceSecret } from './cluster-api.ts';
import type { Platform } from './platform.ts';

const managedLabel = 'lading.dev/managed';
const registryLabel = 'lading.dev/registry';

type DockerLogin = { registry: { id: string; name: string }; host: string; secret: string };

/**
 * Kubernetes takes the longest key that an image's name begins with, so two registries of one host can both have a Secret
 * in a namespace; whoever mounts it as Docker's config.json looks for the host alone.
 */
export function toSecretContent({ registry, host, secret }: DockerLogin): SecretContent {
  const login = { username: 'token', password: secret, auth: toBase64(`token:${secret}`) };
  const config = { auths: { [host]: login, [`${host}/${registry.name}`]: login } };
  return {
    labels: { [managedLabel]: 'true', [registryLabel]: registry.id },
    type: 'kubernetes.io/dockerconfigjson',
    data: { '.dockerconfigjson': toBase64(JSON.stringify(config)) },
  };
}

const toBase64 = (text: string) => Buffer.from(text, 'utf8').toString('base64');

const attempts = 3;

type Application = SecretCall & {
  content: SecretContent;
  registryId: string;
  /** Asked before a Secret of ours can be there; a no ends it. */
  willHold: () => Promise<boolean>;
};

/** Undefined when the Secret is as it shall be. One that is so already is not written again. */
export async function applySecret(platform: Platform, at: Application): Promise<ClusterFault | undefined> {
  return unlessOvertaken(async () => {
    const read = await readSecret(platform, at);
    if (isClusterFault(read)) return read;
    if (read && !isOurs(read, at.registryId)) return foreign(at);
    if (!(await at.willHold())) return overtaken;
    if (!read) return createSecret(platform, at);
    return isAsWanted(read, at.content) ? undefined : replaceSecret(platform, { ...at, read });
  });
}

/** Undefined when nothing of ours is there. */
export async function withdrawSecret(
  platform: Platform,
  at: SecretCall & { registryId: string },
): Promise<ClusterFault | undefined> {
  return unlessOvertaken(async () => {
    const read = await readSecret(platform, at);
    if (isClusterFault(read)) return read;
    return read && isOurs(read, at.registryId) ? deleteSecret(platform, { ...at, read }) : undefined;
  });
}

/** 409: somebody made or changed it between our reading and our writing. */
async function unlessOvertaken(step: () => Promise<ClusterFault | undefined>): Promise<ClusterFault | undefined> {
  for (let attempt = 1; ; attempt++) {
    const fault = await step();
    if (fault?.status !== 409 || attempt === attempts) return fault;
  }
}

export const isOurs = ({ metadata }: Secret, registryId: string): boolean =>
  metadata.labels[managedLabel] === 'true' && metadata.labels[registryLabel] === registryId;

export const isManaged = ({ metadata }: Secret): boolean => metadata.labels[managedLabel] === 'true';

function isAsWanted(read: Secret, { labels, type, data }: SecretContent): boolean {
  const hasLabels = Object.entries(labels).every(([name, value]) => read.metadata.labels[name] === value);
  const sameData = JSON.stringify(read.data) === JSON.stringify(data);
  return hasLabels && read.type === type && sameData;
}

const overtaken: ClusterFault = { message: 'Another worker has taken over.' };

const foreign = ({ namespace, name }: SecretCall): ClusterFault => ({
  message: `The Secret ${name} in namespace ${namespace} was not made by Lading for this registry and is left as it is. Delete it there, or choose another name.`,
});
