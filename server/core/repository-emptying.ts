// Emptying a repository that nobody can reach any more: its uploads, manifests and links in batches. Leases do not
// matter here. Each batch is one transaction under the repository's row and ends by advancing the operation, so a crash
// loses at most a batch and a worker that was overtaken rolls back.

import { sql } from 'kysely';
import { unlink } from './links.ts';
import { advanceOperation, type ClaimedOperation } from './operation-runs.ts';
import type { Platform } from './platform.ts';
import { release } from './sizes.ts';
import { transact } from './transact.ts';
import { endUpload } from './uploads.ts';

/** How much one transaction removes. */
export const batchSize = 100;

export type ClosedRepository = { id: string; registryId: string };
/** Removes up to a batch inside a transaction that holds the repository. Answers how many rows, and the bytes freed. */
type Step = (platform: Platform, repository: ClosedRepository) => Promise<{ removed: number; freedBytes: number }>;

/** `lockRepository` for one that is being deleted; it closes one that was not yet. */
export async function lockDeleting({ db }: Platform, repositoryId: string): Promise<void> {
  await db
    .updateTable('repositories')
    .set({ state: 'deleting', revision: sql`revision + 1` })
    .where('id', '=', repositoryId)
    .execute();
}

/**
 * Takes a repository that is locked out of everybody's sight; it is emptied later. Answers how many repositories its
 * registry lists less.
 */
export async function closeRepository({ db }: Platform, id: string, name?: string): Promise<number> {
  const counted = await db
    .updateTable('repositories')
    .set({ is_listed: 0 })
    .where('id', '=', id)
    .where('is_listed', '=', 1)
    .returning('id')
    .executeTakeFirst();
  const update = db.updateTable('repositories').set({ state: 'deleting' }).where('id', '=', id);
  await update.$if(name !== undefined, (query) => query.set({ name })).execute();
  return counted ? 1 : 0;
}

/**
 * Removes the row of a repository that is locked and has nothing in it: no upload, manifest or link. Answers how many
 * repositories its registry lists less, for `release`.
 */
export async function removeRepositoryRow({ db }: Platform, id: string): Promise<number> {
  const row = await db.deleteFrom('repositories').where('id', '=', id).returning('is_listed').executeTakeFirst();
  return row?.is_listed ?? 0;
}

export async function emptyRepository(
  platform: Platform,
  operation: ClaimedOperation,
  repository: ClosedRepository,
): Promise<void> {
  await endUploads(platform, operation, repository);
  for (const step of [removeManifests, removeLinks]) {
    while ((await runBatch(platform, operation, repository, step)) === batchSize);
  }
}

async function endUploads(platform: Platform, operation: ClaimedOperation, { id }: ClosedRepository): Promise<void> {
  for (;;) {
    const rows = await platform.db
      .selectFrom('uploads')
      .select('id')
      .where('repository_id', '=', id)
      .limit(batchSize)
      .execute();
    if (rows.length === 0) return;
    for (const upload of rows) await endUpload(platform, upload.id, {});
    await advanceOperation(platform, operation);
  }
}

async function runBatch(
  platform: Platform,
  operation: ClaimedOperation,
  repository: ClosedRepository,
  step: Step,
): Promise<number> {
  return transact(platform, async (platform) => {
    await lockDeleting(platform, repository.id);
    const { removed, freedBytes } = await step(platform, repository);
    await release(platform, repository.registryId, freedBytes);
    await advanceOperation(platform, operation, { freedBytes });
    return removed;
  });
}

/** Tags and references go with their manifest. */
export const removeManifests: Step = async ({ db }, { id }) => {
  const rows = await db
    .deleteFrom('manifests')
    .where('repository_id', '=', id)
    .where('digest', 'in', (eb) =>
      eb.selectFrom('manifests').select('digest').where('repository_id', '=', id).orderBy('digest').limit(batchSize),
    )
    .returning('size')
    .execute();
  return { removed: rows.length, freedBytes: rows.reduce((sum, { size }) => sum + size, 0) };
};

export const removeLinks: Step = async (platform, { id, registryId }) => {
  const rows = await platform.db
    .deleteFrom('repository_blobs')
    .where('repository_id', '=', id)
    .where('digest', 'in', (eb) =>
      eb
        .selectFrom('repository_blobs')
        .select('digest')
        .where('repository_id', '=', id)
        .orderBy('digest')
        .limit(batchSize),
    )
    .returning('digest')
    .execute();
  const digests = rows.map(({ digest }) => digest);
  const { freedBytes } = await unlink(platform, registryId, digests);
  return { removed: rows.length, freedBytes };
};
