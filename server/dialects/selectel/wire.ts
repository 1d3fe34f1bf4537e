// Selectel's words and forms. Pure.

import type { CleanupResult } from '#core/cleanup.ts';
import type { Image } from '#core/image-rows.ts';
import type { Layer } from '#core/manifest-content.ts';
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

/** The vendor's list without what only version 1 says. */
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

const toLayer = ({ digest, sizeBytes }: Layer) => ({ digest, size: sizeBytes });

export function toImage(image: Image) {
  return {
    architecture: image.architecture,
    createdAt: toTime(image.createdAt),
    digest: image.digest,
    layers: image.layers.map(toLayer),
    mediaType: image.mediaType,
    os: image.os,
    size: image.sizeBytes,
    tags: image.tags,
  };
}

export function toCleanup({ deleted, failed }: CleanupResult) {
  return { deleted, failed: failed.map(({ digest, error, tags }) => ({ digest: digest ?? '', error, tags })) };
}
