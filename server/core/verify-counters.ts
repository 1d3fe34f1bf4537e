import { sql } from 'kysely';
import { correctKind, correctLinks, type MarkedBlob, takeBackLost } from './corrections.ts';
import { counts } from './counts.ts';
import { algorithmOf, type Digest, digestOf } from './digest.ts';
import type { Platform } from './platform.ts';
import type { Checked, Verification } from './verify.ts';
import type { Look } from './verify-bytes.ts';

const pageSize = 200;

export async function verifyBlobs(verification: Verification, checked: Checked, look: Look): Promise<void> {
  const { platform, repair, report } = verification;
  for await (const blob of eachBlob(platform)) {
    checked.blobs++;
    const what = `${blob.digest} of ${blob.registry}`;
    if (blob.lost) await verifyLost(verification, blob, look);
    else if (blob.size !== blob.objectSize || blob.state !== 'stored') {
      const found = blob.state === null ? 'no object' : `an object ${blob.state}, ${blob.objectSize} bytes`;
      report({ kind: 'blob size', what, expected: blob.size, found });
    }
    if (blob.links === blob.counted) continue;
    const isCorrected = repair && (await correctLinks(platform, blob.registryId, blob.digest));
    const repaired = isCorrected ? 'corrected' : undefined;
    report({ kind: 'blob links', what, expected: blob.counted, found: blob.links, repair: repaired });
  }
}

type LostBlob = MarkedBlob & { size: number; objectSize: number | null; state: string | null; registry: string };

/** Its bytes are always read: it may have been given up by mistake, and what is marked is seldom much. */
async function verifyLost({ platform, repair, report }: Verification, blob: LostBlob, look: Look): Promise<void> {
  const what = `${blob.digest} of ${blob.registry}`;
  const { key, size, digest } = blob;
  const isStored = blob.state === 'stored' && size === blob.objectSize;
  const fault = isStored ? await look({ key, size, digest }, true) : undefined;
  if (!isStored || (fault && fault.kind !== 'object in doubt')) {
    report({ kind: 'blob lost', what, expected: 'its bytes', found: 'gone until it is pushed again' });
  } else if (fault) {
    report({ ...fault, what });
  } else if (repair ? await takeBackLost(platform, blob) : await isMarked(platform, blob)) {
    const done = repair ? ({ repair: 'taken back' } as const) : {};
    report({ kind: 'blob marked as lost is there', what, expected: 'no mark', found: 'its bytes, whole', ...done });
  }
}

/** It may have been pushed anew while its bytes were read. */
async function isMarked({ db }: Platform, { registryId, digest, key }: MarkedBlob): Promise<boolean> {
  const row = await db
    .selectFrom('blobs')
    .select('digest')
    .where('registry_id', '=', registryId)
    .where('digest', '=', digest)
    .where('object_key', '=', key)
    .where('lost', '=', 1)
    .executeTakeFirst();
  return row !== undefined;
}

async function* eachBlob({ db }: Platform) {
  let after = { registryId: '', digest: '' };
  for (;;) {
    const page = await db
      .selectFrom('blobs as b')
      .innerJoin('registries as g', 'g.id', 'b.registry_id')
      .leftJoin('objects as o', 'o.key', 'b.object_key')
      .select([
        'b.registry_id as registryId',
        'b.digest',
        'b.size',
        'b.links',
        'b.lost',
        'g.name as registry',
        'b.object_key as key',
      ])
      .select(['o.size as objectSize', 'o.state', counts.links.as('counted')])
      .where(sql<boolean>`(b.registry_id, b.digest) > (${after.registryId}, ${after.digest})`)
      .orderBy('b.registry_id')
      .orderBy('b.digest')
      .limit(pageSize)
      .execute();
    yield* page;
    const last = page.at(-1);
    if (!last) return;
    after = last;
  }
}

const kindOf = (isAttachment: number) => (isAttachment ? 'an attachment' : 'an image');

export async function verifyManifests(verification: Verification, checked: Checked): Promise<void> {
  const { platform, deep, repair, report } = verification;
  for await (const manifest of eachManifest(platform, deep)) {
    checked.manifests++;
    const what = `${manifest.digest} in ${manifest.registry}/${manifest.repository}`;
    if (manifest.is_attachment !== manifest.counted) {
      const isCorrected = repair && (await correctKind(platform, manifest.repositoryId, manifest.digest));
      report({
        kind: 'manifest kind',
        what,
        expected: kindOf(manifest.counted),
        found: kindOf(manifest.is_attachment),
        repair: isCorrected ? 'corrected' : undefined,
      });
    }
    if (manifest.length !== manifest.size) {
      report({ kind: 'manifest damaged', what, expected: manifest.size, found: manifest.length });
    } else if (manifest.bytes) {
      checked.bytesRead += manifest.length;
      const found = digestOf(manifest.bytes, algorithmOf(manifest.digest as Digest));
      if (found !== manifest.digest) report({ kind: 'manifest damaged', what, expected: manifest.digest, found });
    }
  }
}

async function* eachManifest({ db }: Platform, withBytes: boolean) {
  let after = { repositoryId: '', digest: '' };
  for (;;) {
    const page = await db
      .selectFrom('manifests as m')
      .innerJoin('repositories as p', 'p.id', 'm.repository_id')
      .innerJoin('registries as g', 'g.id', 'p.registry_id')
      .select(['m.repository_id as repositoryId', 'm.digest', 'm.size', 'p.name as repository', 'g.name as registry'])
      .select(sql<number>`length(m.bytes)`.as('length'))
      .select(['m.is_attachment', counts.isAttachment.as('counted')])
      .$if(withBytes, (query) => query.select('m.bytes'))
      .where(sql<boolean>`(m.repository_id, m.digest) > (${after.repositoryId}, ${after.digest})`)
      .orderBy('m.repository_id')
      .orderBy('m.digest')
      .limit(withBytes ? 20 : pageSize)
      .execute();
    yield* page;
    const last = page.at(-1);
    if (!last) return;
    after = last;
  }
}
