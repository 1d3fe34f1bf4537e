// What a collection should have taken, found by walking the graph in memory: another way than the one under test.

import type { Platform } from '#core/platform.ts';

type Node = { digest: string; subject: string | null };

/** Sentences about links and manifests that nothing needs any more; empty right after a collection without leases. */
export async function findGarbage(platform: Platform): Promise<string[]> {
  const repositories = await platform.db
    .selectFrom('repositories')
    .select(['id', 'name'])
    .where('state', '=', 'live')
    .execute();
  const found: string[] = [];
  for (const { id, name } of repositories) {
    const { manifests, tags, references, links } = await readRepository(platform, id);
    const kept = walk(manifests, tags, references);
    const needed = new Set(references.map(({ child_digest }) => child_digest));
    found.push(...manifests.filter(({ digest }) => !kept.has(digest)).map((m) => `a manifest in ${name}: ${m.digest}`));
    found.push(...links.filter(({ digest }) => !needed.has(digest)).map((l) => `a link in ${name}: ${l.digest}`));
    if (manifests.length + links.length === 0) found.push(`an empty repository: ${name}`);
  }
  return found.map((what) => `left by a collection: ${what}`);
}

async function readRepository({ db }: Platform, id: string) {
  const [manifests, tags, references, links] = [
    await db.selectFrom('manifests').select(['digest', 'subject']).where('repository_id', '=', id).execute(),
    await db.selectFrom('tags').select(['digest', 'belongs_to']).where('repository_id', '=', id).execute(),
    await db.selectFrom('manifest_references').selectAll().where('repository_id', '=', id).execute(),
    await db.selectFrom('repository_blobs').select('digest').where('repository_id', '=', id).execute(),
  ];
  return { manifests, tags, references, links };
}

function walk(
  manifests: readonly Node[],
  tags: readonly { digest: string; belongs_to: string | null }[],
  references: readonly { manifest_digest: string; child_digest: string }[],
): Set<string> {
  const kept = new Set<string>();
  const queue = tags.filter((tag) => tag.belongs_to === null).map((tag) => tag.digest);
  for (let digest = queue.pop(); digest !== undefined; digest = queue.pop()) {
    if (kept.has(digest) || !manifests.some((one) => one.digest === digest)) continue;
    kept.add(digest);
    queue.push(...references.filter((one) => one.manifest_digest === digest).map((one) => one.child_digest));
    queue.push(...manifests.filter((one) => one.subject === digest).map((one) => one.digest));
    queue.push(...tags.filter((tag) => tag.belongs_to === digest).map((tag) => tag.digest));
  }
  return kept;
}
