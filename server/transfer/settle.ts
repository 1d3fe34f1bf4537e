import { type Kysely, sql } from 'kysely';
import type { Schema } from '#core/schema.ts';
import type { ObjectFault } from './copy-objects.ts';

/** What the source no longer has. `what` names it as a person would. */
export type LostContent = { what: string; why: string };

/**
 * In the transaction that makes the target whole: what could not be copied is said to be lost, uploads that miss a part are
 * given up, and counters are made to fit.
 */
export async function settle(db: Kysely<Schema>, faults: readonly ObjectFault[]): Promise<LostContent[]> {
  const lost: LostContent[] = [];
  for (const fault of faults) {
    lost.push(fault.digest === null ? await giveUpUpload(db, fault) : await markLost(db, fault));
  }
  // A lost blob keeps its object until it is pushed again, as in the source.
  await db.updateTable('objects').set({ state: 'stored' }).where('state', '=', 'writing').execute();
  await db.updateTable('objects').set({ attempts: 0 }).where('attempts', '>', 0).execute();
  await db
    .updateTable('registries')
    .set({
      reserved: sql<number>`(select cast(coalesce(sum(o.size), 0) as bigint) from objects o
        where o.reserved_in = registries.id and o.state <> 'doomed')`,
    })
    .execute();
  return lost;
}

async function markLost(db: Kysely<Schema>, { key, digest, why }: ObjectFault): Promise<LostContent> {
  await db
    .updateTable('blobs')
    .set({ lost: 1 })
    .where('digest', '=', digest ?? '')
    .where('object_key', '=', key)
    .execute();
  const registries = await db
    .selectFrom('blobs as b')
    .innerJoin('registries as g', 'g.id', 'b.registry_id')
    .select('g.name')
    .where('b.digest', '=', digest ?? '')
    .where('b.object_key', '=', key)
    .orderBy('g.name')
    .execute();
  return { what: `${digest} of ${registries.map(({ name }) => name).join(', ')}`, why };
}

/** Its client is told that there is no such upload, and begins again. */
async function giveUpUpload(db: Kysely<Schema>, { key, why }: ObjectFault): Promise<LostContent> {
  const part = await db.selectFrom('upload_parts').select('upload_id').where('object_key', '=', key).executeTakeFirst();
  if (!part) return { what: `object ${key}`, why };
  const { upload_id: id } = part;
  const parts = await db.deleteFrom('upload_parts').where('upload_id', '=', id).returning('object_key').execute();
  await db.deleteFrom('uploads').where('id', '=', id).execute();
  const keys = parts.map((row) => row.object_key);
  await db
    .updateTable('objects')
    .set({ state: 'doomed', refs: 0, reserved_in: null, remove_after: 0 })
    .where('key', 'in', keys)
    .where('refs', '=', 1)
    .execute();
  return { what: `a part of the upload ${id}`, why };
}
