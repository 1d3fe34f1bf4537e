import type { FastifyInstance, FastifyRequest } from 'fastify';
import { cleanRepository } from '#core/cleanup.ts';
import type { Platform } from '#core/platform.ts';
import { countRepositories, getRepository, listRepositories, listRepositoryNames } from '#core/repositories.ts';
import { deleteRepository } from '#core/repository-deletion.ts';
import { actorOf } from '#http/sign-in.ts';
import { fieldOf, isFlag, isTexts } from './body.ts';
import { addressOf, type RepositoryPath } from './paths.ts';
import { pageOf, queryOf, sortOf } from './query.ts';
import type { RegistryPath } from './registries.ts';
import { toCleanup, toRepository } from './wire.ts';

export function bindRepositories(app: FastifyInstance, platform: Platform): void {
  app.get<RegistryPath>('/registries/:id/repositories', async (request) => listAsAsked(platform, request));

  app.get<RepositoryPath>('/registries/:id/repositories/:name', async (request) =>
    toRepository(await getRepository(platform, actorOf(request), addressOf(request))),
  );

  app.delete<RepositoryPath>('/registries/:id/repositories/:name', async (request, reply) => {
    await deleteRepository(platform, actorOf(request), addressOf(request));
    return reply.code(204).send();
  });

  app.post<RepositoryPath>('/registries/:id/repositories/:name/cleanup', async (request) => {
    const { body } = request;
    const input = {
      digests: fieldOf(body, 'digests', isTexts) ?? [],
      tags: fieldOf(body, 'tags', isTexts) ?? [],
      collectGarbage: !(fieldOf(body, 'disable_gc', isFlag) ?? false),
    };
    return toCleanup(await cleanRepository(platform, actorOf(request), addressOf(request), input));
  });
}

export function bindRepositoriesV2(app: FastifyInstance, platform: Platform): void {
  app.get<RegistryPath>('/registries/:id/repositories', async (request) => {
    const repositories = await listAsAsked(platform, request);
    const count = (search?: string) => countRepositories(platform, actorOf(request), request.params.id, { search });
    const search = queryOf(request).text('search');
    const totalCount = await count();
    return { filteredCount: search === undefined ? totalCount : await count(search), repositories, totalCount };
  });
}

/** The short form has the names alone and is sorted by them, whatever field was asked for. */
async function listAsAsked(platform: Platform, request: FastifyRequest<RegistryPath>) {
  const [actor, { id }, query] = [actorOf(request), request.params, queryOf(request)];
  const page = { ...pageOf(query), sort: sortOf(query, ['name', 'updatedAt', 'size']) };
  if (query.flag('short')) {
    const sort = { ...page.sort, by: 'name' as const };
    const { items } = await listRepositoryNames(platform, actor, id, { ...page, sort });
    return items.map((name) => ({ name }));
  }
  const { items } = await listRepositories(platform, actor, id, page);
  return items.map(toRepository);
}
