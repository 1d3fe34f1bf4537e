// What `lading verify --repair` writes. Each counter is counted again under a lock of its row, taken by a statement of its
// own: whoever changes what is counted changes the counter in the same transaction, so after the lock it is one or the
// other, and a count beside a push would write drift into a row that was right.

import { sql } from 'kysely';
import { counts, type KnownObject, usesObject } from './counts.ts';
import type { Platform } from './platform.ts';
import { release } from './sizes.ts';
import { transact } from './transact.ts';

/** The bytes are gone or damaged. The digest is not there any more until it is pushed again. */
export async function markLost({ db }: Platform, object: KnownObject): Promise<boolean> {
  const rows = await db
    .updateTable('blobs')
    .set({ lost: 1 })
    .where(usesObject(object))
    .where('lost', '=', 0)
    .returning('digest')
    .execute();
  return rows.length > 0;
}

export type MarkedBlob = { registryId: string; digest: string; key: string };

/** Its bytes are there after all. False if it has been pushed anew or removed meanwhile. */
export async function takeBackLost({ db }: Platform, { registryId, digest, key }: MarkedBlob): Promise<boolean> {
  const row = await db
    .updateTable('blobs')
    .set({ lost: 0 })
    .where('registry_id', '=', registryId)
    .where('digest', '=', digest)
    .where('object_key', '=', key)
    .where('lost', '=', 1)
    .returning('digest')
    .executeTakeFirst();
  return row !== undefined;
}

/**
 * False if the blob is gone, or has no link: such a row is a bug to look into, not a number to mend.
 */
export async function correctLinks(platform: Platform, registryId: string, digest: string): Promise<boolean> {
  return transact(platform, async ({ db }) => {
    const update = db.updateTable('blobs').where('registry_id', '=', registryId).where('digest', '=', digest);
    await update.set({ links: sql`links` }).execute();
    const row = await db
      .selectFrom('blobs as b')
      .select(counts.links.as('links'))
      .where('b.registry_id', '=', registryId)
      .where('b.digest', '=', digest)
      .executeTakeFirst();
    if (!row || row.links === 0) return false;
    await update.set(row).execute();
    return true;
  });
}

/** Whether it is an attachment, and with it how many images its repository has. False if the manifest is gone. */
export async function correctKind(platform: Platform, repositoryId: string, digest: string): Promise<boolean> {
  return transact(platform, async ({ db }) => {
    const update = db.updateTable('repositories').where('id', '=', repositoryId);
    await update.set({ revision: sql`revision + 1` }).execute();
    const row = await db
      .selectFrom('manifests as m')
      .select(counts.isAttachment.as('is_attachment'))
      .where('m.repository_id', '=', repositoryId)
      .where('m.digest', '=', digest)
      .executeTakeFirst();
    if (!row) return false;
    const manifest = db.updateTable('manifests').where('repository_id', '=', repositoryId).where('digest', '=', digest);
    await manifest.set(row).execute();
    const images = await db
      .selectFrom('repositories as p')
      .select(counts.repositoryImages.as('image_count'))
      .where('p.id', '=', repositoryId)
      .executeTakeFirstOrThrow();
    await update.set(images).execute();
    return true;
  });
}

/** All counters of a repository; one that comes to be listed is counted by its registry. False if it is gone. */
export async function correctRepository(platform: Platform, repositoryId: string): Promise<boolean> {
  return transact(platform, async (platform) => {
    const { db } = platform;
    const update = db.updateTable('repositories').where('id', '=', repositoryId);
    await update.set({ revision: sql`revision + 1` }).execute();
    const row = await db
      .selectFrom('repositories as p')
      .select(['p.registry_id', 'p.is_listed as was_listed', counts.repositoryListed.as('is_listed')])
      .select([counts.repositorySize.as('size'), counts.repositoryImages.as('image_count')])
      .select(counts.repositoryTags.as('tag_count'))
      .where('p.id', '=', repositoryId)
      .executeTakeFirst();
    if (!row) return false;
    const { registry_id, was_listed, ...counters } = row;
    await update.set(counters).execute();
    await dateTags(platform, repositoryId);
    await release(platform, registry_id, 0, 0, was_listed - counters.is_listed);
    return true;
  });
}

/** What searches by tag order images by. */
async function dateTags({ db }: Platform, repositoryId: string): Promise<void> {
  const pushedAt = sql<number | null>`case when belongs_to is null then (select m.pushed_at from manifests m
    where m.repository_id = tags.repository_id and m.digest = tags.digest and m.subject is null) end`;
  await db
    .updateTable('tags')
    .set({ image_pushed_at: pushedAt })
    .where('repository_id', '=', repositoryId)
    .where(sql<boolean>`coalesce(image_pushed_at, -1) <> coalesce(${pushedAt}, -1)`)
    .execute();
}

/** False if the object is not stored. */
export async function correctUses(platform: Platform, object: KnownObject): Promise<boolean> {
  return transact(platform, async ({ db }) => {
    const update = db.updateTable('objects').where('key', '=', object.key).where('state', '=', 'stored');
    await update.set({ refs: sql`refs` }).execute();
    const row = await db
      .selectFrom('objects as o')
      .select(counts.usesOf(object).as('refs'))
      .where('o.key', '=', object.key)
      .where('o.state', '=', 'stored')
      .executeTakeFirst();
    if (row) await update.set(row).execute();
    return row !== undefined;
  });
}

/** Size, reservations and repositories of a registry. False if it is gone. */
export async function correctRegistry(platform: Platform, registryId: string): Promise<boolean> {
  return transact(platform, async ({ db }) => {
    const update = db.updateTable('registries').where('id', '=', registryId);
    await update.set({ size: sql`size` }).execute();
    const row = await db
      .selectFrom('registries as g')
      .select([counts.registrySize.as('size'), counts.registryReserved.as('reserved')])
      .select(counts.registryRepositories.as('repository_count'))
      .where('g.id', '=', registryId)
      .executeTakeFirst();
    if (row) await update.set(row).execute();
    return row !== undefined;
  });
}
