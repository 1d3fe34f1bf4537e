import type { Selectable } from 'kysely';
import type { Actor } from './actors.ts';
import type { ClusterAccess, ClusterCredentials } from './cluster-credentials.ts';
import { Failure } from './failure.ts';
import { isUuid } from './names.ts';
import { isStorable } from './page.ts';
import type { Platform } from './platform.ts';
import type { ClusterRow } from './schema.ts';
import { sealContext, sealedIn } from './sealed-columns.ts';

export type Cluster = {
  id: string;
  teamId: string;
  name: string;
  /** The operator's own word for where it runs; may be empty. */
  pool: string;
  server: string;
  caPem: string | null;
  createdAt: number;
  updatedAt: number;
};

export function toCluster(row: Selectable<ClusterRow>): Cluster {
  return {
    id: row.id,
    teamId: row.team_id,
    name: row.name,
    pool: row.pool,
    server: row.server,
    caPem: row.ca_pem,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}

export const sealCredentials = ({ secrets }: Platform, id: string, credentials: ClusterCredentials): string =>
  secrets.seal(JSON.stringify(credentials), sealContext(sealedIn.clusters, id));

function openCredentials({ secrets }: Platform, row: Selectable<ClusterRow>): ClusterCredentials {
  if (hasLostCredentials(row)) throw credentialsLost(row.name);
  return JSON.parse(secrets.open(row.sealed_credentials, sealContext(sealedIn.clusters, row.id)));
}

/** Dropped because their master key is gone: see `lost-secrets.ts`. */
export const hasLostCredentials = ({ sealed_credentials }: Selectable<ClusterRow>): boolean =>
  sealed_credentials === '';

const credentialsLost = (name: string): Failure =>
  new Failure('conflict', `The credentials of cluster ${name} were lost with a master key. Give them again.`, {
    about: 'cluster',
  });

/** What a worker or a test needs to reach the cluster. Throws `conflict` where the credentials were lost. */
export function toAccess(platform: Platform, row: Selectable<ClusterRow>): ClusterAccess {
  return { server: row.server, caPem: row.ca_pem, credentials: openCredentials(platform, row) };
}

export const clusterUnknown = (ref: string): Failure =>
  new Failure('not_found', `There is no cluster ${JSON.stringify(ref.slice(0, 80))} in this team.`, {
    about: 'cluster',
  });

export const toTarget = ({ id, name }: { id: string; name: string }) => ({ kind: 'cluster', id, name });

export const activeClusters = ({ db }: Platform, actor: Actor) =>
  db.selectFrom('clusters').selectAll().where('team_id', '=', actor.teamId).where('state', '=', 'active');

/** For core functions that have authorised already. Throws `not_found`. */
export async function findClusterRow(platform: Platform, actor: Actor, ref: string): Promise<Selectable<ClusterRow>> {
  const row = await activeClusters(platform, actor)
    .where(isUuid(ref) ? 'id' : 'name', '=', isStorable(ref) ? ref : '')
    .executeTakeFirst();
  if (row) return row;
  throw clusterUnknown(ref);
}

/** Locks the cluster while it is in use. Throws `not_found`. */
export async function lockCluster({ db }: Platform, id: string, ref: string): Promise<Selectable<ClusterRow>> {
  const row = await db
    .updateTable('clusters')
    .set((eb) => ({ name: eb.ref('name') }))
    .where('id', '=', id)
    .where('state', '=', 'active')
    .returningAll()
    .executeTakeFirst();
  if (row) return row;
  throw clusterUnknown(ref);
}
