import type { FastifyInstance } from 'fastify';
import { listRegistryClusters } from '#core/clusters.ts';
import type { Platform } from '#core/platform.ts';
import { actorOf } from '#http/sign-in.ts';
import type { RegistryPath } from './registries.ts';

/** They are registered and connected through the native API; the vendor has no call for that either. */
export function bindClusters(app: FastifyInstance, platform: Platform): void {
  app.get<RegistryPath>('/registries/:id/clusters', async (request) => {
    const clusters = await listRegistryClusters(platform, actorOf(request), request.params.id);
    return { clusters: clusters.map(({ id, name, pool }) => ({ id, name, pool })), totalCount: clusters.length };
  });
}
