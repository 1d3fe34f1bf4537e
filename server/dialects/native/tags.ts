import type { Static } from 'typebox';
import { type Tag, TagList, TagQuery } from '#contract/tags.ts';
import { refer } from '#contract/values.ts';
import { parseTagName } from '#core/names.ts';
import type { Platform } from '#core/platform.ts';
import { type Tag as CoreTag, listTags, removeTag } from '#core/repository-tags.ts';
import { actorOf } from '#http/sign-in.ts';
import { about, type NativeApp, NoContent, RepositoryPath, refusals, TagPath } from './endpoint.ts';
import { fromPageQuery, fromSort, toList, toTime } from './wire.ts';

export function bindTags(app: NativeApp, platform: Platform): void {
  app.get(
    '/registries/:registry/repositories/:repository/tags',
    {
      schema: {
        ...about('Tags', 'listTags', 'registries:read', 'List the tags of a repository, by name.'),
        params: RepositoryPath,
        querystring: TagQuery,
        response: { 200: refer(TagList), ...refusals(404) },
      },
    },
    async (request) => {
      const { search, sort } = request.query;
      const input = { ...fromPageQuery(request.query), search, sort: fromSort(sort) };
      return toList(await listTags(platform, actorOf(request), request.params, input), toWire);
    },
  );

  app.delete(
    '/registries/:registry/repositories/:repository/tags/:tag',
    {
      schema: {
        ...about('Tags', 'deleteTag', 'images:delete', 'Delete a tag. Its image stays, and is found by its digest.'),
        params: TagPath,
        response: { 204: NoContent, ...refusals(404, 409) },
      },
    },
    async (request, reply) => {
      await removeTag(platform, actorOf(request), request.params, parseTagName(request.params.tag));
      return reply.code(204).send(null);
    },
  );
}

function toWire({ name, digest, createdAt, updatedAt }: CoreTag): Static<typeof Tag> {
  return { name, digest, createdAt: toTime(createdAt), updatedAt: toTime(updatedAt) };
}
