import type { FastifyInstance, FastifyRequest } from 'fastify';
import { cleanRepository } from '#core/cleanup.ts';
import type { Page } from '#core/page.ts';
import type { Platform } from '#core/platform.ts';
import { countRepositories, getRepository, listRepositories, listRepositoryNames } from '#core/repositories.ts';
import { deleteRepository } from '#core/repository-deletion.ts';
import { fieldOf, isFlag, isTexts } from '#http/body-fields.ts';
import { queryOf } from '#http/query.ts';
import { actorOf } from '#http/sign-in.ts';
import { addressOf, type RepositoryPath } from './paths.ts';
import { pageOf, sortOf, totalOf } from './query.ts';
import type { RegistryPath } from './registries.ts';
import { toCleanup, toRepository } from './wire.ts';

export function bindRepositories(app: FastifyInstance, platform: Platform): void {
  app.get<RegistryPath>('/registries/:id/repositories', async (request) => {
    const { items } = await listAsAsked(platform, request);
    return items;
  });

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
    const [actor, { id }, page] = [actorOf(request), request.params, pageOf(queryOf(request))];
    const found = await listAsAsked(platform, request);
    const totalCount = await countRepositories(platform, actor, id, {});
    const countFound = () => countRepositories(platform, actor, id, { search: page.search });
    const filteredCount = page.search === undefined ? totalCount : await totalOf(page, found, countFound);
    return { filteredCount, repositories: found.items, totalCount };
  });
}

/** The short form has the names alone and is sorted by them, whatever field was asked for. */
async function listAsAsked(platform: Platform, request: FastifyRequest<RegistryPath>): Promise<Page<object>> {
  const [actor, { id }, query] = [actorOf(request), request.params, queryOf(request)];
  const page = { ...pageOf(query), sort: sortOf(query, ['name', 'updatedAt', 'size']) };
  if (query.flag('short')) {
    const sort = { ...page.sort, by: 'name' as const };
    const found = await listRepositoryNames(platform, actor, id, { ...page, sort });
    return { ...found, items: found.items.map((name) => ({ name })) };
  }
  const found = await listRepositories(platform, actor, id, page);
  return { ...found, items: found.items.map(toRepository) };
}
