import type { Static } from 'typebox';
import { CleanRepository, CleanupResult } from '#contract/cleanup.ts';
import { Operation } from '#contract/operations.ts';
import { Repository, RepositoryList, RepositoryQuery } from '#contract/repositories.ts';
import { refer } from '#contract/values.ts';
import { cleanRepository } from '#core/cleanup.ts';
import type { Platform } from '#core/platform.ts';
import { type Repository as CoreRepository, getRepository, listRepositories } from '#core/repositories.ts';
import { deleteRepository } from '#core/repository-deletion.ts';
import { actorOf } from '#http/sign-in.ts';
import { about, type NativeApp, NoContent, RegistryPath, RepositoryPath, refusals } from './endpoint.ts';
import { toWireOperation } from './operations.ts';
import { fromPageQuery, fromSort, toList, toTime } from './wire.ts';

export function bindRepositories(app: NativeApp, platform: Platform): void {
  app.get(
    '/registries/:registry/repositories',
    {
      schema: {
        ...about(
          'Repositories',
          'listRepositories',
          'registries:read',
          'List the repositories of a registry, by name.',
        ),
        params: RegistryPath,
        querystring: RepositoryQuery,
        response: { 200: refer(RepositoryList), ...refusals(404) },
      },
    },
    async (request) => {
      const { search, sort } = request.query;
      const input = { ...fromPageQuery(request.query), search, sort: fromSort(sort) };
      return toList(await listRepositories(platform, actorOf(request), request.params.registry, input), toWire);
    },
  );

  app.get(
    '/registries/:registry/repositories/:repository',
    {
      schema: {
        ...about('Repositories', 'getRepository', 'registries:read', 'Show a repository.'),
        params: RepositoryPath,
        response: { 200: refer(Repository), ...refusals(404) },
      },
    },
    async (request) => toWire(await getRepository(platform, actorOf(request), request.params)),
  );

  app.delete(
    '/registries/:registry/repositories/:repository',
    {
      schema: {
        ...about('Repositories', 'deleteRepository', 'images:delete', 'Delete a repository with all it holds.'),
        params: RepositoryPath,
        response: { 202: refer(Operation), 204: NoContent, ...refusals(404, 409) },
      },
    },
    async (request, reply) => {
      const operation = await deleteRepository(platform, actorOf(request), request.params);
      if (!operation) return reply.code(204).send(null);
      return reply.code(202).send(toWireOperation(operation));
    },
  );

  bindCleanup(app, platform);
}

function bindCleanup(app: NativeApp, platform: Platform): void {
  app.post(
    '/registries/:registry/repositories/:repository/cleanup',
    {
      schema: {
        ...about('Repositories', 'cleanRepository', 'images:delete', 'Delete many images and tags at once.'),
        params: RepositoryPath,
        body: refer(CleanRepository),
        response: { 200: refer(CleanupResult), ...refusals(404, 409) },
      },
    },
    async (request) => {
      const { digests = [], tags = [], collectGarbage = true } = request.body;
      return cleanRepository(platform, actorOf(request), request.params, { digests, tags, collectGarbage });
    },
  );
}

function toWire(repository: CoreRepository): Static<typeof Repository> {
  return {
    id: repository.id,
    name: repository.name,
    registryId: repository.registryId,
    type: repository.type,
    sizeBytes: repository.sizeBytes,
    imageCount: repository.imageCount,
    tagCount: repository.tagCount,
    createdAt: toTime(repository.createdAt),
    updatedAt: toTime(repository.updatedAt),
  };
}
