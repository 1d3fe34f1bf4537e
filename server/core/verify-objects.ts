import { createHash } from 'node:crypto';
import { sql } from 'kysely';
import { correctUses, markLost } from './corrections.ts';
import { counts, type KnownObject, usesObject } from './counts.ts';
import { algorithmOf, type Digest, toDigest } from './digest.ts';
import type { Platform } from './platform.ts';
import type { Checked, Finding, Verification } from './verify.ts';

/** Each page reads all blobs once: there is no index by object (decision 0021). */
const pageSize = 50_000;

type StoredObject = KnownObject & { size: number; refs: number; uses: number };
type Fault = Pick<Finding, 'kind' | 'expected' | 'found'>;

/** Every object that a row calls stored: in the store, of that size, used as often as it says. */
export async function verifyObjects(verification: Verification, checked: Checked): Promise<void> {
  let after = '';
  for (;;) {
    const page = await listStored(verification.platform, after);
    for (const object of page) {
      await verifyObject(verification, object, checked);
      checked.objects++;
    }
    const last = page.at(-1);
    if (!last || page.length < pageSize) return;
    after = last.key;
  }
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

async function verifyObject(verification: Verification, object: StoredObject, checked: Checked): Promise<void> {
  const { platform, repair, report } = verification;
  if (object.refs !== object.uses) {
    const isCorrected = repair && object.uses > 0 && (await correctUses(platform, object));
    const fault = { kind: 'object uses', expected: object.uses, found: object.refs } as const;
    report({ ...fault, what: await nameObject(platform, object), repair: isCorrected ? 'corrected' : undefined });
  }
  const fault = await findFault(verification, object, checked);
  if (!fault || !(await isNeeded(platform, object))) return;
  const what = await nameObject(platform, object);
  // An error of the store is no answer: only what is surely gone or damaged is given up.
  const isLost = repair && fault.kind !== 'object in doubt' && (await markLost(platform, object));
  report({ ...fault, what, repair: isLost ? 'marked as lost' : undefined });
}

async function findFault(
  { platform, deep }: Verification,
  { key, size, digest }: StoredObject,
  checked: Checked,
): Promise<Fault | undefined> {
  try {
    const found = await platform.blobs.size(key);
    if (found === undefined) return { kind: 'object missing', expected: `${size} bytes`, found: 'nothing' };
    if (found !== size) return { kind: 'object of wrong size', expected: size, found };
    return deep && digest !== null ? await findDamage(platform, key, digest as Digest, checked) : undefined;
  } catch (error) {
    platform.log.warn({ key, err: error }, 'an object could not be read');
    return { kind: 'object in doubt', expected: `${size} bytes`, found: 'an error of the store' };
  }
}

async function findDamage(
  platform: Platform,
  key: string,
  digest: Digest,
  checked: Checked,
): Promise<Fault | undefined> {
  const bytes = await platform.blobs.read(key);
  if (!bytes) return { kind: 'object missing', expected: digest, found: 'nothing' };
  const algorithm = algorithmOf(digest);
  const hash = createHash(algorithm);
  for await (const chunk of bytes as AsyncIterable<Uint8Array>) {
    checked.bytesRead += chunk.length;
    hash.update(chunk);
  }
  const found = toDigest(algorithm, hash);
  return found === digest ? undefined : { kind: 'object damaged', expected: digest, found };
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
