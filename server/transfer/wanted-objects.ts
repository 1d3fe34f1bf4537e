import type { Kysely } from 'kysely';
import type { Schema } from '#core/schema.ts';

export type WantedObject = {
  key: string;
  size: number;
  /** `stored`: an earlier run has copied it. */
  state: 'writing' | 'stored';
  /** More than 0: an earlier run may have begun to write it. */
  attempts: number;
  /** Of the blobs that use it, which all have the same; null: a part of an upload, whose digest nobody knows. */
  digest: string | null;
  /** All blobs that use it were known to be lost before. */
  isGivenUp: boolean;
};

/** Each page reads all blobs once: there is no index by object (decision 0021). */
const pageSize = 50_000;

/** Every object that the target's rows need. */
export async function* listWanted(scans: Kysely<Schema>): AsyncGenerator<WantedObject[]> {
  let after = '';
  for (;;) {
    const page = await listPage(scans, after);
    yield page;
    const last = page.at(-1);
    if (!last || page.length < pageSize) return;
    after = last.key;
  }
}

async function listPage(scans: Kysely<Schema>, after: string): Promise<WantedObject[]> {
  const rows = await scans
    .with('page', (db) =>
      db
        .selectFrom('objects')
        .select(['key', 'size', 'state', 'attempts'])
        .where('state', '<>', 'doomed')
        .where('key', '>', after)
        .orderBy('key')
        .limit(pageSize),
    )
    .with('used', (db) =>
      db
        .selectFrom('blobs')
        .select(({ fn }) => ['object_key', fn.min('digest').as('digest'), fn.min('lost').as('lost')])
        .where('object_key', '>', after)
        .where('object_key', '<=', ({ selectFrom }) => selectFrom('page').select(({ fn }) => fn.max('key').as('last')))
        .groupBy('object_key'),
    )
    .selectFrom('page as o')
    .leftJoin('used as u', 'u.object_key', 'o.key')
    .select(['o.key', 'o.size', 'o.state', 'o.attempts', 'u.digest', 'u.lost'])
    .orderBy('o.key')
    .execute();
  return rows.map(({ lost, state, ...row }) => ({
    ...row,
    state: state as WantedObject['state'],
    isGivenUp: lost === 1,
  }));
}
