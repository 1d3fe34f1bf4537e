import { CollectionPreview, StartCollection } from '#contract/collections.ts';
import { Operation } from '#contract/operations.ts';
import { refer } from '#contract/values.ts';
import { startCollection } from '#core/collection.ts';
import { getCollectionPreview } from '#core/collection-preview.ts';
import type { Platform } from '#core/platform.ts';
import { actorOf } from '#http/sign-in.ts';
import { about, type NativeApp, RegistryPath, refusals } from './endpoint.ts';
import { toWireOperation } from './operations.ts';
import { toTimeOrNull } from './wire.ts';

export function bindCollections(app: NativeApp, platform: Platform): void {
  app.post(
    '/registries/:registry/garbage-collection',
    {
      schema: {
        ...about('Registries', 'collectGarbage', 'garbage:collect', 'Free what no image needs, while work goes on.'),
        params: RegistryPath,
        body: refer(StartCollection),
        response: { 202: refer(Operation), ...refusals(404, 409) },
      },
    },
    async (request, reply) => {
      const { deleteUntagged = false } = request.body;
      const input = { registry: request.params.registry, deleteUntagged };
      const operation = await startCollection(platform, actorOf(request), input);
      reply.code(202);
      return toWireOperation(operation);
    },
  );

  app.get(
    '/registries/:registry/garbage-collection',
    {
      schema: {
        ...about('Registries', 'previewGarbage', 'registries:read', 'Say what a collection would free, to the byte.'),
        params: RegistryPath,
        response: { 200: refer(CollectionPreview), ...refusals(404) },
      },
    },
    async (request) => {
      const { leasedUntil, ...bytes } = await getCollectionPreview(platform, actorOf(request), request.params.registry);
      const totalBytes = bytes.unreferencedBytes + bytes.untaggedBytes;
      return { ...bytes, totalBytes, leasedUntil: toTimeOrNull(leasedUntil) };
    },
  );
}
