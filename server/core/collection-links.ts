import { isUnreferencedLink } from './collection-rules.ts';
import { type Collecting, inPace, inTurns, type Removed, removeBatch, scanSize } from './collection-steps.ts';
import { unlink } from './links.ts';
import type { Platform } from './platform.ts';

/** Removes the links that no manifest of the repository needs and no lease protects. */
export async function removeUnreferencedLinks(collecting: Collecting): Promise<void> {
  for (let after = ''; ; ) {
    const digests = await scan(collecting, after);
    await inTurns(inPace(digests, collecting.pace), (batch) =>
      removeBatch(collecting, (platform) => removeLinks(platform, collecting, batch), 'links'),
    );
    const last = digests.at(-1);
    if (last === undefined || digests.length < scanSize) return;
    after = last;
  }
}

async function scan({ platform, repository }: Collecting, after: string): Promise<string[]> {
  const rows = await platform.scans
    .selectFrom('repository_blobs as l')
    .select('l.digest')
    .where('l.repository_id', '=', repository.id)
    .where('l.digest', '>', after)
    .where(isUnreferencedLink(platform.now()))
    .orderBy('l.digest')
    .limit(scanSize)
    .execute();
  return rows.map(({ digest }) => digest);
}

async function removeLinks(platform: Platform, { repository }: Collecting, digests: string[]): Promise<Removed> {
  const { id, registryId } = repository;
  const rows = await platform.db
    .deleteFrom('repository_blobs as l')
    .where('l.repository_id', '=', id)
    .where('l.digest', 'in', digests)
    .where(isUnreferencedLink(platform.now()))
    .returning('digest')
    .execute();
  const removed = rows.map(({ digest }) => digest);
  const { bytes, freedBytes } = await unlink(platform, registryId, removed);
  return { removed: removed.length, growth: { bytes: -bytes }, freedBytes };
}
