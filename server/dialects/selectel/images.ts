import type { FastifyInstance } from 'fastify';
import { isDigest } from '#core/digest.ts';
import { Failure } from '#core/failure.ts';
import { countImages, deleteImage, eachImage, getImageByReference, listImages } from '#core/images.ts';
import type { Platform } from '#core/platform.ts';
import { eachTagName } from '#core/repository-tags.ts';
import { queryOf } from '#http/query.ts';
import { actorOf } from '#http/sign-in.ts';
import { addressOf, type ImagePath, type RepositoryPath } from './paths.ts';
import { pageOf, totalOf } from './query.ts';
import { sendArray } from './stream.ts';
import { toImage } from './wire.ts';

/** A HEAD would read it all, to send nothing of it. */
const whole = { exposeHeadRoute: false };

/** `images`, `tags` and `cleanup` win over a tag of that name. */
export function bindImages(app: FastifyInstance, platform: Platform): void {
  app.get<RepositoryPath>('/registries/:id/repositories/:name/images', whole, async (request, reply) =>
    sendArray(reply, eachImage(platform, actorOf(request), addressOf(request)), toImage),
  );

  app.get<RepositoryPath>('/registries/:id/repositories/:name/tags', whole, async (request, reply) =>
    sendArray(reply, eachTagName(platform, actorOf(request), addressOf(request)), (name) => name),
  );

  app.get<ImagePath>('/registries/:id/repositories/:name/:reference', async (request, reply) => {
    const { reference } = request.params;
    const image = toImage(await getImageByReference(platform, actorOf(request), addressOf(request), reference));
    reply.header('docker-content-digest', image.digest);
    return wantsLayersOnly(request.headers['user-agent']) ? image.layers : image;
  });

  app.delete<ImagePath>('/registries/:id/repositories/:name/:reference', async (request, reply) => {
    const { reference } = request.params;
    if (!isDigest(reference)) {
      throw new Failure('not_found', 'Images are deleted by digest.', { about: 'manifest' });
    }
    await deleteImage(platform, actorOf(request), addressOf(request), reference);
    return reply.code(204).send();
  });
}

export function bindImagesV2(app: FastifyInstance, platform: Platform): void {
  app.get<RepositoryPath>('/registries/:id/repositories/:name/images', async (request) => {
    const [actor, address, page] = [actorOf(request), addressOf(request), pageOf(queryOf(request))];
    const found = await listImages(platform, actor, address, { ...page, withAllTags: true });
    const totalCount = await countImages(platform, actor, address, {});
    const countFound = () => countImages(platform, actor, address, { search: page.search });
    const filteredCount = page.search === undefined ? totalCount : await totalOf(page, found, countFound);
    return { filteredCount, images: found.items.map(toImage), totalCount };
  });
}

/** The vendor documents an object; its own Go client decodes a list of layers and fails on anything else. */
const wantsLayersOnly = (userAgent: string | undefined) => userAgent?.startsWith('craas-go/') === true;
