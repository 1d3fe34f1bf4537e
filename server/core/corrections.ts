// What `lading verify --repair` writes. Each counter is counted again under a lock of its row, taken by a statement of its
// own: whoever changes what is counted changes the counter in the same transaction, so after the lock it is one or the
// other, and a count beside a push would write drift into a row that was right.

import { sql } from 'kysely';
import { counts } from './counts.ts';
import type { Platform } from './platform.ts';
import { transact } from './transact.ts';

/** The bytes are gone or damaged. The digest is not there any more until it is pushed again. */
export async function markLost({ db }: Platform, key: string): Promise<boolean> {
  const rows = await db
    .updateTable('blobs')
    .set({ lost: 1 })
    .where('object_key', '=', key)
    .where('lost', '=', 0)
    .returning('digest')
    .execute();
  return rows.length > 0;
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

/** False if the repository is gone. */
export async function correctRepositorySize(platform: Platform, repositoryId: string): Promise<boolean> {
  return transact(platform, async ({ db }) => {
    const update = db.updateTable('repositories').where('id', '=', repositoryId);
    await update.set({ revision: sql`revision + 1` }).execute();
    const row = await db
      .selectFrom('repositories as p')
      .select(counts.repositorySize.as('size'))
      .where('p.id', '=', repositoryId)
      .executeTakeFirst();
    if (row) await update.set(row).execute();
    return row !== undefined;
  });
}

/** False if the object is not stored. */
export async function correctUses(platform: Platform, key: string): Promise<boolean> {
  return transact(platform, async ({ db }) => {
    const update = db.updateTable('objects').where('key', '=', key).where('state', '=', 'stored');
    await update.set({ refs: sql`refs` }).execute();
    const row = await db
      .selectFrom('objects as o')
      .select(counts.uses.as('refs'))
      .where('o.key', '=', key)
      .where('o.state', '=', 'stored')
      .executeTakeFirst();
    if (row) await update.set(row).execute();
    return row !== undefined;
  });
}

/**
 * Size and reservations of a registry. False if it is gone.
 */
export async function correctRegistrySize(platform: Platform, registryId: string): Promise<boolean> {
  return transact(platform, async ({ db }) => {
    const update = db.updateTable('registries').where('id', '=', registryId);
    await update.set({ size: sql`size` }).execute();
    const row = await db
      .selectFrom('registries as g')
      .select([counts.registrySize.as('size'), counts.registryReserved.as('reserved')])
      .where('g.id', '=', registryId)
      .executeTakeFirst();
    if (row) await update.set(row).execute();
    return row !== undefined;
  });
}
