// Selectel's words and forms. Pure.

import type { Registry } from '#core/registry-rows.ts';
import type { Repository } from '#core/repositories.ts';

/** RFC 3339 in whole seconds, as the vendor's samples. */
export const toTime = (ms: number): string => new Date(ms).toISOString().replace(/\.\d{3}Z$/, 'Z');

const statuses: Record<Registry['status'] | 'collecting', string> = {
  active: 'ACTIVE',
  collecting: 'GARBAGE_COLLECTION',
  deleting: 'DELETING',
  error: 'ERROR',
};

export function toRegistryV2({ id, name, sizeBytes, status, createdAt }: Registry) {
  return { createdAt: toTime(createdAt), id, name, size: sizeBytes, status: statuses[status] };
}

export function toRegistryV1(registry: Registry) {
  const { sizeBytes, sizeLimitBytes } = registry;
  return {
    ...toRegistryV2(registry),
    sizeLimit: sizeLimitBytes,
    used: sizeLimitBytes === 0 ? 100 : Math.round((sizeBytes / sizeLimitBytes) * 10_000) / 100,
  };
}

const repositoryTypes: Record<Repository['type'], string> = { image: 'docker_image', 'helm-chart': 'helm_chart' };

export function toRepository({ name, sizeBytes, type, updatedAt }: Repository) {
  return { name, size: sizeBytes, type: repositoryTypes[type], updatedAt: toTime(updatedAt) };
}
