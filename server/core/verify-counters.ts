import { sql } from 'kysely';
import { correctLinks, correctRegistrySize, correctRepositorySize } from './corrections.ts';
import { counts } from './counts.ts';
import { algorithmOf, type Digest, digestOf } from './digest.ts';
import type { Platform } from './platform.ts';
import type { Checked, Verification } from './verify.ts';

const pageSize = 200;

export async function verifyBlobs({ platform, repair, report }: Verification, checked: Checked): Promise<void> {
  for await (const blob of eachBlob(platform)) {
    checked.blobs++;
    const what = `${blob.digest} of ${blob.registry}`;
    if (blob.lost) report({ kind: 'blob lost', what, expected: 'its bytes', found: 'gone until it is pushed again' });
    else if (blob.size !== blob.objectSize || blob.state !== 'stored') {
      report({
        kind: 'blob size',
        what,
        expected: blob.size,
        found: `an object ${blob.state}, ${blob.objectSize} bytes`,
      });
    }
    if (blob.links === blob.counted) continue;
    const isCorrected = repair && (await correctLinks(platform, blob.registryId, blob.digest));
    const repaired = isCorrected ? 'corrected' : undefined;
    report({ kind: 'blob links', what, expected: blob.counted, found: blob.links, repair: repaired });
  }
}

async function* eachBlob({ db }: Platform) {
  let after = { registryId: '', digest: '' };
  for (;;) {
    const page = await db
      .selectFrom('blobs as b')
      .innerJoin('registries as g', 'g.id', 'b.registry_id')
      .innerJoin('objects as o', 'o.key', 'b.object_key')
      .select(['b.registry_id as registryId', 'b.digest', 'b.size', 'b.links', 'b.lost', 'g.name as registry'])
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

export async function verifyManifests({ platform, deep, report }: Verification, checked: Checked): Promise<void> {
  for await (const manifest of eachManifest(platform, deep)) {
    checked.manifests++;
    const what = `${manifest.digest} in ${manifest.registry}/${manifest.repository}`;
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

export async function verifyRepositories({ platform, repair, report }: Verification, checked: Checked): Promise<void> {
  for await (const repository of eachRepository(platform)) {
    checked.repositories++;
    if (repository.size === repository.counted) continue;
    const isCorrected = repair && (await correctRepositorySize(platform, repository.id));
    report({
      kind: 'repository size',
      what: `${repository.registry}/${repository.name}`,
      expected: repository.counted,
      found: repository.size,
      repair: isCorrected ? 'corrected' : undefined,
    });
  }
}

async function* eachRepository({ db }: Platform) {
  let after = '';
  for (;;) {
    const page = await db
      .selectFrom('repositories as p')
      .innerJoin('registries as g', 'g.id', 'p.registry_id')
      .select(['p.id', 'p.name', 'p.size', 'g.name as registry', counts.repositorySize.as('counted')])
      .where('p.id', '>', after)
      // One that is being emptied shows its size to nobody any more, and nobody keeps it.
      .where('p.state', '=', 'live')
      .orderBy('p.id')
      .limit(pageSize)
      .execute();
    yield* page;
    const last = page.at(-1);
    if (!last) return;
    after = last.id;
  }
}

export async function verifyRegistries({ platform, repair, report }: Verification, checked: Checked): Promise<void> {
  const registries = await platform.db.selectFrom('registries').select('id').orderBy('id').execute();
  for (const { id } of registries) {
    const row = await platform.db
      .selectFrom('registries as g')
      .select(['g.name', 'g.size', 'g.reserved'])
      .select([counts.registrySize.as('countedSize'), counts.registryReserved.as('countedReserved')])
      .where('g.id', '=', id)
      .executeTakeFirst();
    if (!row) continue;
    checked.registries++;
    if (row.size === row.countedSize && row.reserved === row.countedReserved) continue;
    const done = repair && (await correctRegistrySize(platform, id)) ? 'corrected' : undefined;
    const about = { what: row.name, repair: done } as const;
    if (row.size !== row.countedSize) {
      report({ kind: 'registry size', expected: row.countedSize, found: row.size, ...about });
    }
    if (row.reserved !== row.countedReserved) {
      report({ kind: 'registry reserved', expected: row.countedReserved, found: row.reserved, ...about });
    }
  }
}
