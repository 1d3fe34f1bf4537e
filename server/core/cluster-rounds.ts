import type { ClusterFault } from './cluster-api.ts';
import { type ClaimedIntegration, keepClaim } from './cluster-claims.ts';
import type { Place } from './cluster-places.ts';
import type { Platform } from './platform.ts';

export type Round = {
  error: string | undefined;
  /** Places that are not done. */
  failed: Place[];
  isUnreachable: boolean;
  /** The claim is gone: whoever has it now goes on. */
  isLost: boolean;
};

/** One place that refuses does not keep the others waiting; a cluster that is not there does. */
export async function inEach(
  platform: Platform,
  claimed: ClaimedIntegration,
  places: readonly Place[],
  step: (place: Place) => Promise<ClusterFault | undefined>,
): Promise<Round> {
  const round: Round = { error: undefined, failed: [], isUnreachable: false, isLost: false };
  for (const [i, place] of places.entries()) {
    if (!(await keepClaim(platform, claimed))) return { ...round, failed: places.slice(i), isLost: true };
    const fault = await step(place);
    if (!fault) continue;
    round.error ??= fault.message;
    if (fault.failedAt !== undefined || fault.status === 401) {
      return { ...round, failed: [...round.failed, ...places.slice(i)], isUnreachable: true };
    }
    round.failed.push(place);
  }
  return round;
}
