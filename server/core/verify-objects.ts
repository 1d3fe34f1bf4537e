import { createHash } from 'node:crypto';
import { correctUses, markLost } from './corrections.ts';
import { counts } from './counts.ts';
import { type Digest, type DigestAlgorithm, toDigest } from './digest.ts';
import type { Platform } from './platform.ts';
import type { Checked, Finding, Verification } from './verify.ts';

const pageSize = 200;

type StoredObject = { key: string; size: number; refs: number; uses: number };
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

function listStored({ db }: Platform, after: string): Promise<StoredObject[]> {
  return db
    .selectFrom('objects as o')
    .select(['o.key', 'o.size', 'o.refs', counts.uses.as('uses')])
    .where('o.state', '=', 'stored')
    .where('o.key', '>', after)
    .orderBy('o.key')
    .limit(pageSize)
    .execute();
}

async function verifyObject(verification: Verification, object: StoredObject, checked: Checked): Promise<void> {
  const { platform, repair, report } = verification;
  if (object.refs !== object.uses) {
    const isCorrected = repair && object.uses > 0 && (await correctUses(platform, object.key));
    const fault = { kind: 'object uses', expected: object.uses, found: object.refs } as const;
    report({ ...fault, what: await nameObject(platform, object.key), repair: isCorrected ? 'corrected' : undefined });
  }
  const fault = await findFault(verification, object, checked);
  if (!fault || !(await isNeeded(platform, object.key))) return;
  const what = await nameObject(platform, object.key);
  // An error of the store is no answer: only what is surely gone or damaged is given up.
  const isLost = repair && fault.kind !== 'object in doubt' && (await markLost(platform, object.key));
  report({ ...fault, what, repair: isLost ? 'marked as lost' : undefined });
}

async function findFault(
  { platform, deep }: Verification,
  { key, size }: StoredObject,
  checked: Checked,
): Promise<Fault | undefined> {
  try {
    const found = await platform.blobs.size(key);
    if (found === undefined) return { kind: 'object missing', expected: `${size} bytes`, found: 'nothing' };
    if (found !== size) return { kind: 'object of wrong size', expected: size, found };
    return deep ? await findDamage(platform, key, checked) : undefined;
  } catch (error) {
    platform.log.warn({ key, err: error }, 'an object could not be read');
    return { kind: 'object in doubt', expected: `${size} bytes`, found: 'an error of the store' };
  }
}

async function findDamage(platform: Platform, key: string, checked: Checked): Promise<Fault | undefined> {
  const rows = await platform.db
    .selectFrom('blobs')
    .select('digest')
    .distinct()
    .where('object_key', '=', key)
    .execute();
  const digests = rows.map((row) => row.digest as Digest);
  if (digests.length === 0) return undefined;
  const bytes = await platform.blobs.read(key);
  if (!bytes) return { kind: 'object missing', expected: digests[0] ?? '', found: 'nothing' };
  const algorithms = new Set(digests.map((digest) => digest.slice(0, digest.indexOf(':')) as DigestAlgorithm));
  const hashes = [...algorithms].map((algorithm) => ({ algorithm, hash: createHash(algorithm) }));
  for await (const chunk of bytes as AsyncIterable<Uint8Array>) {
    checked.bytesRead += chunk.length;
    for (const { hash } of hashes) hash.update(chunk);
  }
  const found = hashes.map(({ algorithm, hash }) => toDigest(algorithm, hash));
  const expected = digests.find((digest) => !found.includes(digest));
  return expected && { kind: 'object damaged', expected, found: found.join(' ') };
}

/** Meanwhile it may have been removed for good reasons; and a blob that is known to be lost needs it no more. */
async function isNeeded({ db }: Platform, key: string): Promise<boolean> {
  const row = await db
    .selectFrom('objects as o')
    .select(['o.state', counts.uses.as('uses')])
    .select(({ selectFrom, fn }) =>
      selectFrom('blobs')
        .select(fn.countAll<number>().as('n'))
        .where('object_key', '=', key)
        .where('lost', '=', 1)
        .as('lost'),
    )
    .where('o.key', '=', key)
    .executeTakeFirst();
  return row?.state === 'stored' && (row.uses === 0 || row.uses > Number(row.lost));
}

/** By what uses it: keys mean nothing to people. */
async function nameObject({ db }: Platform, key: string): Promise<string> {
  const blobs = await db
    .selectFrom('blobs as b')
    .innerJoin('registries as r', 'r.id', 'b.registry_id')
    .select(['b.digest', 'r.name'])
    .where('b.object_key', '=', key)
    .orderBy('r.name')
    .limit(10)
    .execute();
  if (blobs.length > 0) return `${blobs[0]?.digest} of ${blobs.map((blob) => blob.name).join(', ')}`;
  const part = await db.selectFrom('upload_parts').select('upload_id').where('object_key', '=', key).executeTakeFirst();
  return part ? `a part of upload ${part.upload_id}` : `object ${key}, which nothing uses`;
}
