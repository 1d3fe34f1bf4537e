// Emptying a registry that is out of use. Its state was set by the request, so nothing new is made in it: a push that
// read `active` before ends at the charge or at the repository, whose rows say the same.
//
//   per repository   state `deleting`, then its uploads, manifests and links in batches, then its row
//   repeat           until none is left: a repository may have been made in the moment before
//   then             the registry's row, and with it the name is free
//
// Each batch is one transaction under the repository's row and ends by advancing the operation, so a crash loses at most
// a batch and a worker that was overtaken rolls back. Leases do not matter here: nobody can reach the registry any more.

import { sql } from 'kysely';
import { systemActor } from './actors.ts';
import { recordAudit } from './audit.ts';
import { unlink } from './links.ts';
import { advanceOperation, type ClaimedOperation, finishOperation } from './operation-runs.ts';
import type { Platform } from './platform.ts';
import { release } from './sizes.ts';
import { transact } from './transact.ts';
import { endUpload } from './uploads.ts';

const batchSize = 100;

type Repository = { id: string; registryId: string };
/** Removes up to a batch inside a transaction that holds the repository. Answers how many rows, and the bytes freed. */
type Step = (platform: Platform, repository: Repository) => Promise<{ removed: number; freedBytes: number }>;

/** The handler of `delete_registry`. Finishes at once where the registry is gone already. */
export async function runRegistryDeletion(platform: Platform, operation: ClaimedOperation): Promise<void> {
  const registryId = operation.registryId ?? '';
  let repositories = operation.progress.repositories ?? 0;
  for (;;) {
    const repository = await takeRepository(platform, registryId);
    if (!repository) break;
    repositories++;
    await endUploads(platform, operation, repository);
    for (const step of [removeManifests, removeLinks]) {
      while ((await runBatch(platform, operation, repository, step)) === batchSize);
    }
    await removeRepository(platform, operation, repository, repositories);
  }
  await removeRegistry(platform, operation, registryId);
}

/** The next repository, closed to everybody else. */
async function takeRepository(platform: Platform, registryId: string): Promise<Repository | undefined> {
  const row = await platform.db
    .selectFrom('repositories')
    .select('id')
    .where('registry_id', '=', registryId)
    .orderBy('name')
    .limit(1)
    .executeTakeFirst();
  if (!row) return undefined;
  await transact(platform, (platform) => lockDeleting(platform, row.id));
  return { id: row.id, registryId };
}

/** `lockRepository` for one that is being deleted. */
async function lockDeleting({ db }: Platform, repositoryId: string): Promise<void> {
  await db
    .updateTable('repositories')
    .set({ state: 'deleting', revision: sql`revision + 1` })
    .where('id', '=', repositoryId)
    .execute();
}

async function endUploads(platform: Platform, operation: ClaimedOperation, repository: Repository): Promise<void> {
  for (;;) {
    const rows = await platform.db
      .selectFrom('uploads')
      .select('id')
      .where('repository_id', '=', repository.id)
      .limit(batchSize)
      .execute();
    if (rows.length === 0) return;
    for (const { id } of rows) await endUpload(platform, id, {});
    await advanceOperation(platform, operation);
  }
}

async function runBatch(
  platform: Platform,
  operation: ClaimedOperation,
  repository: Repository,
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
const removeManifests: Step = async ({ db }, { id }) => {
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

const removeLinks: Step = async (platform, { id, registryId }) => {
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
  return { removed: rows.length, freedBytes: await unlink(platform, registryId, digests) };
};

async function removeRepository(
  platform: Platform,
  operation: ClaimedOperation,
  { id }: Repository,
  repositories: number,
): Promise<void> {
  await transact(platform, async (platform) => {
    await platform.db.deleteFrom('repositories').where('id', '=', id).execute();
    await advanceOperation(platform, operation, { progress: { repositories } });
  });
}

async function removeRegistry(platform: Platform, operation: ClaimedOperation, registryId: string): Promise<void> {
  await transact(platform, async (platform) => {
    const row = await platform.db
      .deleteFrom('registries')
      .where('id', '=', registryId)
      .where('state', '=', 'deleting')
      .returning('name')
      .executeTakeFirst();
    if (row) {
      const target = { kind: 'registry', id: registryId, name: row.name };
      await recordAudit(platform, systemActor(operation.teamId), { action: 'registry.removed', target });
    }
    await finishOperation(platform, operation);
  });
}
