// Nodion's words and forms. Pure.

import type { Connection } from '#core/connection-rows.ts';
import { Failure } from '#core/failure.ts';
import type { Region } from '#core/platform.ts';
import type { ProjectRegistry } from '#core/project-registries.ts';
import type { Provider } from '#core/providers.ts';
import type { Registry } from '#core/registry-rows.ts';

/** ISO 8601 with milliseconds and a numeric offset, as in the vendor's samples. */
const toTime = (ms: number): string => new Date(ms).toISOString().replace('Z', '+00:00');

const providersOfTypes: Readonly<Record<string, Provider>> = { docker_hub: 'dockerhub', ghcr: 'ghcr', custom: 'oci' };

/** Throws `invalid`; registries of the type `nodion` come with projects. */
export function fromRegistryType(type: string): Provider {
  const provider = Object.hasOwn(providersOfTypes, type) ? providersOfTypes[type] : undefined;
  if (provider) return provider;
  const said = `must be one of ${Object.keys(providersOfTypes).join(', ')}`;
  throw new Failure('invalid', `registry_type ${said}.`, { about: 'connection', fields: { '/registry_type': said } });
}

function toRegistryType(provider: Provider): string {
  if (provider === 'dockerhub') return 'docker_hub';
  return provider === 'ghcr' ? 'ghcr' : 'custom';
}

export function toContainerRegistry(one: ProjectRegistry, regions: readonly Region[]) {
  return one.kind === 'managed' ? toManaged(one, regions) : toExternal(one.connection);
}

function toManaged({ registry, hasRobot }: { registry: Registry; hasRobot: boolean }, regions: readonly Region[]) {
  const region = regions.find(({ id }) => id === registry.regionId);
  return {
    id: registry.id,
    status: 'available',
    registry_type: 'nodion',
    name: `Managed registry (${region?.name ?? ''})`,
    hostname: region?.host ?? '',
    has_credentials: hasRobot,
    region_id: registry.regionId,
    created_at: toTime(registry.createdAt),
    updated_at: toTime(registry.updatedAt),
  };
}

export function toExternal({ id, provider, name, url, host, hasSecret, createdAt, updatedAt }: Connection) {
  return {
    id,
    status: 'available',
    registry_type: toRegistryType(provider),
    name,
    // Without its scheme, a host that speaks no TLS would be another place when it comes back in a change.
    hostname: /^http:/i.test(url) ? `http://${host}` : host,
    has_credentials: hasSecret,
    region_id: null,
    created_at: toTime(createdAt),
    updated_at: toTime(updatedAt),
  };
}

type MadeRobot = { registry: Registry; robot: { name: string }; secret: string };

/** The only answer that has the secret. */
export function toCredentials({ registry, robot, secret }: MadeRobot, regions: readonly Region[]) {
  const region = regions.find(({ id }) => id === registry.regionId);
  return { id: registry.id, hostname: region?.host ?? '', username: robot.name, password: secret };
}
