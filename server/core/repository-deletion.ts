// Deleting a repository. It is out of reach, and its name free, when the request is answered; a large one is emptied in
// the background, as `registry-deletion.ts` empties those of a registry.

import type { Actor } from './actors.ts';
import { recordAudit } from './audit.ts';
import { lockRepository } from './links.ts';
import { type ClaimedOperation, finishOperation } from './operation-runs.ts';
import { enqueueOperation, type Operation } from './operations.ts';
import type { Platform } from './platform.ts';
import type { LiveRepository } from './registry-access.ts';
import { openOwnRepository, type RepositoryAddress } from './repositories.ts';
import {
  batchSize,
  closeRepository,
  emptyRepository,
  lockDeleting,
  removeLinks,
  removeManifests,
  removeRepositoryRow,
} from './repository-emptying.ts';
import { release } from './sizes.ts';
import { transact } from './transact.ts';

/**
 * Deletes a repository with all it holds. A small one is gone at once: then there is no operation. Throws `denied`,
 * `not_found`, and `conflict` while its registry is being deleted.
 */
export async function deleteRepository(
  platform: Platform,
  actor: Actor,
  address: RepositoryAddress,
): Promise<Operation | undefined> {
  const repository = await openOwnRepository(platform, actor, address, 'images:delete');
  return transact(platform, async (platform) => {
    await lockRepository(platform, repository.id);
    const target = { kind: 'repository', id: repository.id, name: repository.name };
    await recordAudit(platform, actor, { action: 'repository.delete', target });
    if (await isSmall(platform, repository.id)) {
      await removeAtOnce(platform, repository);
      return undefined;
    }
    const { id, name, teamId, projectId } = repository.registry;
    // `~` is in no repository's name: the row is found by its id alone, and the next push makes a new repository.
    await release(platform, id, 0, 0, await closeRepository(platform, repository.id, `~${repository.id}`));
    return enqueueOperation(platform, {
      kind: 'delete_repository',
      teamId,
      projectId,
      registry: { id, name },
      repositoryId: repository.id,
    });
  });
}

/** Whether everything goes in one short transaction. Uploads have a registry's row to change: those are left to batches. */
async function isSmall({ db }: Platform, repositoryId: string): Promise<boolean> {
  const limits = { manifests: batchSize, repository_blobs: batchSize, tags: batchSize * 10, uploads: 0 } as const;
  for (const table of ['uploads', 'manifests', 'repository_blobs', 'tags'] as const) {
    const rows = await db
      .selectFrom(table)
      .select('repository_id')
      .where('repository_id', '=', repositoryId)
      .limit(limits[table] + 1)
      .execute();
    if (rows.length > limits[table]) return false;
  }
  return true;
}

async function removeAtOnce(platform: Platform, { id, registry }: LiveRepository): Promise<void> {
  const closed = { id, registryId: registry.id };
  const manifests = await removeManifests(platform, closed);
  const links = await removeLinks(platform, closed);
  const gone = await removeRepositoryRow(platform, id);
  await release(platform, registry.id, manifests.freedBytes + links.freedBytes, 0, gone);
}

/** The handler of `delete_repository`. Finishes at once where the repository is gone already. */
export async function runRepositoryDeletion(platform: Platform, operation: ClaimedOperation): Promise<void> {
  const repository = { id: operation.repositoryId ?? '', registryId: operation.registryId ?? '' };
  await emptyRepository(platform, operation, repository);
  await transact(platform, async (platform) => {
    await lockDeleting(platform, repository.id);
    await platform.db.deleteFrom('repositories').where('id', '=', repository.id).execute();
    await finishOperation(platform, operation);
  });
}
