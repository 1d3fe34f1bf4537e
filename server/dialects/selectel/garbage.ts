import type { FastifyInstance } from 'fastify';
import { startCollection } from '#core/collection.ts';
import { getCollectionPreview } from '#core/collection-preview.ts';
import type { Platform } from '#core/platform.ts';
import { queryOf } from '#http/query.ts';
import { actorOf } from '#http/sign-in.ts';
import type { RegistryPath } from './registries.ts';

export function bindGarbage(app: FastifyInstance, platform: Platform): void {
  app.post<RegistryPath>('/registries/:id/garbage-collection', async (request, reply) => {
    const deleteUntagged = queryOf(request).flag('delete-untagged');
    await startCollection(platform, actorOf(request), { registry: request.params.id, deleteUntagged });
    return reply.code(201).send();
  });

  app.get<RegistryPath>('/registries/:id/garbage-collection/size', async (request) => {
    const preview = await getCollectionPreview(platform, actorOf(request), request.params.id);
    const { unreferencedBytes, untaggedBytes } = preview;
    return {
      sizeNonReferenced: unreferencedBytes,
      sizeSummary: unreferencedBytes + untaggedBytes,
      sizeUntagged: untaggedBytes,
    };
  });
}
