// Whether the store is the one that the database's objects are in. A server with the address of another one would start well,
// fail every pull and keep pushes where nobody looks for them.

import { Failure } from './failure.ts';
import { newObjectKey } from './ids.ts';
import type { Platform } from './platform.ts';

/** So many that a store which has lost some by accident is not taken for another one. */
const sampleSize = 5;

/**
 * What to tell the operator of a store that has none of some objects that it should have; undefined if it has one, or
 * nothing can be known. Throws where the store cannot be asked now.
 */
export async function findWrongStore(platform: Platform, place: string): Promise<Failure | undefined> {
  const keys = await sampleStored(platform);
  const answers = await Promise.allSettled(keys.map((key) => platform.blobs.size(key)));
  if (answers.some((answer) => answer.status === 'fulfilled' && answer.value !== undefined)) return undefined;
  for (const answer of answers) if (answer.status === 'rejected') throw answer.reason;
  if (!(await isAnyNeeded(platform, keys))) return undefined;
  const { count } = await platform.scans
    .selectFrom('objects')
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .where('state', '=', 'stored')
    .executeTakeFirstOrThrow();
  return new Failure(
    'unavailable',
    `The database knows ${count} ${Number(count) === 1 ? 'object' : 'objects'}, and none of those looked for (${keys.length}) is in ${place}. Check LADING_STORAGE_URL and LADING_DATA_DIR: they must name the place in which the objects were stored. Only if this is that place, and they are gone for good: bin/lading verify --repair --yes marks them as lost, and the server starts.`,
  );
}

/** Keys are random: those that follow a random one are a fair choice. */
async function sampleStored({ db }: Platform): Promise<string[]> {
  const start = newObjectKey();
  const find = async (side: '>' | '<=', limit: number) => {
    const stored = db.selectFrom('objects').select('key').where('state', '=', 'stored');
    const rows = await stored.where('key', side, start).orderBy('key').limit(limit).execute();
    return rows.map(({ key }) => key);
  };
  const after = await find('>', sampleSize);
  return after.length < sampleSize ? [...after, ...(await find('<=', sampleSize - after.length))] : after;
}

/** Meanwhile they may have been removed for good reasons, and what is known to be lost is looked for in vain anywhere. */
async function isAnyNeeded({ scans }: Platform, keys: readonly string[]): Promise<boolean> {
  if (keys.length === 0) return false;
  const row = await scans
    .selectFrom('objects as o')
    .innerJoin('blobs as b', 'b.object_key', 'o.key')
    .select('o.key')
    .where('o.key', 'in', keys)
    .where('o.state', '=', 'stored')
    .where('b.lost', '=', 0)
    .limit(1)
    .executeTakeFirst();
  return row !== undefined;
}
