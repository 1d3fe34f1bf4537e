// Tokens that Lading makes for itself to give away: read-only, on one registry, in no list of tokens.

import { deleteActor, insertActor } from './actors.ts';
import { hashSecret, newId, newSecret } from './ids.ts';
import type { Platform } from './platform.ts';
import { permissionsOfMode } from './token-rows.ts';

const dayMs = 24 * 60 * 60_000;
const lifetimeMs = 90 * dayMs;
/** Before its end, so that what still uses the old one when the new one is there has two weeks. */
const renewBeforeMs = 14 * dayMs;

type PullTokenInput = { teamId: string; name: string; registry: { id: string; projectId: string | null } };
export type PullToken = { id: string; secret: string; renewAt: number };

export async function makePullToken(platform: Platform, input: PullTokenInput): Promise<PullToken> {
  const { teamId, name, registry } = input;
  const now = platform.now();
  const [id, secret] = [newId(), newSecret('pull')];
  await insertActor(platform, {
    id,
    kind: 'pull',
    team_id: teamId,
    name,
    secret_hash: hashSecret(secret),
    generation: 1,
    permissions: JSON.stringify(permissionsOfMode.ro),
    registry_ids: JSON.stringify([registry.id]),
    project_ids: registry.projectId && JSON.stringify([registry.projectId]),
    lifetime_ms: lifetimeMs,
    expires_at: now + lifetimeMs,
    revoked_at: null,
    last_used_at: null,
    created_at: now,
  });
  return { id, secret, renewAt: now + lifetimeMs - renewBeforeMs };
}

/** Call `forgetActors` after the commit. */
export async function endPullTokens(
  platform: Platform,
  teamId: string,
  ids: readonly (string | null)[],
): Promise<void> {
  for (const id of ids) if (id !== null) await deleteActor(platform, id, teamId);
}
