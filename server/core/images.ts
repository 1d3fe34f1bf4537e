// Images: manifests as a person sees them. Only reading; `manifests.ts` and `tags.ts` make and delete them.

import { setImmediate as othersTurn } from 'node:timers/promises';
import { type SqlBool, sql } from 'kysely';
import type { Actor } from './actors.ts';
import { type Digest, isDigest } from './digest.ts';
import { Failure } from './failure.ts';
import { type Image, type ImageTags, readImages } from './image-rows.ts';
import { countFound, searchImages } from './image-search.ts';
import { deleteManifest } from './manifests.ts';
import { isTagName } from './names.ts';
import { type Order, type Page, type PageInput, type Position, readPage, toSearchPattern } from './page.ts';
import type { Platform } from './platform.ts';
import { openOwnRepository, type RepositoryAddress, type SeenRepository, seeRepository } from './repositories.ts';

export type ImageFilter = {
  /** A part of an image's tag, or how its digest begins: at least four digits, with or without the algorithm. */
  search?: string | undefined;
  /** Signatures, SBOMs and the like, which are not listed otherwise. */
  withAttachments?: boolean | undefined;
};

export type ImageQuery = PageInput & ImageFilter & ImageTags;

/**
 * Deletes an image with all its tags. Throws `not_found`, `in_use` while an index lists it, and `conflict` while the
 * registry is being deleted.
 */
export async function deleteImage(
  platform: Platform,
  actor: Actor,
  address: RepositoryAddress,
  digest: Digest,
): Promise<void> {
  const repository = await openOwnRepository(platform, actor, address, 'images:delete');
  await deleteManifest(platform, actor, repository, digest, { refuseIfListed: true });
}

const newestFirst: Order<{ pushed_at: number; digest: string }> = {
  columns: [
    { sql: sql.ref('manifests.pushed_at'), type: 'number', of: (row) => row.pushed_at },
    { sql: sql.ref('manifests.digest'), type: 'text', of: (row) => row.digest },
  ],
  descending: true,
};

/** Newest push first. Throws `not_found` about the registry or the repository. */
export async function listImages(
  platform: Platform,
  actor: Actor,
  address: RepositoryAddress,
  query: ImageQuery,
): Promise<Page<Image>> {
  const repository = await seeRepository(platform, actor, address);
  const { items, nextCursor } = await readKeys(platform, repository, query);
  return { items: await readImages(platform, repository, items, query), nextCursor };
}

/** How many `listImages` would list on all its pages. */
export async function countImages(
  platform: Platform,
  actor: Actor,
  address: RepositoryAddress,
  filter: ImageFilter,
): Promise<number> {
  const repository = await seeRepository(platform, actor, address);
  if (!filter.withAttachments) {
    const { search } = filter;
    return search ? countFound(platform, { repositoryId: repository.id, search }) : repository.imageCount;
  }
  const { count } = await listed(platform, repository, filter)
    .select((eb) => eb.cast<number>(eb.fn.countAll(), 'bigint').as('count'))
    .executeTakeFirstOrThrow();
  return count;
}

const readAtOnce = 50;

/** All images with all their tags, newest push first, a page in memory at a time. Throws as `listImages`, before the first. */
export async function* eachImage(platform: Platform, actor: Actor, address: RepositoryAddress): AsyncGenerator<Image> {
  const repository = await seeRepository(platform, actor, address);
  for (let after: Position | null = null; ; ) {
    const { items, nextCursor }: Page<Digest> = await readKeys(platform, repository, { limit: readAtOnce, after });
    yield* await readImages(platform, repository, items, { withAllTags: true });
    if (!nextCursor) return;
    after = nextCursor;
    // SQLite answers at once, and a socket on the same machine takes all: without a pause nobody else had a turn.
    await othersTurn();
  }
}

/** Throws `not_found` about the manifest. */
export async function getImage(
  platform: Platform,
  actor: Actor,
  address: RepositoryAddress,
  digest: Digest,
): Promise<Image> {
  const repository = await seeRepository(platform, actor, address);
  const [image] = await readImages(platform, repository, [digest], {});
  if (image) return image;
  throw imageUnknown(digest);
}

/** With all its tags, by digest or tag, as clients write it. Throws `not_found` about the manifest. */
export async function getImageByReference(
  platform: Platform,
  actor: Actor,
  address: RepositoryAddress,
  reference: string,
): Promise<Image> {
  const repository = await seeRepository(platform, actor, address);
  const digest = isDigest(reference) ? reference : await findTagged(platform, repository, reference);
  const [image] = digest ? await readImages(platform, repository, [digest], { withAllTags: true }) : [];
  if (image) return image;
  throw imageUnknown(reference);
}

async function findTagged({ db }: Platform, { id }: SeenRepository, tag: string): Promise<Digest | undefined> {
  if (!isTagName(tag)) return undefined;
  const row = await db
    .selectFrom('tags')
    .select('digest')
    .where('repository_id', '=', id)
    .where('name', '=', tag)
    .executeTakeFirst();
  return row?.digest as Digest | undefined;
}

function imageUnknown(reference: string): Failure {
  return new Failure('not_found', `There is no image ${reference.slice(0, 140)} in this repository.`, {
    about: 'manifest',
  });
}

/** The digests of a page. Only what stands in an index is read, so that an offset skips its entries and no rows. */
async function readKeys(
  platform: Platform,
  repository: SeenRepository,
  { search, withAttachments, withAllTags: _, ...page }: ImageQuery,
): Promise<Page<Digest>> {
  if (search && !withAttachments) return searchImages(platform, { repositoryId: repository.id, search }, page);
  const query = listed(platform, repository, { search, withAttachments }).select(['pushed_at', 'digest']);
  return readPage(query, newestFirst, page, (row) => row.digest as Digest);
}

function listed({ db }: Platform, { id }: SeenRepository, { search, withAttachments }: ImageFilter) {
  let query = db.selectFrom('manifests').where('repository_id', '=', id);
  if (!withAttachments) query = query.where('is_attachment', '=', 0);
  return search ? query.where(matches(id, toSearchPattern(search))) : query;
}

const matches = (repositoryId: string, pattern: string) => sql<SqlBool>`(
  manifests.digest like ${pattern} escape '\\' or manifests.digest in (
    select t.digest from tags as t where t.repository_id = ${repositoryId} and lower(t.name) like ${pattern} escape '\\'))`;
