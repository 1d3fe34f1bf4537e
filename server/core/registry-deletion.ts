// Emptying a registry that is out of use. Its state was set by the request, so nothing new is made in it: a push that
// read `active` before ends at the charge or at the repository, whose rows say the same.
//
//   per repository   state `deleting`, then its uploads, manifests and links in batches, then its row
//   repeat           until none is left: a repository may have been made in the moment before
//   then             the registry's row, and with it the name is free

import { systemActor } from './actors.ts';
import { recordAudit } from './audit.ts';
import { advanceOperation, type ClaimedOperation, finishOperation } from './operation-runs.ts';
import type { Platform } from './platform.ts';
import { type ClosedRepository, closeRepository, emptyRepository, lockDeleting } from './repository-emptying.ts';
import { release } from './sizes.ts';
import { transact } from './transact.ts';

/** The handler of `delete_registry`. Finishes at once where the registry is gone already. */
export async function runRegistryDeletion(platform: Platform, operation: ClaimedOperation): Promise<void> {
  const registryId = operation.registryId ?? '';
  let repositories = operation.progress.repositories ?? 0;
  for (;;) {
    const repository = await takeRepository(platform, registryId);
    if (!repository) break;
    repositories++;
    await emptyRepository(platform, operation, repository);
    await removeRepository(platform, operation, repository, repositories);
  }
  await removeRegistry(platform, operation, registryId);
}

/** The next repository, closed to everybody else. */
async function takeRepository(platform: Platform, registryId: string): Promise<ClosedRepository | undefined> {
  const row = await platform.db
    .selectFrom('repositories')
    .select('id')
    .where('registry_id', '=', registryId)
    .orderBy('name')
    .limit(1)
    .executeTakeFirst();
  if (!row) return undefined;
  await transact(platform, async (platform) => {
    await lockDeleting(platform, row.id);
    await release(platform, registryId, 0, 0, await closeRepository(platform, row.id));
  });
  return { id: row.id, registryId };
}

async function removeRepository(
  platform: Platform,
  operation: ClaimedOperation,
  { id }: ClosedRepository,
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
