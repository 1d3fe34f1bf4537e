// The API keys that can make further ones for the whole team. Without any, nobody gets in any more but through `lading
// new-key`, on the server. So the last one is not revoked, and a start that finds none of any team makes a new owner's key.

import { sql } from 'kysely';
import { Failure } from './failure.ts';
import { expandPermissions } from './permissions.ts';
import type { Platform } from './platform.ts';
import type { ActorRow } from './schema.ts';
import { lockTeam } from './team-lock.ts';

/** A key that ends sooner is no replacement for one that does not: its owner would be locked out without a word. */
const replacementLifeMs = 30 * 24 * 3600 * 1000;

type Held = Pick<ActorRow, 'permissions' | 'project_ids'>;
type KeyMaker = Held & { id: string; team_id: string; expires_at: number | null };

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
 * For the transaction that revokes it: another must be good for at least as long, or for a month. The team is locked: of
 * two keys that are revoked at once, each would else see the other. Throws `conflict`.
 */
export async function requireNotLastKeyMaker(platform: Platform, key: KeyMaker): Promise<void> {
  if (!makesKeys(key)) return;
  await lockTeam(platform, key.team_id);
  const others = await liveKeyMakers(platform)
    .select('expires_at')
    .where('team_id', '=', key.team_id)
    .where('id', '!=', key.id)
    .execute();
  const neededUntil = Math.min(key.expires_at ?? Number.POSITIVE_INFINITY, platform.now() + replacementLifeMs);
  const ends = others.map(({ expires_at }) => expires_at ?? Number.POSITIVE_INFINITY);
  if (ends.some((end) => end >= neededUntil)) return;
  throw new Failure('conflict', describeLast(ends), { about: 'key' });
}

function describeLast(ends: readonly number[]): string {
  if (ends.length === 0) {
    return 'This is the last API key that can make keys for the whole team; without it nobody gets in any more. Make another one of the whole team with keys:write first, then revoke this one with it.';
  }
  const end = new Date(Math.max(...ends)).toISOString();
  return `The other API keys that can make keys for the whole team end soon, the last of them at ${end}; after that nobody gets in any more. Make another one of the whole team with keys:write first, one that does not end or is good for 30 days, then revoke this one with it.`;
}
