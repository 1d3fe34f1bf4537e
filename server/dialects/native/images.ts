import type { Static } from 'typebox';
import { Image, ImageList, ImageQuery } from '#contract/images.ts';
import { refer } from '#contract/values.ts';
import { parseDigest } from '#core/digest.ts';
import type { Image as CoreImage } from '#core/image-rows.ts';
import { deleteImage, getImage, listImages } from '#core/images.ts';
import type { Platform } from '#core/platform.ts';
import { actorOf } from '#http/sign-in.ts';
import { about, ImagePath, type NativeApp, NoContent, RepositoryPath, refusals } from './endpoint.ts';
import { fromPageQuery, toList, toTime } from './wire.ts';

export function bindImages(app: NativeApp, platform: Platform): void {
  app.get(
    '/registries/:registry/repositories/:repository/images',
    {
      schema: {
        ...about('Images', 'listImages', 'registries:read', 'List the images of a repository, newest push first.'),
        params: RepositoryPath,
        querystring: ImageQuery,
        response: { 200: refer(ImageList), ...refusals(404) },
      },
    },
    async (request) => {
      const { search, attachments } = request.query;
      const input = { ...fromPageQuery(request.query), search, withAttachments: attachments };
      return toList(await listImages(platform, actorOf(request), request.params, input), toWire);
    },
  );

  app.get(
    '/registries/:registry/repositories/:repository/images/:digest',
    {
      schema: {
        ...about('Images', 'getImage', 'registries:read', 'Show an image.'),
        params: ImagePath,
        response: { 200: refer(Image), ...refusals(404) },
      },
    },
    async (request) =>
      toWire(await getImage(platform, actorOf(request), request.params, parseDigest(request.params.digest))),
  );

  app.delete(
    '/registries/:registry/repositories/:repository/images/:digest',
    {
      schema: {
        ...about('Images', 'deleteImage', 'images:delete', 'Delete an image with all its tags.'),
        params: ImagePath,
        response: { 204: NoContent, ...refusals(404, 409) },
      },
    },
    async (request, reply) => {
      await deleteImage(platform, actorOf(request), request.params, parseDigest(request.params.digest));
      return reply.code(204).send(null);
    },
  );
}

function toWire({ builtAt: _, tags, layers, entries, ...image }: CoreImage): Static<typeof Image> {
  return {
    ...image,
    tags: [...tags],
    layers: [...layers],
    entries: [...entries],
    createdAt: toTime(image.createdAt),
    pushedAt: toTime(image.pushedAt),
  };
}
