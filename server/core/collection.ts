// Garbage collection, online: pushes, pulls and deletions go on meanwhile, on every replica.
//
//   per repository   untagged manifests, where asked for; then links that no manifest needs; then the repository itself,
//                    if nothing is left in it
//   scan             finds candidates without a lock, on a connection of its own
//   remove           a batch in a transaction under the repository's row, which asks the scan's question again
//
// A push that comes first has its references seen, one that comes later finds no link and sends the blob again. Objects
// are doomed with their last blob and leave the store later, by the one remover. A crash at any point leaves what the
// next run finds.

import { type Actor, systemActor } from './actors.ts';
import { recordAudit } from './audit.ts';
import { removeUnreferencedLinks } from './collection-links.ts';
import { removeUntaggedManifests } from './collection-manifests.ts';
import { type Collecting, isGone, newPace, removeBatch } from './collection-steps.ts';
import { Failure } from './failure.ts';
import { type ClaimedOperation, finishOperation } from './operation-runs.ts';
import { askAgain, enqueueOnce, type Operation } from './operations.ts';
import { requirePermission } from './permissions.ts';
import type { Platform } from './platform.ts';
import { requireCovered } from './projects.ts';
import { findOwnRegistry } from './registries.ts';
import { beingDeleted, type Registry } from './registry-rows.ts';
import { removeRepositoryRow } from './repository-emptying.ts';
import { transact } from './transact.ts';

export type CollectionInput = {
  /** Id or name. */
  registry: string;
  /** Also images without a tag, with what only they need. */
  deleteUntagged: boolean;
};

/** Throws `not_found`, `denied`, and `conflict` while one runs or waits, or the registry is being deleted. */
export async function startCollection(
  platform: Platform,
  actor: Actor,
  { registry: ref, deleteUntagged }: CollectionInput,
): Promise<Operation> {
  requirePermission(actor, 'garbage:collect');
  return transact(platform, async (platform) => {
    const registry = await findOwnRegistry(platform, actor, ref);
    requireCovered(actor, registry.projectId, 'collect garbage outside them');
    if (registry.state === 'deleting') throw beingDeleted(registry.name);
    const operation = await enqueueOnce(platform, toNewOperation(registry, deleteUntagged));
    if (!operation) {
      throw new Failure('conflict', `Garbage is being collected in registry ${registry.name} already.`, {
        about: 'registry',
      });
    }
    const target = { kind: 'registry', id: registry.id, name: registry.name };
    await recordAudit(platform, actor, { action: 'registry.collect', target, detail: { deleteUntagged } });
    return operation;
  });
}

type CollectedRegistry = Pick<Registry, 'id' | 'name' | 'teamId' | 'projectId'>;

/**
 * Has a registry collected sooner or later: one that waits already will do, and one that runs is run once more, because
 * it may have passed by what has just become garbage.
 */
export async function queueCollection(
  platform: Platform,
  registry: CollectedRegistry,
  options: { begunBefore?: number } = {},
): Promise<void> {
  await transact(platform, async (platform) => {
    if (await askAgain(platform, 'garbage_collection', registry.id, options)) return;
    await enqueueOnce(platform, toNewOperation(registry, false));
  });
}

/**
 * Queues a collection for every registry that holds anything, but where one was begun since `dueAt`: every replica comes
 * here when a scheduled time has come, seconds apart, and the first one is enough.
 */
export async function queueDueCollections(platform: Platform, dueAt: number): Promise<void> {
  for (let after = ''; ; ) {
    const rows = await platform.db
      .selectFrom('registries as g')
      .select(['g.id', 'g.name', 'g.team_id as teamId', 'g.project_id as projectId'])
      .where('g.state', '=', 'active')
      .where('g.size', '>', 0)
      .where('g.id', '>', after)
      .where(({ not, exists, selectFrom }) =>
        not(
          exists(
            selectFrom('operations as o')
              .select('o.id')
              .whereRef('o.registry_id', '=', 'g.id')
              .where('o.kind', '=', 'garbage_collection')
              .where(({ or, eb }) => or([eb('o.created_at', '>=', dueAt), eb('o.started_at', '>=', dueAt)])),
          ),
        ),
      )
      .orderBy('g.id')
      .limit(100)
      .execute();
    for (const registry of rows) await queueCollection(platform, registry, { begunBefore: dueAt });
    const last = rows.at(-1);
    if (!last) return;
    after = last.id;
  }
}

const toNewOperation = ({ id, name, teamId, projectId }: CollectedRegistry, deleteUntagged: boolean) => ({
  kind: 'garbage_collection' as const,
  teamId,
  projectId,
  registry: { id, name },
  input: { deleteUntagged },
});

/** The handler of `garbage_collection`. */
export async function runCollection(platform: Platform, operation: ClaimedOperation): Promise<void> {
  const progress = { ...operation.progress, repositories: 0 };
  const pace = newPace();
  const deleteUntagged = operation.input.deleteUntagged === true;
  for (let after = ''; ; ) {
    const repository = await findNextRepository(platform, operation.registryId ?? '', after);
    if (!repository) break;
    after = repository.name;
    progress.repositories++;
    await collectRepository({ platform, operation, repository, progress, pace }, deleteUntagged);
  }
  await end(platform, operation, progress);
}

async function collectRepository(collecting: Collecting, deleteUntagged: boolean): Promise<void> {
  try {
    if (deleteUntagged) await removeUntaggedManifests(collecting);
    await removeUnreferencedLinks(collecting);
    if (await isEmpty(collecting)) await removeEmpty(collecting);
  } catch (error) {
    // Deleted by someone meanwhile, with all that was in it.
    if (!isGone(error)) throw error;
  }
}

async function findNextRepository({ db }: Platform, registryId: string, after: string) {
  const row = await db
    .selectFrom('repositories')
    .select(['id', 'name'])
    .where('registry_id', '=', registryId)
    .where('state', '=', 'live')
    .where('name', '>', after)
    .orderBy('name')
    .limit(1)
    .executeTakeFirst();
  return row && { ...row, registryId };
}

async function isEmpty({ platform: { db }, repository }: Pick<Collecting, 'platform' | 'repository'>) {
  for (const table of ['manifests', 'repository_blobs', 'uploads'] as const) {
    const row = await db
      .selectFrom(table)
      .select('repository_id')
      .where('repository_id', '=', repository.id)
      .limit(1)
      .executeTakeFirst();
    if (row) return false;
  }
  return true;
}

/** A push that has just looked it up makes it again (`lockForPush`). */
async function removeEmpty(collecting: Collecting): Promise<void> {
  await removeBatch(collecting, async (platform) => {
    const { repository } = collecting;
    const isStillEmpty = await isEmpty({ platform, repository });
    const repositories = isStillEmpty ? await removeRepositoryRow(platform, repository.id) : 0;
    return { removed: 0, growth: {}, freedBytes: 0, repositories };
  });
}

async function end(platform: Platform, operation: ClaimedOperation, progress: Record<string, number>): Promise<void> {
  await transact(platform, async (platform) => {
    const target = { kind: 'registry', id: operation.registryId ?? '', name: operation.registryName ?? '' };
    const detail = { operation: operation.id, ...progress };
    await recordAudit(platform, systemActor(operation.teamId), { action: 'registry.collected', target, detail });
    await finishOperation(platform, operation);
  });
}
