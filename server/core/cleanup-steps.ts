// What `cleanup.ts` does in one transaction, which begins with the repository's lock. Where nothing is there to remove,
// there is none: a list of a hundred thousand made-up names must not become a thousand commits.

import { sql } from 'kysely';
import type { Actor } from './actors.ts';
import { growthWithout, refreshAttachments } from './attachments.ts';
import { recordAudit } from './audit.ts';
import type { Digest } from './digest.ts';
import { growRepository, lockRepository } from './links.ts';
import type { TagName } from './names.ts';
import type { Platform } from './platform.ts';
import type { LiveRepository } from './registry-access.ts';
import { release } from './sizes.ts';
import { transact } from './transact.ts';

export type Removal = {
  removed: { digest: Digest; tags: string[] }[];
  /** What stays because an index of the repository lists it, with one such index. */
  listed: { digest: Digest; index: string; tags: string[] }[];
};

type TagsByDigest = ReadonlyMap<string, readonly { name: string }[]>;

/**
 * Removes these tags, and the images of which they were the last ones. Unknown tags are left out; `listed` are the
 * images that would have gone.
 */
export async function removeTags(
  platform: Platform,
  actor: Actor,
  repository: LiveRepository,
  names: readonly TagName[],
): Promise<{ removed: { name: string; digest: Digest }[]; listed: Digest[] }> {
  if (!(await hasSome(platform, 'tags', repository.id, names))) return { removed: [], listed: [] };
  return transact(platform, async (platform) => {
    await lockRepository(platform, repository.id);
    const rows = await platform.db
      .deleteFrom('tags')
      .where('repository_id', '=', repository.id)
      .where('name', 'in', names)
      .returning(['name', 'digest'])
      .execute();
    if (rows.length === 0) return { removed: [], listed: [] };
    const digests = [...new Set(rows.map((row) => row.digest as Digest))];
    const images = await refreshAttachments(platform, repository.id, digests);
    await growRepository(platform, repository.id, { images, tags: -rows.length });
    for (const { name, digest } of rows) {
      const target = { kind: 'tag', id: name, name: `${repository.name}:${name}` };
      await recordAudit(platform, actor, { action: 'tag.delete', target, detail: { digest } });
    }
    const tagged = await findTags(platform, repository.id, digests);
    const untagged = digests.filter((digest) => !tagged.has(digest));
    const { listed } = await removeUnlisted(platform, actor, repository, { digests: untagged, tags: new Map() });
    return { removed: rows as { name: string; digest: Digest }[], listed: listed.map(({ digest }) => digest) };
  });
}

/** Removes these images with their tags; those that were not asked for by digest only as long as they have no tag. */
export async function removeImages(
  platform: Platform,
  actor: Actor,
  repository: LiveRepository,
  { digests, isAsked }: { digests: readonly Digest[]; isAsked: (digest: Digest) => boolean },
): Promise<Removal> {
  if (!(await hasSome(platform, 'manifests', repository.id, digests))) return { removed: [], listed: [] };
  return transact(platform, async (platform) => {
    await lockRepository(platform, repository.id);
    const tags = await findTags(platform, repository.id, digests);
    const wanted = digests.filter((digest) => isAsked(digest) || !tags.has(digest));
    return removeUnlisted(platform, actor, repository, { digests: wanted, tags });
  });
}

const keys = { tags: 'name', manifests: 'digest' } as const;

async function hasSome(
  { db }: Platform,
  table: keyof typeof keys,
  repositoryId: string,
  values: readonly string[],
): Promise<boolean> {
  const { rows } = await sql`select 1 from ${sql.table(table)}
    where repository_id = ${repositoryId} and ${sql.ref(keys[table])} in (${sql.join(values)}) limit 1`.execute(db);
  return rows.length > 0;
}

async function findTags({ db }: Platform, repositoryId: string, digests: readonly Digest[]): Promise<TagsByDigest> {
  const rows = await db
    .selectFrom('tags')
    .select(['digest', 'name'])
    .where('repository_id', '=', repositoryId)
    .where('digest', 'in', digests)
    // In the order of the index by digest: by name alone SQLite would read all tags of the repository.
    .orderBy('digest')
    .orderBy('name')
    .execute();
  return Map.groupBy(rows, ({ digest }) => digest);
}

/** Inside a transaction that holds the repository, as its last step. `tags`: those that the images have. */
async function removeUnlisted(
  platform: Platform,
  actor: Actor,
  repository: LiveRepository,
  { digests, tags }: { digests: readonly Digest[]; tags: TagsByDigest },
): Promise<Removal> {
  if (digests.length === 0) return { removed: [], listed: [] };
  const indexes = await findIndexes(platform, repository.id, digests);
  const unlisted = digests.filter((digest) => !indexes.has(digest));
  const rows = await deleteRows(platform, repository.id, unlisted);
  const tagsOf = (digest: string) => (tags.get(digest) ?? []).map(({ name }) => name);
  if (rows.length > 0) {
    const counts = new Map([...tags].map(([digest, names]) => [digest, names.length]));
    const growth = growthWithout(rows, counts);
    await growRepository(platform, repository.id, growth);
    for (const { digest } of rows) {
      const target = { kind: 'manifest', id: digest, name: `${repository.name}@${digest}` };
      await recordAudit(platform, actor, { action: 'manifest.delete', target });
    }
    await release(platform, repository.registry.id, -growth.bytes);
  }
  return {
    removed: rows.map(({ digest }) => ({ digest: digest as Digest, tags: tagsOf(digest) })),
    listed: [...indexes].map(([digest, index]) => ({ digest: digest as Digest, index, tags: tagsOf(digest) })),
  };
}

/** Of those that are here and listed: an index that lists it. */
async function findIndexes({ db }: Platform, repositoryId: string, digests: readonly Digest[]) {
  const rows = await db
    .selectFrom('manifest_references as r')
    .innerJoin('manifests as m', (join) =>
      join.onRef('m.repository_id', '=', 'r.repository_id').onRef('m.digest', '=', 'r.child_digest'),
    )
    .select((eb) => ['r.child_digest', eb.fn.min('r.manifest_digest').as('index')])
    .where('r.repository_id', '=', repositoryId)
    .where('r.child_digest', 'in', digests)
    .groupBy('r.child_digest')
    .execute();
  return new Map(rows.map((row) => [row.child_digest, row.index]));
}

/** Tags and references go with them. */
async function deleteRows({ db }: Platform, repositoryId: string, digests: readonly Digest[]) {
  if (digests.length === 0) return [];
  return db
    .deleteFrom('manifests')
    .where('repository_id', '=', repositoryId)
    .where('digest', 'in', digests)
    .returning(['digest', 'size', 'is_attachment'])
    .execute();
}
