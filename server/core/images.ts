// Images: manifests as a person sees them. Only reading; `manifests.ts` and `tags.ts` make and delete them.

import { type Selectable, type SqlBool, sql } from 'kysely';
import type { Actor } from './actors.ts';
import type { Digest } from './digest.ts';
import { Failure } from './failure.ts';
import { findIndexSizes } from './image-sizes.ts';
import { findTagsOfImages } from './image-tags.ts';
import { type IndexEntry, type Layer, parseContent } from './manifest-content.ts';
import { deleteManifest } from './manifests.ts';
import { type Order, type Page, type PageInput, readPage, toSearchPattern } from './page.ts';
import type { Platform } from './platform.ts';
import { openOwnRepository, type RepositoryAddress, seeRepository } from './repositories.ts';
import type { ManifestRow } from './schema.ts';

export type Image = {
  digest: Digest;
  /** An index lists images, usually one for each platform. */
  kind: 'image' | 'index';
  mediaType: string;
  artifactType: string | null;
  configMediaType: string | null;
  /** In order of name, the first hundred. */
  tags: readonly string[];
  hasMoreTags: boolean;
  os: string;
  architecture: string;
  /** With its config and layers; of an index, with all it lists. Each digest once. */
  sizeBytes: number;
  layers: readonly Layer[];
  entries: readonly IndexEntry[];
  subject: string | null;
  builtAt: number | null;
  pushedAt: number;
  /** `builtAt` where the image says one that can be true, else `pushedAt`. */
  createdAt: number;
};

export type ImageQuery = PageInput & {
  /** A part of a tag or of the digest. */
  search?: string | undefined;
  /** Signatures, SBOMs and the like, which are not listed otherwise. */
  withAttachments?: boolean | undefined;
};

type Row = Pick<Selectable<ManifestRow>, (typeof columns)[number]>;
type Repository = { id: string; registryId: string };

const columns = [
  'repository_id',
  'digest',
  'media_type',
  'artifact_type',
  'config_media_type',
  'subject',
  'os',
  'architecture',
  'built_at',
  'pushed_at',
  'size',
  'image_size',
] as const;

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

const newestFirst: Order<Row> = {
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
  { search, withAttachments = false, ...page }: ImageQuery,
): Promise<Page<Image>> {
  const repository = await seeRepository(platform, actor, address);
  let query = platform.db.selectFrom('manifests').select(columns).where('repository_id', '=', repository.id);
  if (!withAttachments) query = query.where('is_attachment', '=', 0);
  if (search) query = query.where(matches(repository.id, toSearchPattern(search)));
  const { items, nextCursor } = await readPage(query, newestFirst, page, (row) => row);
  return { items: await toImages(platform, repository, items), nextCursor };
}

/** Throws `not_found` about the manifest. */
export async function getImage(
  platform: Platform,
  actor: Actor,
  address: RepositoryAddress,
  digest: Digest,
): Promise<Image> {
  const repository = await seeRepository(platform, actor, address);
  const row = await platform.db
    .selectFrom('manifests')
    .select(columns)
    .where('repository_id', '=', repository.id)
    .where('digest', '=', digest)
    .executeTakeFirst();
  const [image] = row ? await toImages(platform, repository, [row]) : [];
  if (image) return image;
  throw new Failure('not_found', `There is no image ${digest} in this repository.`, { about: 'manifest' });
}

const matches = (repositoryId: string, pattern: string) => sql<SqlBool>`(
  manifests.digest like ${pattern} escape '\\' or manifests.digest in (
    select t.digest from tags as t where t.repository_id = ${repositoryId} and lower(t.name) like ${pattern} escape '\\'))`;

/** A fixed number of queries, however long the page. */
async function toImages(platform: Platform, repository: Repository, rows: readonly Row[]): Promise<Image[]> {
  const [tags, sizes, contents] = [
    await findTagsOfImages(platform, repository.id, rows.map(digestOfRow)),
    await findIndexSizes(platform, repository, rows.filter(isIndex).map(digestOfRow)),
    await readContents(platform, repository.id, rows),
  ];
  return rows.map((row) => {
    const ofRow = tags.get(row.digest) ?? { tags: [], hasMoreTags: false };
    const content = contents.get(row.digest) ?? { layers: [], entries: [] };
    return { ...toImage(row, sizes.get(row.digest) ?? row.image_size), ...ofRow, ...content };
  });
}

const digestOfRow = (row: Row) => row.digest;
const isIndex = (row: Row) => /\.index\.v1\+json$|\.manifest\.list\.v2\+json$/.test(row.media_type);

function toImage(row: Row, sizeBytes: number): Omit<Image, 'tags' | 'hasMoreTags' | 'layers' | 'entries'> {
  return {
    digest: row.digest as Digest,
    kind: isIndex(row) ? 'index' : 'image',
    mediaType: row.media_type,
    // For referrers the column repeats the config's type where a manifest says none of its own.
    artifactType: row.artifact_type === row.config_media_type ? null : row.artifact_type,
    configMediaType: row.config_media_type,
    os: row.os,
    architecture: row.architecture,
    sizeBytes,
    subject: row.subject,
    builtAt: row.built_at,
    pushedAt: row.pushed_at,
    createdAt: row.built_at !== null && row.built_at >= firstBelievable ? row.built_at : row.pushed_at,
  };
}

/** Reproducible builds write the epoch, or 1980 because zip files begin there: such a time says nothing. */
const firstBelievable = Date.UTC(1982, 0, 1);

/** Manifests may have four megabytes each: they are read and parsed some at a time, so that a page stays small. */
async function readContents({ db }: Platform, repositoryId: string, rows: readonly Row[]) {
  const contents = new Map<string, ReturnType<typeof parseContent>>();
  for (const batch of inBatches(rows)) {
    const found = await db
      .selectFrom('manifests')
      .select(['digest', 'bytes'])
      .where('repository_id', '=', repositoryId)
      .where('digest', 'in', batch.map(digestOfRow))
      .execute();
    for (const { digest, bytes } of found) contents.set(digest, parseContent(bytes));
  }
  return contents;
}

const batchBytes = 4 * 1024 * 1024;

function inBatches(rows: readonly Row[]): Row[][] {
  const batches: Row[][] = [];
  let room = 0;
  for (const row of rows) {
    if (row.size > room) {
      batches.push([]);
      room = batchBytes;
    }
    batches.at(-1)?.push(row);
    room -= row.size;
  }
  return batches;
}
