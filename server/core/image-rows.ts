// Manifests as images: what the rows say, and what only the documents themselves do.

import { type Selectable, sql } from 'kysely';
import type { Digest } from './digest.ts';
import { findIndexSizes } from './image-sizes.ts';
import { findTagsOfImages } from './image-tags.ts';
import { type IndexEntry, type Layer, parseContent } from './manifest-content.ts';
import type { Platform } from './platform.ts';
import type { SeenRepository } from './repositories.ts';
import type { ManifestRow } from './schema.ts';

export type Image = {
  digest: Digest;
  /** An index lists images, usually one for each platform. */
  kind: 'image' | 'index';
  mediaType: string;
  artifactType: string | null;
  configMediaType: string | null;
  /** In order of name, the first hundred where not all were asked for. */
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

/** However many tags an image has: for surfaces that have no way to ask for more of them. */
export type ImageTags = { withAllTags?: boolean | undefined };

/** `bytes` where they are few: what is usual comes with the row, and a page is one look at each. */
type Row = Pick<Selectable<ManifestRow>, (typeof columns)[number]> & { bytes: Uint8Array | null };

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

/** In the order of the digests, without those that went meanwhile. A fixed number of queries, however many they are. */
export async function readImages(
  platform: Platform,
  repository: SeenRepository,
  digests: readonly Digest[],
  { withAllTags }: ImageTags,
): Promise<Image[]> {
  const rows = await readRows(platform, repository, digests);
  const [tags, sizes, contents] = [
    await findTagsOfImages(platform, repository.id, digests, { withAll: withAllTags }),
    await findIndexSizes(platform, repository, rows.filter(isIndex).map(digestOfRow)),
    await readContents(platform, repository.id, rows),
  ];
  return rows.map((row) => {
    const ofRow = tags.get(row.digest) ?? { tags: [], hasMoreTags: false };
    const content = contents.get(row.digest) ?? { layers: [], entries: [] };
    return { ...toImage(row, sizes.get(row.digest) ?? row.image_size), ...ofRow, ...content };
  });
}

async function readRows({ db }: Platform, { id }: SeenRepository, digests: readonly Digest[]): Promise<Row[]> {
  if (digests.length === 0) return [];
  const rows = await db
    .selectFrom('manifests')
    .select(columns)
    .select(sql<Uint8Array | null>`case when size <= ${fewBytes} then bytes end`.as('bytes'))
    .where('repository_id', '=', id)
    .where('digest', 'in', digests)
    .execute();
  const byDigest = new Map(rows.map((row) => [row.digest, row]));
  return digests.flatMap((digest) => byDigest.get(digest) ?? []);
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

const fewBytes = 16 * 1024;

/** Manifests may have four megabytes each: large ones are read and parsed some at a time, so that a page stays small. */
async function readContents({ db }: Platform, repositoryId: string, rows: readonly Row[]) {
  const contents = new Map<string, ReturnType<typeof parseContent>>();
  for (const { digest, bytes } of rows) if (bytes) contents.set(digest, parseContent(bytes));
  for (const batch of inBatches(rows.filter(({ bytes }) => !bytes))) {
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
