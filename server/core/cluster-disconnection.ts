import { sql } from 'kysely';
import type { Platform } from './platform.ts';
import { endPullTokens } from './pull-tokens.ts';

/** What an integration joins. */
export type Pair = { clusterId: string; registryId: string };

/**
 * In the transaction that ends a cluster, a registry, or what joins the two. The tokens end with it, the Secrets go in the
 * background. Answers how many there were. Call `forgetActors` after the commit.
 */
export async function disconnectAll(platform: Platform, which: Partial<Pair>): Promise<number> {
  const { db, now } = platform;
  const { clusterId, registryId } = which;
  const rows = await db
    .updateTable('cluster_integrations')
    .set({ state: 'disconnecting', version: sql`version + 1`, due_at: now(), attempts: 0, updated_at: now() })
    .$if(clusterId !== undefined, (q) => q.where('cluster_id', '=', clusterId ?? ''))
    .$if(registryId !== undefined, (q) => q.where('registry_id', '=', registryId ?? ''))
    .where('state', '=', 'connected')
    .returning(['id', 'team_id', 'token_id', 'previous_token_id'])
    .execute();
  for (const row of rows) {
    await endPullTokens(platform, row.team_id, [row.token_id, row.previous_token_id]);
    await db
      .updateTable('cluster_integrations')
      .set({ token_id: null, sealed_token: null, token_renew_at: null, previous_token_id: null })
      .where('id', '=', row.id)
      .execute();
  }
  return rows.length;
}

/** The cluster is reached in another way now: what failed is tried at once. */
export async function supplyAgain({ db, now }: Platform, clusterId: string): Promise<void> {
  await db
    .updateTable('cluster_integrations')
    .set({ due_at: now(), attempts: 0 })
    .where('cluster_id', '=', clusterId)
    .execute();
}

/** The row of a deleted cluster, and its credentials with it, once nothing is left to be taken back. */
export async function removeEmptyCluster({ db }: Platform, id: string): Promise<void> {
  await db
    .deleteFrom('clusters')
    .where('id', '=', id)
    .where('state', '=', 'deleting')
    .where(({ not, exists, selectFrom }) =>
      not(exists(selectFrom('cluster_integrations as i').select('i.id').whereRef('i.cluster_id', '=', 'clusters.id'))),
    )
    .execute();
}
