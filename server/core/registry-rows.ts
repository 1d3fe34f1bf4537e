// The rows of registries as `registries.ts` (what people make) and `managed-registries.ts` (what projects bring) share
// them. Sizes and reservations are changed by `sizes.ts` alone.

import { type Selectable, sql } from 'kysely';
import type { Actor } from './actors.ts';
import { recordAudit } from './audit.ts';
import { disconnectAll } from './cluster-disconnection.ts';
import { Failure } from './failure.ts';
import { newId } from './ids.ts';
import { enqueueOperation, type Operation } from './operations.ts';
import type { Platform } from './platform.ts';
import type { RegistryRow } from './schema.ts';

export type Registry = {
  id: string;
  teamId: string;
  /** null: of the whole team. */
  projectId: string | null;
  regionId: string;
  name: string;
  /** `deleting`: out of use for good, whatever becomes of the removal. */
  state: 'active' | 'deleting';
  /**
   * What people are shown. `collecting`: a garbage collection runs or waits, while everything else goes on. `error`: an
   * operation failed five times, `statusReason` says why.
   */
  status: 'active' | 'collecting' | 'deleting' | 'error';
  statusReason: string | null;
  isPublic: boolean;
  /** Came with its project and goes only with it. */
  isManaged: boolean;
  sizeBytes: number;
  /** What running uploads may still add. */
  reservedBytes: number;
  sizeLimitBytes: number;
  /** Those that lists show. */
  repositoryCount: number;
  createdAt: number;
  updatedAt: number;
};

/** A column beside those of `registries`: how many collections of it run or wait, none or one. */
export const collections = sql<number>`(select count(*) from operations as o where o.registry_id = registries.id
  and o.kind = 'garbage_collection' and o.state in ('queued', 'running'))`.as('collections');

export type SeenRegistryRow = Selectable<RegistryRow> & { collections: number };

export function toRegistry(row: SeenRegistryRow): Registry {
  const status = row.state === 'active' && row.collections > 0 ? 'collecting' : row.state;
  return {
    id: row.id,
    teamId: row.team_id,
    projectId: row.project_id,
    regionId: row.region_id,
    name: row.name,
    state: row.state,
    status: row.status_reason !== null ? 'error' : status,
    statusReason: row.status_reason,
    isPublic: row.is_public === 1,
    isManaged: row.is_managed === 1,
    sizeBytes: row.size,
    reservedBytes: row.reserved,
    sizeLimitBytes: row.size_limit,
    repositoryCount: row.repository_count,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}

/**
 * Counts the team's registries under its lock, so that creates at the same moment cannot pass the limit together.
 * The first statement of what makes a registry. Throws `limit`.
 */
export async function requireRoomForRegistries(platform: Platform, teamId: string, added: number): Promise<void> {
  const { db, config } = platform;
  await db
    .updateTable('teams')
    .set((eb) => ({ name: eb.ref('name') }))
    .where('id', '=', teamId)
    .execute();
  const { used } = await db
    .selectFrom('registries')
    .select((eb) => eb.cast<number>(eb.fn.countAll(), 'bigint').as('used'))
    .where('team_id', '=', teamId)
    .where('state', '=', 'active')
    .executeTakeFirstOrThrow();
  const limit = config.registriesPerTeam;
  if (used + added <= limit) return;
  throw new Failure(
    'limit',
    `A team may have ${limit} registries, ${used} are there, and this makes ${added} more. Delete some, or raise LADING_REGISTRIES_PER_TEAM.`,
    { about: 'registry', used, limit, requested: added },
  );
}

type NewRegistry = Pick<
  Registry,
  'teamId' | 'projectId' | 'regionId' | 'name' | 'isPublic' | 'isManaged' | 'sizeLimitBytes'
>;

/** Undefined if the name is taken in the region, by whomever. */
export async function insertRegistry({ db, now }: Platform, registry: NewRegistry): Promise<Registry | undefined> {
  const row = await db
    .insertInto('registries')
    .values({
      id: newId(),
      team_id: registry.teamId,
      project_id: registry.projectId,
      region_id: registry.regionId,
      name: registry.name,
      state: 'active',
      status_reason: null,
      is_public: Number(registry.isPublic),
      is_managed: Number(registry.isManaged),
      size: 0,
      reserved: 0,
      size_limit: registry.sizeLimitBytes,
      repository_count: 0,
      created_at: now(),
      updated_at: now(),
    })
    .onConflict((oc) => oc.columns(['region_id', 'name']).doNothing())
    .returningAll()
    .executeTakeFirst();
  return row && toRegistry({ ...row, collections: 0 });
}

/**
 * Puts a registry out of use at once and queues the removal of what it holds. One whose deletion failed is queued anew.
 * Throws `conflict` while a deletion is under way.
 */
export async function startDeletion(platform: Platform, actor: Actor, registry: Registry): Promise<Operation> {
  const { db, now } = platform;
  const row = await db
    .updateTable('registries')
    .set({ state: 'deleting', status_reason: null, updated_at: now() })
    .where('id', '=', registry.id)
    .where((eb) => eb.or([eb('state', '=', 'active'), eb('status_reason', 'is not', null)]))
    .returning('id')
    .executeTakeFirst();
  if (!row) throw beingDeleted(registry.name);
  const { id, name, teamId, projectId } = registry;
  await disconnectAll(platform, { registryId: id });
  const operation = await enqueueOperation(platform, {
    kind: 'delete_registry',
    teamId,
    projectId,
    registry: { id, name },
  });
  await recordAudit(platform, actor, { action: 'registry.delete', target: { kind: 'registry', id, name } });
  return operation;
}

export function beingDeleted(name: string): Failure {
  return new Failure('conflict', `Registry ${name} is being deleted.`, { about: 'registry' });
}
