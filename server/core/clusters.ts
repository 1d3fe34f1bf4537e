import { type Selectable, sql } from 'kysely';
import { type Actor, forgetActors } from './actors.ts';
import { recordAudit } from './audit.ts';
import { disconnectAll, removeEmptyCluster, supplyAgain } from './cluster-disconnection.ts';
import { type ClusterAccessInput, changedAccess, parseAccess, parseName, parsePool } from './cluster-input.ts';
import {
  activeClusters,
  type Cluster,
  findClusterRow,
  lockCluster,
  sealCredentials,
  toCluster,
  toTarget,
} from './cluster-rows.ts';
import { Failure } from './failure.ts';
import { newId } from './ids.ts';
import { type Page, type PageInput, readPage, type SortColumn, toSearchPattern } from './page.ts';
import { requirePermission } from './permissions.ts';
import type { Platform } from './platform.ts';
import { requireWholeTeam } from './projects.ts';
import { findOwnRegistry } from './registries.ts';
import type { ClusterRow } from './schema.ts';
import { lockTeam } from './team-lock.ts';
import { transact } from './transact.ts';

export type ClusterInput = ClusterAccessInput & { name: string; pool?: string | undefined };

const clustersPerTeam = 100;

/** Nothing is asked of the cluster here: whether it can be used, `checkCluster` says. Throws `invalid`, `conflict`, `limit`. */
export async function createCluster(platform: Platform, actor: Actor, input: ClusterInput): Promise<Cluster> {
  requirePermission(actor, 'clusters:write');
  requireWholeTeam(actor, 'register a cluster');
  const id = newId();
  const { server, caPem, credentials } = parseAccess(input);
  const values = { name: parseName(input.name), pool: parsePool(input.pool ?? '') };
  return transact(platform, async (platform) => {
    const { db, now } = platform;
    await lockTeam(platform, actor.teamId);
    await requireRoom(platform, actor.teamId);
    const row = await db
      .insertInto('clusters')
      .values({
        id,
        team_id: actor.teamId,
        ...values,
        server,
        ca_pem: caPem,
        sealed_credentials: sealCredentials(platform, id, credentials),
        state: 'active',
        created_at: now(),
        updated_at: now(),
      })
      .onConflict((oc) => oc.columns(['team_id', 'name']).where('state', '=', sql.lit('active')).doNothing())
      .returningAll()
      .executeTakeFirst();
    if (!row) throw nameTaken(values.name);
    const cluster = toCluster(row);
    await recordAudit(platform, actor, { action: 'cluster.create', target: toTarget(cluster), detail: { server } });
    return cluster;
  });
}

async function requireRoom({ db }: Platform, teamId: string): Promise<void> {
  const { used } = await db
    .selectFrom('clusters')
    .select((eb) => eb.cast<number>(eb.fn.countAll(), 'bigint').as('used'))
    .where('team_id', '=', teamId)
    .executeTakeFirstOrThrow();
  if (used < clustersPerTeam) return;
  throw new Failure('limit', `A team may have ${clustersPerTeam} clusters. Delete one first.`, {
    about: 'cluster',
    used,
    limit: clustersPerTeam,
    requested: 1,
  });
}

const nameTaken = (name: string) =>
  new Failure('conflict', `The team has a cluster ${name} already. Choose another name.`, {
    about: 'cluster',
    fields: { '/name': 'another cluster has it' },
  });

export async function listClusters(
  platform: Platform,
  actor: Actor,
  input: PageInput & { search?: string | undefined; sort?: { by: 'name'; descending: boolean } | undefined },
): Promise<Page<Cluster>> {
  requirePermission(actor, 'clusters:read');
  let query = activeClusters(platform, actor);
  if (input.search) query = query.where(sql<boolean>`lower(name) like ${toSearchPattern(input.search)} escape '\\'`);
  return readPage(query, { columns: [byName, byId], descending: input.sort?.descending ?? false }, input, toCluster);
}

type Row = Selectable<ClusterRow>;
const byName: SortColumn<Row> = { sql: sql.ref('name'), type: 'text', of: (row) => row.name };
const byId: SortColumn<Row> = { sql: sql.ref('id'), type: 'text', of: (row) => row.id };

/** By id or name. Another team's are not found, in the same words. */
export async function getCluster(platform: Platform, actor: Actor, ref: string): Promise<Cluster> {
  requirePermission(actor, 'clusters:read');
  return toCluster(await findClusterRow(platform, actor, ref));
}

export type ClusterChange = ClusterAccessInput & {
  cluster: string;
  name?: string | undefined;
  pool?: string | undefined;
  expect?: ((current: Cluster) => void) | undefined;
};

/** Changes what is given. Throws `not_found`, `denied`, `invalid`, `conflict`. */
export async function updateCluster(platform: Platform, actor: Actor, input: ClusterChange): Promise<Cluster> {
  requirePermission(actor, 'clusters:write');
  requireWholeTeam(actor, 'change a cluster');
  return transact(platform, async (platform) => {
    const { db, now } = platform;
    const { id } = await findClusterRow(platform, actor, input.cluster);
    if (input.name !== undefined) await lockTeam(platform, actor.teamId);
    const current = await lockCluster(platform, id, input.cluster);
    input.expect?.(toCluster(current));
    const access = changedAccess(current, input);
    const name = input.name === undefined ? current.name : parseName(input.name);
    await requireNameFree(platform, current, name);
    const row = await db
      .updateTable('clusters')
      .set({
        name,
        pool: input.pool === undefined ? current.pool : parsePool(input.pool),
        ...(access && {
          server: access.server,
          ca_pem: access.caPem,
          sealed_credentials: sealCredentials(platform, id, access.credentials),
        }),
        updated_at: now(),
      })
      .where('id', '=', id)
      .returningAll()
      .executeTakeFirstOrThrow();
    const cluster = toCluster(row);
    if (access) await supplyAgain(platform, id);
    const detail = { server: cluster.server, hasNewCredentials: access !== undefined };
    await recordAudit(platform, actor, { action: 'cluster.update', target: toTarget(cluster), detail });
    return cluster;
  });
}

async function requireNameFree({ db }: Platform, current: Row, name: string): Promise<void> {
  if (name === current.name) return;
  const other = await db
    .selectFrom('clusters')
    .select('id')
    .where('team_id', '=', current.team_id)
    .where('name', '=', name)
    .where('state', '=', 'active')
    .executeTakeFirst();
  if (other) throw nameTaken(name);
}

/** Ends its pull tokens at once; its Secrets are removed in the background, and then the row with its credentials. */
export async function deleteCluster(platform: Platform, actor: Actor, input: { cluster: string }): Promise<void> {
  requirePermission(actor, 'clusters:write');
  requireWholeTeam(actor, 'delete a cluster');
  await transact(platform, async (platform) => {
    const { id } = await findClusterRow(platform, actor, input.cluster);
    const cluster = await lockCluster(platform, id, input.cluster);
    await disconnectAll(platform, { clusterId: id });
    await platform.db.updateTable('clusters').set({ state: 'deleting' }).where('id', '=', id).execute();
    await removeEmptyCluster(platform, id);
    await recordAudit(platform, actor, { action: 'cluster.delete', target: toTarget(cluster) });
  });
  forgetActors(platform);
}

export type RegistryCluster = Pick<Cluster, 'id' | 'name' | 'pool'>;

/** The clusters that a registry supplies, by name; a team has too few for pages. Throws `not_found` about the registry. */
export async function listRegistryClusters(
  platform: Platform,
  actor: Actor,
  registry: string,
): Promise<RegistryCluster[]> {
  requirePermission(actor, 'clusters:read');
  const { id } = await findOwnRegistry(platform, actor, registry);
  return platform.db
    .selectFrom('clusters')
    .innerJoin('cluster_integrations as i', 'i.cluster_id', 'clusters.id')
    .select(['clusters.id', 'clusters.name', 'clusters.pool'])
    .where('i.registry_id', '=', id)
    .where('i.state', '=', 'connected')
    .orderBy('clusters.name')
    .execute();
}
