import { sql } from 'kysely';
import { correctUses, markLost } from './corrections.ts';
import { counts, type KnownObject, usesObject } from './counts.ts';
import { Failure } from './failure.ts';
import type { Platform } from './platform.ts';
import type { Checked, Verification } from './verify.ts';
import type { Fault, Look } from './verify-bytes.ts';

/** Each page reads all blobs once: there is no index by object (decision 0021). */
const pageSize = 50_000;

type StoredObject = KnownObject & { size: number; refs: number; uses: number };
export type SuspectObject = StoredObject & { fault: Fault | undefined };

/** Every object that a row calls stored: in the store, of that size, used as often as it says? Changes and reports nothing. */
export async function findSuspects(
  { platform, deep }: Verification,
  checked: Checked,
  look: Look,
): Promise<SuspectObject[]> {
  const suspects: SuspectObject[] = [];
  let after = '';
  for (;;) {
    const page = await listStored(platform, after);
    for (const object of page) {
      const found = await look(object, deep);
      const fault = found && (await isNeeded(platform, object)) ? found : undefined;
      if (fault || object.refs !== object.uses) suspects.push({ ...object, fault });
      checked.objects++;
    }
    const last = page.at(-1);
    if (!last || page.length < pageSize) return suspects;
    after = last.key;
  }
}

const many = 20;

/** A store that is not the servers' own has nothing of what is looked for. Throws `conflict` before all would be given up. */
export function requireOwnStore(suspects: readonly SuspectObject[], { objects }: Checked): void {
  const lost = suspects.filter(({ fault, digest }) => digest !== null && isSure(fault)).length;
  if (lost <= many || lost * 2 <= objects) return;
  throw new Failure(
    'conflict',
    `${lost} of ${objects} objects are missing or damaged and would be marked as lost, so nothing was changed: look whether LADING_STORAGE_URL (its bucket and prefix) or LADING_DATA_DIR names the place that the servers use, and only if their bytes are gone for good run this again with --yes.`,
  );
}

/** An error of the store is no answer: only what is surely gone or damaged is given up. */
const isSure = (fault: Fault | undefined): boolean => fault !== undefined && fault.kind !== 'object in doubt';

export async function verifySuspects(verification: Verification, suspects: readonly SuspectObject[]): Promise<void> {
  for (const suspect of suspects) await verifySuspect(verification, suspect);
}

function listStored({ scans }: Platform, after: string): Promise<StoredObject[]> {
  return scans
    .with('page', (db) =>
      db
        .selectFrom('objects')
        .select(['key', 'size', 'refs'])
        .where('state', '=', 'stored')
        .where('key', '>', after)
        .orderBy('key')
        .limit(pageSize),
    )
    .with('used', (db) =>
      db
        .selectFrom('blobs')
        .select(({ fn }) => ['object_key', fn.min('digest').as('digest'), fn.countAll<number>().as('blobs')])
        .where('object_key', '>', after)
        .where('object_key', '<=', ({ selectFrom }) => selectFrom('page').select(({ fn }) => fn.max('key').as('last')))
        .groupBy('object_key'),
    )
    .selectFrom('page as o')
    .leftJoin('used as u', 'u.object_key', 'o.key')
    .select(['o.key', 'o.size', 'o.refs', 'u.digest'])
    .select(
      sql<number>`cast(coalesce(u.blobs, 0)
        + (select count(*) from upload_parts where object_key = o.key) as bigint)`.as('uses'),
    )
    .orderBy('o.key')
    .execute();
}

async function verifySuspect({ platform, repair, report }: Verification, object: SuspectObject): Promise<void> {
  if (object.refs !== object.uses) {
    const isCorrected = repair && object.uses > 0 && (await correctUses(platform, object));
    const fault = { kind: 'object uses', expected: object.uses, found: object.refs } as const;
    report({ ...fault, what: await nameObject(platform, object), repair: isCorrected ? 'corrected' : undefined });
  }
  const { fault } = object;
  if (!fault || !(await isNeeded(platform, object))) return;
  const what = await nameObject(platform, object);
  const isLost = repair && isSure(fault) && (await markLost(platform, object));
  report({ ...fault, what, repair: isLost ? 'marked as lost' : undefined });
}

/** Meanwhile it may have been removed for good reasons; and a blob that is known to be lost needs it no more. */
async function isNeeded({ db }: Platform, object: StoredObject): Promise<boolean> {
  const row = await db
    .selectFrom('objects as o')
    .select(['o.state', counts.usesOf(object).as('uses')])
    .select(({ selectFrom, fn }) =>
      selectFrom('blobs')
        .select(fn.countAll<number>().as('n'))
        .where(usesObject(object))
        .where('lost', '=', 1)
        .as('lost'),
    )
    .where('o.key', '=', object.key)
    .executeTakeFirst();
  return row?.state === 'stored' && (row.uses === 0 || row.uses > Number(row.lost));
}

/** By what uses it: keys mean nothing to people. */
async function nameObject({ db }: Platform, object: StoredObject): Promise<string> {
  const blobs = await db
    .selectFrom('blobs as b')
    .innerJoin('registries as r', 'r.id', 'b.registry_id')
    .select(['b.digest', 'r.name'])
    .where(usesObject(object))
    .orderBy('r.name')
    .limit(10)
    .execute();
  if (blobs.length > 0) return `${blobs[0]?.digest} of ${blobs.map((blob) => blob.name).join(', ')}`;
  const { key } = object;
  const part = await db.selectFrom('upload_parts').select('upload_id').where('object_key', '=', key).executeTakeFirst();
  return part ? `a part of upload ${part.upload_id}` : `object ${key}, which nothing uses`;
}
