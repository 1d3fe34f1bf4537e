// Which registries supply which clusters. What is wanted is written here, by requests, and takes a moment; what the
// cluster really has is the work of `cluster-supply.ts`, however long the cluster takes to answer.

import { type Selectable, sql } from 'kysely';
import { requireGrantable } from './actor-grants.ts';
import { type Actor, forgetActors } from './actors.ts';
import { recordAudit } from './audit.ts';
import { disconnectAll, type Pair } from './cluster-disconnection.ts';
import { isSamePlace, type Place, parsePlaces, toWanted } from './cluster-places.ts';
import { type Cluster, findClusterRow, lockCluster, toTarget } from './cluster-rows.ts';
import { Failure } from './failure.ts';
import { newId } from './ids.ts';
import { type Page, type PageInput, readPage, type SortColumn } from './page.ts';
import { requirePermission } from './permissions.ts';
import type { Platform } from './platform.ts';
import { requireWholeTeam } from './projects.ts';
import { findOwnRegistry } from './registries.ts';
import { beingDeleted } from './registry-rows.ts';
import type { ClusterIntegrationRow } from './schema.ts';
import { permissionsOfMode } from './token-rows.ts';
import { transact } from './transact.ts';

export type Integration = {
  cluster: Pick<Cluster, 'id' | 'name' | 'pool'>;
  namespaces: readonly string[];
  secretName: string;
  /** `pending`: not in the cluster yet. `failing`: tried, and to be tried again; `error` says why. */
  status: 'pending' | 'supplied' | 'failing';
  error: string | null;
  suppliedAt: number | null;
  createdAt: number;
  updatedAt: number;
};

export type IntegrationInput = {
  registry: string;
  cluster: string;
  namespaces: readonly string[];
  secretName: string;
};

/**
 * Connects the registry, or changes where its Secret shall be. Throws `not_found`, `denied` (a token that pulls is made,
 * so the maker must hold that), `invalid`, and `conflict` where another registry has the same Secret in that cluster.
 */
export async function connectCluster(platform: Platform, actor: Actor, input: IntegrationInput): Promise<Integration> {
  requirePermission(actor, 'clusters:write');
  requireGrantable(actor, permissionsOfMode.ro);
  requireWholeTeam(actor, 'write into a cluster');
  const wanted = parsePlaces(input);
  return transact(platform, async (platform) => {
    const registry = await findOwnRegistry(platform, actor, input.registry);
    await lockRegistry(platform, registry);
    const found = await findClusterRow(platform, actor, input.cluster);
    const cluster = await lockCluster(platform, found.id, input.cluster);
    await requirePlacesFree(platform, { clusterId: cluster.id, registryId: registry.id }, wanted);
    const row = await putIntegration(platform, { clusterId: cluster.id, registry, teamId: actor.teamId }, wanted);
    const { namespaces, secretName } = input;
    const detail = { registryId: registry.id, registry: registry.name, namespaces, secretName };
    await recordAudit(platform, actor, { action: 'cluster.connect', target: toTarget(cluster), detail });
    return toIntegration({ ...row, cluster_name: cluster.name, cluster_pool: cluster.pool });
  });
}

/** Nothing is connected to a registry that is going: what its deletion disconnected stays disconnected. */
async function lockRegistry({ db }: Platform, { id, name }: { id: string; name: string }): Promise<void> {
  const row = await db
    .updateTable('registries')
    .set((eb) => ({ name: eb.ref('name') }))
    .where('id', '=', id)
    .where('state', '=', 'active')
    .returning('id')
    .executeTakeFirst();
  if (!row) throw beingDeleted(name);
}

async function requirePlacesFree({ db }: Platform, pair: Pair, wanted: readonly Place[]): Promise<void> {
  const others = await db
    .selectFrom('cluster_integrations')
    .select(['places', 'namespaces', 'secret_name'])
    .where('cluster_id', '=', pair.clusterId)
    .where('registry_id', '<>', pair.registryId)
    .execute();
  const taken = others.flatMap((other) => [...(JSON.parse(other.places) as Place[]), ...toWanted(other)]);
  const clash = wanted.find((one) => taken.some((other) => isSamePlace(one, other)));
  if (!clash) return;
  throw new Failure(
    'conflict',
    `Another registry keeps the Secret ${clash.name} in namespace ${clash.namespace} of this cluster. Use another name.`,
    { about: 'cluster', fields: { '/secretName': 'used by another registry' } },
  );
}

type NewIntegration = { clusterId: string; teamId: string; registry: { id: string } };

/** `places` stays as it is: what is no longer wanted is taken away, what is new is noted when it is made. */
async function putIntegration(platform: Platform, target: NewIntegration, wanted: readonly Place[]) {
  const { db, now } = platform;
  const { clusterId, teamId, registry } = target;
  const values = {
    namespaces: JSON.stringify(wanted.map(({ namespace }) => namespace)),
    secret_name: wanted[0]?.name ?? '',
    state: 'connected' as const,
    due_at: now(),
    attempts: 0,
    error: null,
    updated_at: now(),
  };
  return db
    .insertInto('cluster_integrations')
    .values({
      id: newId(),
      team_id: teamId,
      cluster_id: clusterId,
      registry_id: registry.id,
      version: 1,
      supplied_version: 0,
      places: '[]',
      created_at: now(),
      ...values,
    })
    .onConflict((oc) =>
      oc
        .columns(['cluster_id', 'registry_id'])
        .doUpdateSet({ ...values, version: sql`cluster_integrations.version + 1` }),
    )
    .returningAll()
    .executeTakeFirstOrThrow();
}

/** The registry's integrations, oldest first. */
export async function listIntegrations(
  platform: Platform,
  actor: Actor,
  input: PageInput & { registry: string },
): Promise<Page<Integration>> {
  requirePermission(actor, 'clusters:read');
  const registry = await findOwnRegistry(platform, actor, input.registry);
  const query = platform.db
    .selectFrom('cluster_integrations')
    .innerJoin('clusters', 'clusters.id', 'cluster_integrations.cluster_id')
    .selectAll('cluster_integrations')
    .select(['clusters.name as cluster_name', 'clusters.pool as cluster_pool'])
    .where('cluster_integrations.registry_id', '=', registry.id)
    .where('cluster_integrations.state', '=', 'connected');
  return readPage(query, { columns: [byId], descending: false }, input, toIntegration);
}

type Row = Selectable<ClusterIntegrationRow>;
type SeenRow = Row & { cluster_name: string; cluster_pool: string };
const byId: SortColumn<SeenRow> = { sql: sql.ref('cluster_integrations.id'), type: 'text', of: (row) => row.id };

function toIntegration(row: SeenRow): Integration {
  const isSupplied = row.supplied_version === row.version;
  return {
    cluster: { id: row.cluster_id, name: row.cluster_name, pool: row.cluster_pool },
    namespaces: JSON.parse(row.namespaces),
    secretName: row.secret_name,
    status: row.error !== null ? 'failing' : isSupplied ? 'supplied' : 'pending',
    error: row.error,
    suppliedAt: row.supplied_at,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}

/** The token ends at once, the Secrets go in the background. Throws `not_found`. */
export async function disconnectCluster(
  platform: Platform,
  actor: Actor,
  input: { registry: string; cluster: string },
): Promise<void> {
  requirePermission(actor, 'clusters:write');
  requireWholeTeam(actor, 'write into a cluster');
  await transact(platform, async (platform) => {
    const registry = await findOwnRegistry(platform, actor, input.registry);
    const cluster = await findClusterRow(platform, actor, input.cluster);
    await lockCluster(platform, cluster.id, input.cluster);
    const pair = { clusterId: cluster.id, registryId: registry.id };
    if ((await disconnectAll(platform, pair)) === 0) {
      throw new Failure('not_found', `Cluster ${cluster.name} is not connected to registry ${registry.name}.`, {
        about: 'cluster',
      });
    }
    const detail = { registryId: registry.id, registry: registry.name };
    await recordAudit(platform, actor, { action: 'cluster.disconnect', target: toTarget(cluster), detail });
  });
  forgetActors(platform);
}
