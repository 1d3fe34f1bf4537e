// Untagged manifests go in passes: those that nothing points to, then what they pointed to. What is left and kept by
// nothing goes in circles (an index whose subject is among its own children); such a set goes at once, as a whole.

import { sql } from 'kysely';
import { findTagCounts, growthWithout } from './attachments.ts';
import { isUntaggedManifest, keptManifests } from './collection-rules.ts';
import { type Collecting, inPace, type Removed, removeBatch, scanSize } from './collection-steps.ts';
import { Failure } from './failure.ts';
import type { Platform } from './platform.ts';

/** Removes the manifests that no tag and no lease keeps, directly or through others. */
export async function removeUntaggedManifests(collecting: Collecting): Promise<void> {
  while ((await runPass(collecting)) > 0);
  await removeCircles(collecting);
}

async function runPass(collecting: Collecting): Promise<number> {
  let removed = 0;
  for (let after = ''; ; ) {
    const digests = await scan(collecting, after);
    for (const batch of inPace(digests, collecting.pace)) {
      const done = await removeBatch(
        collecting,
        (platform) => removeUntagged(platform, collecting, batch),
        'manifests',
      );
      removed += done.removed;
    }
    const last = digests.at(-1);
    if (last === undefined || digests.length < scanSize) return removed;
    after = last;
  }
}

async function scan({ platform, repository }: Collecting, after: string): Promise<string[]> {
  const rows = await platform.scans
    .selectFrom('manifests as m')
    .select('m.digest')
    .where('m.repository_id', '=', repository.id)
    .where('m.digest', '>', after)
    .where(isUntaggedManifest(platform.now()))
    .orderBy('m.digest')
    .limit(scanSize)
    .execute();
  return rows.map(({ digest }) => digest);
}

async function removeUntagged(platform: Platform, { repository }: Collecting, digests: string[]): Promise<Removed> {
  // A cosign tag of a subject that is gone goes with its manifest.
  const tagCounts = await findTagCounts(platform, repository.id, digests);
  const rows = await platform.db
    .deleteFrom('manifests as m')
    .where('m.repository_id', '=', repository.id)
    .where('m.digest', 'in', digests)
    .where(isUntaggedManifest(platform.now()))
    .returning(['digest', 'size', 'is_attachment'])
    .execute();
  const growth = growthWithout(rows, tagCounts);
  return { removed: rows.length, growth, freedBytes: -growth.bytes };
}

async function removeCircles(collecting: Collecting): Promise<void> {
  const { platform, repository } = collecting;
  const ids = sql`select ${repository.id}`;
  const { rows } = await sql<{ digest: string }>`with recursive ${keptManifests(ids, platform.now())}
    select m.digest from manifests as m where m.repository_id = ${repository.id} and not exists (
      select 1 from kept as k where k.repository_id = m.repository_id and k.digest = m.digest)
    order by m.digest`.execute(platform.scans);
  if (rows.length === 0) return;
  const digests = rows.map(({ digest }) => digest);
  try {
    await removeBatch(collecting, (platform) => removeClosed(platform, collecting, digests), 'manifests');
  } catch (error) {
    // Someone tagged, leased or listed one of them meanwhile. The next collection looks again.
    if (error !== notClosed) throw error;
  }
}

const notClosed = new Failure('conflict', 'These manifests are in use again.');

/** Removes all of them, or throws: something outside may point to one of them by now. */
async function removeClosed(platform: Platform, { repository }: Collecting, digests: string[]): Promise<Removed> {
  const all = new Set(digests);
  for (const batch of batchesOf(digests)) {
    const pointers = await findPointers(platform, repository.id, batch);
    if (pointers.some((pointer) => pointer === null || !all.has(pointer))) throw notClosed;
  }
  const growth = { bytes: 0, images: 0, tags: 0 };
  for (const batch of batchesOf(digests)) {
    const tagCounts = await findTagCounts(platform, repository.id, batch);
    const rows = await platform.db
      .deleteFrom('manifests')
      .where('repository_id', '=', repository.id)
      .where('digest', 'in', batch)
      .where('leased_until', '<=', platform.now())
      .returning(['digest', 'size', 'is_attachment'])
      .execute();
    if (rows.length < batch.length) throw notClosed;
    const { bytes, images, tags } = growthWithout(rows, tagCounts);
    growth.bytes += bytes;
    growth.images += images;
    growth.tags += tags;
  }
  return { removed: digests.length, growth, freedBytes: -growth.bytes };
}

/** Manifests of the repository that keep one of these; null stands for a tag, which keeps by itself. */
async function findPointers({ db }: Platform, id: string, digests: string[]): Promise<(string | null)[]> {
  const parents = await db
    .selectFrom('manifest_references')
    .select('manifest_digest as pointer')
    .where('repository_id', '=', id)
    .where('child_digest', 'in', digests)
    .execute();
  const subjects = await db
    .selectFrom('manifests as m')
    .innerJoin('manifests as s', (join) =>
      join.onRef('s.repository_id', '=', 'm.repository_id').onRef('s.digest', '=', 'm.subject'),
    )
    .select('s.digest as pointer')
    .where('m.repository_id', '=', id)
    .where('m.digest', 'in', digests)
    .execute();
  const tags = await db
    .selectFrom('tags as t')
    .leftJoin('manifests as s', (join) =>
      join.onRef('s.repository_id', '=', 't.repository_id').onRef('s.digest', '=', 't.belongs_to'),
    )
    .select(['t.belongs_to', 's.digest as subject'])
    .where('t.repository_id', '=', id)
    .where('t.digest', 'in', digests)
    .execute();
  // A cosign tag whose subject is gone keeps nothing.
  const byTag = tags.filter((tag) => tag.belongs_to === null || tag.subject !== null).map((tag) => tag.belongs_to);
  return [...parents.map(({ pointer }) => pointer), ...subjects.map(({ pointer }) => pointer), ...byTag];
}

const rowsPerStatement = 200;

function batchesOf(digests: readonly string[]): string[][] {
  const batches: string[][] = [];
  for (let i = 0; i < digests.length; i += rowsPerStatement) batches.push(digests.slice(i, i + rowsPerStatement));
  return batches;
}
