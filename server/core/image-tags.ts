import type { Platform } from './platform.ts';

export type TagsOfImage = { tags: string[]; hasMoreTags: boolean };

const shownPerImage = 100;
const readAtOnce = 5000;

/**
 * The tags of each image, by name: the first hundred, or all. Of the hundred it is one query, unless some image has
 * thousands: then one for each image.
 */
export async function findTagsOfImages(
  { db }: Platform,
  repositoryId: string,
  digests: readonly string[],
  { withAll = false } = {},
): Promise<Map<string, TagsOfImage>> {
  if (digests.length === 0) return new Map();
  const tags = db.selectFrom('tags').select(['digest', 'name']).where('repository_id', '=', repositoryId);
  if (withAll) {
    const rows = await tags.where('digest', 'in', digests).orderBy('digest').orderBy('name').execute();
    return group(rows, rows.length);
  }
  const rows = await tags
    .where('digest', 'in', digests)
    .orderBy('digest')
    .orderBy('name')
    .limit(readAtOnce + 1)
    .execute();
  if (rows.length <= readAtOnce) return group(rows);
  const found = new Map<string, TagsOfImage>();
  for (const digest of digests) {
    const some = await tags
      .where('digest', '=', digest)
      .orderBy('name')
      .limit(shownPerImage + 1)
      .execute();
    for (const [key, value] of group(some)) found.set(key, value);
  }
  return found;
}

function group(rows: readonly { digest: string; name: string }[], shown = shownPerImage): Map<string, TagsOfImage> {
  return new Map(
    [...Map.groupBy(rows, (row) => row.digest)].map(([digest, tags]) => [
      digest,
      { tags: tags.slice(0, shown).map((tag) => tag.name), hasMoreTags: tags.length > shown },
    ]),
  );
}
