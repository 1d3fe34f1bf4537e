// The API keys that can make further ones for the whole team. Without any, nobody gets in any more: no call and no command
// makes a key. So the last one is not revoked, and a start that finds none makes a new owner's key.

import { sql } from 'kysely';
import { Failure } from './failure.ts';
import { expandPermissions } from './permissions.ts';
import type { Platform } from './platform.ts';
import type { ActorRow } from './schema.ts';
import { lockTeam } from './team-lock.ts';

type Held = Pick<ActorRow, 'permissions' | 'project_ids'>;

const makesKeys = ({ permissions, project_ids }: Held): boolean =>
  project_ids === null && expandPermissions(JSON.parse(permissions)).has('keys:write');

/** Live ones. The lists are JSON of words that we know, so a quoted one is in it or it is not. */
function liveKeyMakers({ db, now }: Platform) {
  return db
    .selectFrom('actors')
    .select('id')
    .where('kind', '=', 'key')
    .where('revoked_at', 'is', null)
    .where('project_ids', 'is', null)
    .where((eb) => eb.or([eb('expires_at', 'is', null), eb('expires_at', '>', now())]))
    .where(sql<boolean>`(permissions like '%"*"%' or permissions like '%"keys:write"%')`);
}

/** Whether anybody, of whatever team, could make a key. */
export async function hasKeyMaker(platform: Platform): Promise<boolean> {
  return (await liveKeyMakers(platform).limit(1).executeTakeFirst()) !== undefined;
}

/**
 * For the transaction that revokes it. The team is locked: of two keys that are revoked at once, each would else see the
 * other. Throws `conflict`.
 */
export async function requireNotLastKeyMaker(platform: Platform, key: Held & { id: string; team_id: string }) {
  if (!makesKeys(key)) return;
  await lockTeam(platform, key.team_id);
  const other = await liveKeyMakers(platform)
    .where('team_id', '=', key.team_id)
    .where('id', '!=', key.id)
    .limit(1)
    .executeTakeFirst();
  if (other) return;
  throw new Failure(
    'conflict',
    'This is the last API key that can make keys for the whole team; without it nobody gets in any more. Make another one of the whole team with keys:write first, then revoke this one with it.',
    { about: 'key' },
  );
}
