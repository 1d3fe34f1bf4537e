// Images found by a part of a tag or by the beginning of a digest. Of a hundred thousand tags each search reads all names,
// so it must read nothing else: `tags_by_image` holds the folded names in the order in which images are listed. Digests
// are found by their range in the key; in the middle of one nobody searches.

import { type SqlBool, sql } from 'kysely';
import type { Digest } from './digest.ts';
import { type Order, type Page, type PageInput, readPage, toSearchPattern } from './page.ts';
import type { Platform } from './platform.ts';

type Found = { pushed_at: number; digest: string };
type Search = { repositoryId: string; search: string };

const newestFirst = (column: string): Order<Found> => ({
  columns: [
    { sql: sql.ref(column), type: 'number', of: (row) => row.pushed_at },
    { sql: sql.ref('digest'), type: 'text', of: (row) => row.digest },
  ],
  descending: true,
});

/** Digests of images, newest push first. */
export async function searchImages(platform: Platform, input: Search, page: PageInput): Promise<Page<Digest>> {
  const named = await findByDigest(platform, input);
  const tagged = selectTagged(platform, input);
  if (named.length === 0) {
    const distinct = tagged.groupBy(['image_pushed_at', 'digest']);
    return readPage(distinct, newestFirst('image_pushed_at'), page, toDigest);
  }
  const found = platform.db
    .selectFrom(withNamed(platform, input, named).as('manifests'))
    .select(['pushed_at', 'digest']);
  return readPage(found, newestFirst('pushed_at'), page, toDigest);
}

/** How many `searchImages` finds on all its pages. */
export async function countFound(platform: Platform, input: Search): Promise<number> {
  const named = await findByDigest(platform, input);
  const tagged = selectTagged(platform, input).groupBy(['image_pushed_at', 'digest']);
  const found = named.length === 0 ? tagged : withNamed(platform, input, named);
  const { count } = await platform.db
    .selectFrom(found.as('found'))
    .select((eb) => eb.cast<number>(eb.fn.countAll(), 'bigint').as('count'))
    .executeTakeFirstOrThrow();
  return count;
}

const toDigest = (row: Found) => row.digest as Digest;

function selectTagged({ db }: Platform, { repositoryId, search }: Search) {
  return db
    .selectFrom('tags')
    .select([sql<number>`image_pushed_at`.as('pushed_at'), 'digest'])
    .where('repository_id', '=', repositoryId)
    .where('image_pushed_at', 'is not', null)
    .where(sql<SqlBool>`lower(name) like ${toSearchPattern(search)} escape '\\'`);
}

function withNamed(platform: Platform, input: Search, named: readonly string[]) {
  const { db } = platform;
  return selectTagged(platform, input).union(
    db
      .selectFrom('manifests')
      .select(['pushed_at', 'digest'])
      .where('repository_id', '=', input.repositoryId)
      .where('digest', 'in', named),
  );
}

/** Fewer digits would be the beginning of too many digests, and of most numbers in tags. */
const digestStart = /^(?:(sha256|sha512):)?([0-9a-f]{4,128})$/;
const namedMax = 1000;

async function findByDigest(platform: Platform, { repositoryId, search }: Search): Promise<string[]> {
  const [, algorithm, hex] = digestStart.exec(search.toLowerCase()) ?? [];
  if (hex === undefined) return [];
  const found: string[] = [];
  for (const one of algorithm ? [algorithm] : ['sha256', 'sha512']) {
    found.push(...(await findInRange(platform, repositoryId, `${one}:${hex}`)));
  }
  return found;
}

/** One range of the key in a statement, and nothing else: of two, or of images alone, SQLite would read the whole list. */
async function findInRange({ db }: Platform, repositoryId: string, start: string): Promise<string[]> {
  const rows = await db
    .selectFrom('manifests')
    .select(['digest', 'is_attachment'])
    .where('repository_id', '=', repositoryId)
    // `g` comes after all that a digest is made of.
    .where((eb) => eb.between('digest', start, `${start}g`))
    .limit(namedMax)
    .execute();
  return rows.filter((row) => !row.is_attachment).map((row) => row.digest);
}
