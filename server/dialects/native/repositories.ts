import type { Static } from 'typebox';
import { Repository, RepositoryList, RepositoryQuery } from '#contract/repositories.ts';
import { refer } from '#contract/values.ts';
import type { Platform } from '#core/platform.ts';
import { type Repository as CoreRepository, getRepository, listRepositories } from '#core/repositories.ts';
import { actorOf } from './auth.ts';
import { about, type NativeApp, RegistryPath, RepositoryPath, refusals } from './endpoint.ts';
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
}

function toWire(repository: CoreRepository): Static<typeof Repository> {
  return {
    id: repository.id,
    name: repository.name,
    registryId: repository.registryId,
    type: repository.type,
    sizeBytes: repository.sizeBytes,
    createdAt: toTime(repository.createdAt),
    updatedAt: toTime(repository.updatedAt),
  };
}
