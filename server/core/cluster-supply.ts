// Making clusters as they are wanted. An integration is due when something about it changed, when it failed, once an
// hour in any case (somebody may have changed the Secret), and when its token must be renewed.
//
//   wanted      the registry's token, made if there is none or if it ends soon, written into each namespace
//   not wanted  the Secret removed from each place that `places` still names, then the row
//
// The row names a place before a Secret is made there and until after it is gone, so a crash anywhere loses none.

import type { Selectable } from 'kysely';
import { forgetActors, isRevoked, systemActor } from './actors.ts';
import { recordAudit } from './audit.ts';
import { type ClaimedIntegration, claimIntegration, keepClaim, releaseClaim } from './cluster-claims.ts';
import type { ClusterAccess } from './cluster-credentials.ts';
import { removeEmptyCluster } from './cluster-disconnection.ts';
import { isSamePlace, type Place, toWanted } from './cluster-places.ts';
import { inEach } from './cluster-rounds.ts';
import { hasLostCredentials, toAccess, toTarget } from './cluster-rows.ts';
import { applySecret, toSecretContent, withdrawSecret } from './cluster-secrets.ts';
import { Failure } from './failure.ts';
import type { Platform } from './platform.ts';
import { endPullTokens, makePullToken, type PullToken } from './pull-tokens.ts';
import type { ClusterRow } from './schema.ts';
import { sealContext, sealedIn } from './sealed-columns.ts';
import { transact } from './transact.ts';

const checkEveryMs = 60 * 60_000;
/** So long is tried to take Secrets back from a cluster that does not answer, or from namespaces that are closed to us. */
const withdrawForMs = 7 * 24 * 60 * 60_000;

/** Takes the integration that has waited longest and makes the cluster as it is wanted. False if none is due. */
export async function supplyNextCluster(platform: Platform, workerId: string): Promise<boolean> {
  const claimed = await claimIntegration(platform, workerId);
  if (!claimed) return false;
  try {
    await supply(platform, claimed);
  } catch (error) {
    platform.log.error({ integration: claimed.id, err: error }, 'supplying a cluster failed');
    const places = JSON.parse(claimed.places) as Place[];
    // What an engine says may name paths and hosts; a refusal of our own is meant for people.
    const reason = error instanceof Failure ? error.message : 'An unexpected error; the log says more.';
    await releaseClaim(platform, claimed, { error: reason, dueAt: 0, places });
  }
  return true;
}

type Registry = { id: string; name: string; projectId: string | null; host: string };
type Work = {
  claimed: ClaimedIntegration;
  cluster: Selectable<ClusterRow>;
  access: ClusterAccess;
};

async function supply(platform: Platform, claimed: ClaimedIntegration): Promise<void> {
  const cluster = await platform.db
    .selectFrom('clusters')
    .selectAll()
    .where('id', '=', claimed.cluster_id)
    .executeTakeFirstOrThrow();
  // Nobody can give them again, so what is there stays there.
  if (hasLostCredentials(cluster) && cluster.state === 'deleting') {
    return finish(platform, claimed, cluster, JSON.parse(claimed.places));
  }
  const work: Work = { claimed, cluster, access: toAccess(platform, cluster) };
  const registry = claimed.state === 'connected' ? await findRegistry(platform, claimed.registry_id) : undefined;
  if (!registry) return withdraw(platform, work);
  const token = await ensureToken(platform, work, registry);
  if (token) await write(platform, work, registry, token);
}

async function findRegistry({ db, config }: Platform, id: string): Promise<Registry | undefined> {
  const row = await db
    .selectFrom('registries')
    .select(['id', 'name', 'project_id', 'region_id'])
    .where('id', '=', id)
    .where('state', '=', 'active')
    .executeTakeFirst();
  const region = config.regions.find((one) => one.id === row?.region_id);
  return row && { id: row.id, name: row.name, projectId: row.project_id, host: region?.host ?? '' };
}

/** The secret to write. Undefined if the integration is wanted otherwise meanwhile. */
async function ensureToken(
  platform: Platform,
  work: Work,
  registry: Registry,
): Promise<Omit<PullToken, 'id'> | undefined> {
  const { claimed, cluster } = work;
  const current = await currentToken(platform, claimed);
  if (current) return current;
  const made = await transact(platform, async (platform) => {
    if (!(await keepClaim(platform, claimed))) return undefined;
    const { team_id: teamId, previous_token_id: previous, token_id: last } = claimed;
    const token = await makePullToken(platform, { teamId, name: `cluster ${cluster.name}`, registry });
    // The one before goes on until its own end: pods that have it pull on while kubelets learn of the new one.
    await endPullTokens(platform, teamId, [previous]);
    await platform.db
      .updateTable('cluster_integrations')
      .set({
        token_id: token.id,
        sealed_token: platform.secrets.seal(token.secret, contextOf(claimed)),
        token_renew_at: token.renewAt,
        previous_token_id: last,
      })
      .where('id', '=', claimed.id)
      .execute();
    const detail = { registryId: registry.id, registry: registry.name, token: token.id };
    await recordAudit(platform, systemActor(teamId), { action: 'cluster.token', target: toTarget(cluster), detail });
    return token;
  });
  forgetActors(platform);
  return made;
}

async function currentToken(platform: Platform, claimed: ClaimedIntegration) {
  const { token_id: id, sealed_token: sealed, token_renew_at: renewAt } = claimed;
  if (id === null || sealed === null || renewAt === null || renewAt <= platform.now()) return undefined;
  if (await isRevoked(platform, id, 1)) return undefined;
  return { secret: platform.secrets.open(sealed, contextOf(claimed)), renewAt };
}

const contextOf = ({ id }: ClaimedIntegration) => sealContext(sealedIn.integrations, id);

async function write(platform: Platform, work: Work, registry: Registry, token: Omit<PullToken, 'id'>): Promise<void> {
  const { claimed, cluster, access } = work;
  const wanted = toWanted(claimed);
  const isWanted = (place: Place) => wanted.some((one) => isSamePlace(one, place));
  const before = JSON.parse(claimed.places) as Place[];
  const withdrawn = await inEach(
    platform,
    claimed,
    before.filter((place) => !isWanted(place)),
    (place) => withdrawSecret(platform, { ...place, access, registryId: registry.id }),
  );
  // A cluster that is down is another matter: when it is back, they are taken back.
  const isClosed = withdrawn.error !== undefined && !withdrawn.isUnreachable;
  const isGivenUp = isClosed && isPastHope(platform, claimed);
  if (isGivenUp) noteLeftBehind(platform, cluster, withdrawn.failed);
  let held = [...(isGivenUp ? [] : withdrawn.failed), ...before.filter(isWanted)];
  const noteHeld = async (place: Place): Promise<boolean> => {
    if (held.some((one) => isSamePlace(one, place))) return true;
    held = [...held, place];
    return keepClaim(platform, claimed, held);
  };
  const content = toSecretContent({ registry, host: registry.host, secret: token.secret });
  const applied =
    withdrawn.isUnreachable || withdrawn.isLost
      ? withdrawn
      : await inEach(platform, claimed, wanted, (place) => {
          const willHold = () => noteHeld(place);
          return applySecret(platform, { ...place, access, content, registryId: registry.id, willHold });
        });
  // With some spread, so that what was connected together is not looked at together for ever.
  const nextCheck = platform.now() + checkEveryMs * (0.9 + Math.random() / 5);
  await releaseClaim(platform, claimed, {
    error: (isGivenUp ? undefined : withdrawn.error) ?? applied.error,
    dueAt: Math.round(Math.min(nextCheck, token.renewAt)),
    places: held,
  });
}

const isPastHope = ({ now }: Platform, { updated_at }: ClaimedIntegration) => now() - updated_at > withdrawForMs;

function noteLeftBehind({ log }: Platform, { id }: { id: string }, places: readonly Place[]): void {
  log.warn({ cluster: id, places }, 'Secrets are left behind in a cluster');
}

async function withdraw(platform: Platform, { claimed, cluster, access }: Work): Promise<void> {
  const places = JSON.parse(claimed.places) as Place[];
  const { error, failed, isLost } = await inEach(platform, claimed, places, (place) =>
    withdrawSecret(platform, { ...place, access, registryId: claimed.registry_id }),
  );
  const isGivenUp = error !== undefined && isPastHope(platform, claimed);
  if (isLost || (error !== undefined && !isGivenUp)) {
    await releaseClaim(platform, claimed, { error, dueAt: platform.now(), places: failed });
    return;
  }
  await finish(platform, claimed, cluster, failed);
}

/** The integration is over. `leftBehind`: where Secrets could not be taken back. */
async function finish(
  platform: Platform,
  claimed: ClaimedIntegration,
  cluster: Selectable<ClusterRow>,
  leftBehind: readonly Place[],
): Promise<void> {
  if (leftBehind.length > 0) noteLeftBehind(platform, cluster, leftBehind);
  await transact(platform, async (platform) => {
    const { db } = platform;
    // Its cluster first, as everywhere: who deletes the cluster and who removes the last integration meet here.
    await lockClusterRow(platform, cluster.id);
    if (!(await keepClaim(platform, claimed))) return;
    await endPullTokens(platform, claimed.team_id, [claimed.token_id, claimed.previous_token_id]);
    await db.deleteFrom('cluster_integrations').where('id', '=', claimed.id).execute();
    await removeEmptyCluster(platform, cluster.id);
    const detail = { registryId: claimed.registry_id, leftBehind };
    const target = toTarget(cluster);
    await recordAudit(platform, systemActor(claimed.team_id), { action: 'cluster.withdrawn', target, detail });
  });
  forgetActors(platform);
}

async function lockClusterRow({ db }: Platform, id: string): Promise<void> {
  await db
    .updateTable('clusters')
    .set((eb) => ({ name: eb.ref('name') }))
    .where('id', '=', id)
    .execute();
}
