// Tags as people list them. `tags.ts` moves and deletes them.

import { setImmediate as othersTurn } from 'node:timers/promises';
import { type Selectable, type SqlBool, sql } from 'kysely';
import type { Actor } from './actors.ts';
import type { TagName } from './names.ts';
import { type Order, type Page, type PageInput, readPage, type Sort, toSearchPattern } from './page.ts';
import type { Platform } from './platform.ts';
import { openOwnRepository, type RepositoryAddress, seeRepository } from './repositories.ts';
import type { TagRow } from './schema.ts';
import { deleteTag, listTagNames } from './tags.ts';

export type Tag = {
  name: string;
  /** What it points to now. */
  digest: string;
  createdAt: number;
  /** When it was last pointed somewhere. */
  updatedAt: number;
};

export type TagQuery = PageInput & { search?: string | undefined; sort?: Sort<'name'> | undefined };

const byName: Order<Selectable<TagRow>>['columns'] = [{ sql: sql.ref('name'), type: 'text', of: (row) => row.name }];

/** By name, byte by byte. Throws `not_found` about the registry or the repository. */
export async function listTags(
  platform: Platform,
  actor: Actor,
  address: RepositoryAddress,
  { search, sort, ...page }: TagQuery,
): Promise<Page<Tag>> {
  const { id } = await seeRepository(platform, actor, address);
  let query = platform.db.selectFrom('tags').selectAll().where('repository_id', '=', id);
  if (search) query = query.where(sql<SqlBool>`lower(name) like ${toSearchPattern(search)} escape '\\'`);
  return readPage(query, { columns: byName, descending: sort?.descending ?? false }, page, toTag);
}

/** All names, in the same order, read a thousand at a time. Throws as `listTags`, before the first. */
export async function* eachTagName(
  platform: Platform,
  actor: Actor,
  address: RepositoryAddress,
): AsyncGenerator<string> {
  const { id } = await seeRepository(platform, actor, address);
  for (let after: string | undefined; ; ) {
    const { names, hasMore } = await listTagNames(platform, { id }, { limit: 1000, after });
    yield* names;
    after = names.at(-1);
    if (!hasMore) return;
    await othersTurn();
  }
}

/** Takes the tag away; the image stays. Throws `not_found`, or `conflict` while the registry is being deleted. */
export async function removeTag(
  platform: Platform,
  actor: Actor,
  address: RepositoryAddress,
  tag: TagName,
): Promise<void> {
  const repository = await openOwnRepository(platform, actor, address, 'images:delete');
  await deleteTag(platform, actor, repository, tag);
}

function toTag(row: Selectable<TagRow>): Tag {
  return { name: row.name, digest: row.digest, createdAt: row.created_at, updatedAt: row.updated_at };
}
