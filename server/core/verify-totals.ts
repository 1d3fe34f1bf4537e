import { correctRegistry, correctRepository } from './corrections.ts';
import { counts } from './counts.ts';
import type { Platform } from './platform.ts';
import type { Checked, FindingKind, Verification } from './verify.ts';

const pageSize = 200;

export async function verifyRepositories({ platform, repair, report }: Verification, checked: Checked): Promise<void> {
  for await (const row of eachRepository(platform)) {
    checked.repositories++;
    const pairs: [FindingKind, number, number][] = [['repository listed', row.is_listed, row.countedListed]];
    // One that is being emptied shows these to nobody any more, and nobody keeps them.
    if (row.state === 'live') {
      pairs.push(['repository size', row.size, row.countedSize]);
      pairs.push(['repository images', row.image_count, row.countedImages]);
      pairs.push(['repository tags', row.tag_count, row.countedTags]);
      pairs.push(['tags misdated', row.misdatedTags, 0]);
    }
    const drifted = pairs.filter(([, found, expected]) => found !== expected);
    if (drifted.length === 0) continue;
    const done = repair && (await correctRepository(platform, row.id)) ? 'corrected' : undefined;
    const about = { what: `${row.registry}/${row.name}`, repair: done } as const;
    for (const [kind, found, expected] of drifted) report({ kind, expected, found, ...about });
  }
}

async function* eachRepository({ db }: Platform) {
  let after = '';
  for (;;) {
    const page = await db
      .selectFrom('repositories as p')
      .innerJoin('registries as g', 'g.id', 'p.registry_id')
      .select(['p.id', 'p.name', 'p.state', 'g.name as registry'])
      .select(['p.size', 'p.image_count', 'p.tag_count', 'p.is_listed'])
      .select([counts.repositorySize.as('countedSize'), counts.repositoryImages.as('countedImages')])
      .select([counts.repositoryTags.as('countedTags'), counts.repositoryListed.as('countedListed')])
      .select(counts.repositoryMisdatedTags.as('misdatedTags'))
      .where('p.id', '>', after)
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
    const row = await findRegistry(platform, id);
    if (!row) continue;
    checked.registries++;
    const pairs = [
      ['registry size', row.size, row.countedSize],
      ['registry reserved', row.reserved, row.countedReserved],
      ['registry repositories', row.repository_count, row.countedRepositories],
    ] as const;
    const drifted = pairs.filter(([, found, expected]) => found !== expected);
    if (drifted.length === 0) continue;
    const done = repair && (await correctRegistry(platform, id)) ? 'corrected' : undefined;
    for (const [kind, found, expected] of drifted) report({ kind, what: row.name, expected, found, repair: done });
  }
}

async function findRegistry({ db }: Platform, id: string) {
  return db
    .selectFrom('registries as g')
    .select(['g.name', 'g.size', 'g.reserved', 'g.repository_count'])
    .select([counts.registrySize.as('countedSize'), counts.registryReserved.as('countedReserved')])
    .select(counts.registryRepositories.as('countedRepositories'))
    .where('g.id', '=', id)
    .executeTakeFirst();
}
