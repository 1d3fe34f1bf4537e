// Links, leases and the count of links: who may read a blob where, and for how long nobody may collect it.
// Everything here runs inside a transaction whose first statement was `lockRepository`: after it, whatever is read of
// the same repository is exact, although the isolation is READ COMMITTED.

import { sql } from 'kysely';
import type { Digest } from './digest.ts';
import { Failure } from './failure.ts';
import { removalDelayMs, shareObject, unref } from './objects.ts';
import type { Platform } from './platform.ts';

/** How long content that someone is about to use is safe from collection. Half of it is a promise to every HEAD. */
export const leaseMs = 6 * 3600_000;

type Repository = { id: string; registryId: string };

/** Always the first statement. Answers whether lists show it already. Throws `not_found` about the repository. */
export async function lockRepository(platform: Platform, repositoryId: string): Promise<{ isListed: boolean }> {
  const locked = await lockIfThere(platform, repositoryId);
  if (!locked) throw new Failure('not_found', 'The repository is gone.', { about: 'repository' });
  return locked;
}

export async function lockIfThere({ db }: Platform, repositoryId: string): Promise<{ isListed: boolean } | undefined> {
  const row = await db
    .updateTable('repositories')
    .set({ revision: sql`revision + 1` })
    .where('id', '=', repositoryId)
    .where('state', '=', 'live')
    .returning('is_listed')
    .executeTakeFirst();
  return row && { isListed: row.is_listed === 1 };
}

/** What a repository has more, or less where it is negative. `isListed`: it has its first manifest. */
export type Growth = { bytes?: number; images?: number; tags?: number; isListed?: boolean };

/** Adds to what a repository shows of itself; its row is locked already. */
export async function growRepository(
  { db, now }: Platform,
  id: string,
  { bytes = 0, images = 0, tags = 0, isListed = false }: Growth,
): Promise<void> {
  await db
    .updateTable('repositories')
    .set({
      size: sql`size + ${bytes}`,
      image_count: sql`image_count + ${images}`,
      tag_count: sql`tag_count + ${tags}`,
      updated_at: now(),
    })
    .$if(isListed, (query) => query.set({ is_listed: 1 }))
    .where('id', '=', id)
    .execute();
}

/** Takes or prolongs a lease. A second holder makes it everybody's (`*`), so that nobody's push can end it. */
export const leaseLink = leaseIn('repository_blobs');
export const leaseManifest = leaseIn('manifests');

function leaseIn(table: 'repository_blobs' | 'manifests') {
  return async ({ db, now }: Platform, repositoryId: string, digest: string, holder: string): Promise<boolean> => {
    const row = await db
      .updateTable(table)
      .set(leaseFields(now(), holder))
      .where('repository_id', '=', repositoryId)
      .where('digest', '=', digest)
      .returning('digest')
      .executeTakeFirst();
    return row !== undefined;
  };
}

function leaseFields(now: number, holder: string) {
  return {
    leased_by: sql<string>`case when leased_until <= ${now} or leased_by = ${holder} then ${holder} else '*' end`,
    leased_until: now + leaseMs,
  };
}

/** Whether more than half of a lease is left for this holder: then a HEAD stays a read. */
export function isFreshLease(row: { leased_until: number; leased_by: string }, now: number, holder: string): boolean {
  return row.leased_until >= now + leaseMs / 2 && (row.leased_by === holder || row.leased_by === '*');
}

export type StoredBlob = { digest: Digest; key: string; size: number };

/**
 * Makes stored bytes a blob of the repository, leased to the holder. The object was sealed for us, with one use; where
 * the registry or another one has these bytes already, that use is given back. Answers by how much the registry grew.
 */
export async function linkBlob(
  platform: Platform,
  { id, registryId }: Repository,
  blob: StoredBlob,
  holder: string,
): Promise<number> {
  const { now } = platform;
  const isReplaced = await replaceLostBytes(platform, registryId, blob);
  if (await leaseLink(platform, id, blob.digest, holder)) {
    if (!isReplaced) await unref(platform, [blob.key], now());
    return 0;
  }
  const links = await countLink(platform, registryId, blob);
  if (links === 1) await shareOrKeep(platform, registryId, blob);
  else if (!isReplaced) await unref(platform, [blob.key], now());
  await insertLink(platform, { id, registryId }, blob.digest, holder);
  await growRepository(platform, id, { bytes: blob.size });
  return links === 1 ? blob.size : 0;
}

/** A blob whose bytes `lading verify` found damaged takes the new ones; it was charged when it first came. */
async function replaceLostBytes(platform: Platform, registryId: string, blob: StoredBlob): Promise<boolean> {
  const { db, now } = platform;
  const lost = await db
    .selectFrom('blobs')
    .select('object_key')
    .where('registry_id', '=', registryId)
    .where('digest', '=', blob.digest)
    .where('lost', '=', 1)
    .executeTakeFirst();
  if (!lost) return false;
  const row = await db
    .updateTable('blobs')
    .set({ object_key: blob.key, lost: 0 })
    .where('registry_id', '=', registryId)
    .where('digest', '=', blob.digest)
    .where('lost', '=', 1)
    .returning('digest')
    .executeTakeFirst();
  if (!row) return false;
  await db.updateTable('objects').set({ reserved_in: null }).where('key', '=', blob.key).execute();
  await unref(platform, [lost.object_key], now() + removalDelayMs);
  return true;
}

/** Counts one more link of the digest in the registry. Two first links at once meet here; the second waits. */
export async function countLink({ db }: Platform, registryId: string, blob: StoredBlob): Promise<number> {
  const row = await db
    .insertInto('blobs')
    .values({
      registry_id: registryId,
      digest: blob.digest,
      object_key: blob.key,
      size: blob.size,
      links: 1,
      lost: 0,
    })
    .onConflict((oc) => oc.columns(['registry_id', 'digest']).doUpdateSet({ links: sql`blobs.links + 1` }))
    .returning('links')
    .executeTakeFirstOrThrow();
  return row.links;
}

/** Another registry's copy of the same bytes is used instead of ours, where there is one. */
async function shareOrKeep(platform: Platform, registryId: string, blob: StoredBlob): Promise<void> {
  const { db, now } = platform;
  const other = await db
    .selectFrom('blobs')
    .select('object_key')
    .where('digest', '=', blob.digest)
    .where('registry_id', '<>', registryId)
    .where('lost', '=', 0)
    .limit(1)
    .executeTakeFirst();
  if (other && (await shareObject(platform, other.object_key))) {
    await db
      .updateTable('blobs')
      .set({ object_key: other.object_key })
      .where('registry_id', '=', registryId)
      .where('digest', '=', blob.digest)
      .execute();
    await unref(platform, [blob.key], now());
  } else {
    await db.updateTable('objects').set({ reserved_in: null }).where('key', '=', blob.key).execute();
  }
}

export async function insertLink(
  { db, now }: Platform,
  { id, registryId }: Repository,
  digest: string,
  holder: string,
): Promise<void> {
  await db
    .insertInto('repository_blobs')
    .values({
      repository_id: id,
      digest,
      registry_id: registryId,
      leased_until: now() + leaseMs,
      leased_by: holder,
    })
    .execute();
}

/** What is left of blobs that lost links: `bytes` is the size of all of them, `freedBytes` of those that went. */
export type Unlinked = { bytes: number; freedBytes: number };

/**
 * After links of these digests were deleted: takes them off the registry's count; a blob with no link left goes, and its
 * bytes after a delay. What was freed is to be released from the registry as the transaction's last statement.
 */
export async function unlink(platform: Platform, registryId: string, digests: readonly string[]): Promise<Unlinked> {
  if (digests.length === 0) return { bytes: 0, freedBytes: 0 };
  const { db, now } = platform;
  const blobs = await db
    .updateTable('blobs')
    .set({ links: sql`links - 1` })
    .where('registry_id', '=', registryId)
    .where('digest', 'in', [...digests].sort())
    .returning(['digest', 'object_key', 'size', 'links'])
    .execute();
  const gone = blobs.filter((blob) => blob.links === 0);
  if (gone.length > 0)
    await removeUnlinked(
      platform,
      registryId,
      gone.map((blob) => blob.digest),
    );
  await unref(
    platform,
    gone.map((blob) => blob.object_key),
    now() + removalDelayMs,
  );
  return { bytes: sizeOf(blobs), freedBytes: sizeOf(gone) };
}

async function removeUnlinked({ db }: Platform, registryId: string, digests: readonly string[]): Promise<void> {
  await db
    .deleteFrom('blobs')
    .where('registry_id', '=', registryId)
    .where('digest', 'in', digests)
    .where('links', '=', 0)
    .execute();
}

const sizeOf = (blobs: readonly { size: number }[]) => blobs.reduce((sum, { size }) => sum + size, 0);
