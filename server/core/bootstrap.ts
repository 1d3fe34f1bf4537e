import { systemActor } from './actors.ts';
import { insertApiKey } from './api-keys.ts';
import { recordAudit } from './audit.ts';
import { Failure } from './failure.ts';
import { newSecret } from './ids.ts';
import { hasKeyMaker } from './key-makers.ts';
import { fillManagedRegistries } from './managed-registries.ts';
import type { Platform } from './platform.ts';
import { lockTeam } from './team-lock.ts';
import { insertTeam } from './teams.ts';
import { transact } from './transact.ts';

const givenKeyLengthMin = 32;

/** `teams:write` stands outside `*`: the owner has both, because nobody else could give it. */
const ownerPermissions = ['*', 'teams:write'];

/** An owner's key, its secret this once, and a registry of its team to begin with, if there is one. */
export type OwnerKey = { secret: string; registryName: string | undefined; isNewTeam: boolean };

/**
 * Makes the first team with its project, managed registries and the owner's key, where there is no team yet; where there
 * is one and no API key of any team could make keys, another owner's key. On every start, makes the managed registries
 * that a new region lacks. Replicas that start together make one team and one key. Throws `invalid` for a given key that
 * is too short.
 */
export async function bootstrap(
  platform: Platform,
  { givenKey }: { givenKey?: string | undefined } = {},
): Promise<OwnerKey | undefined> {
  const made = await transact(platform, (platform) => makeFirstTeam(platform, givenKey));
  if (made) return made;
  await fillManagedRegistries(platform);
  if (await hasKeyMaker(platform)) return undefined;
  return transact(platform, (platform) => makeAnotherOwner(platform, givenKey));
}

async function makeFirstTeam(platform: Platform, givenKey: string | undefined): Promise<OwnerKey | undefined> {
  const team = await platform.db.selectFrom('teams').select('id').limit(1).executeTakeFirst();
  if (team) return undefined;
  requireLongEnough(givenKey);
  const secret = givenKey ?? newSecret('key');
  const made = await insertTeam(platform, { name: 'default', permissions: ownerPermissions, secret });
  if (!made) return undefined;
  const actor = systemActor(made.team.id);
  const target = { kind: 'team', id: made.team.id, name: made.team.slug };
  await recordAudit(platform, actor, { action: 'team.create', target });
  return { secret, registryName: made.registries[0]?.name, isNewTeam: true };
}

/** For the oldest team. Locked, so that of two replicas the second finds the key of the first. */
async function makeAnotherOwner(platform: Platform, givenKey: string | undefined): Promise<OwnerKey | undefined> {
  const { db } = platform;
  const team = await db.selectFrom('teams').select('id').orderBy('id').limit(1).executeTakeFirstOrThrow();
  await lockTeam(platform, team.id);
  if (await hasKeyMaker(platform)) return undefined;
  requireLongEnough(givenKey);
  const secret = givenKey ?? newSecret('key');
  const reason = 'no API key could make keys';
  await insertOwnerKey(platform, { teamId: team.id, permissions: ownerPermissions, secret, reason });
  return { secret, registryName: await findRegistryName(platform, team.id), isNewTeam: false };
}

const slugsShown = 20;

/** Another owner's key of this team, for who has lost all of them. Throws `not_found`. */
export async function makeOwnerKey(platform: Platform, { team: ref }: { team: string }): Promise<string> {
  return transact(platform, async (platform) => {
    const teams = platform.db.selectFrom('teams').select(['id', 'slug']).orderBy('id');
    const team = await teams.where((eb) => eb.or([eb('slug', '=', ref), eb('id', '=', ref)])).executeTakeFirst();
    const oldest = await teams.limit(slugsShown).execute();
    if (!team) throw teamUnknown(ref, oldest);
    const secret = newSecret('key');
    // Who may make teams is the installation's owner, as on the first start, and not whoever has a team in it.
    const permissions = team.id === oldest[0]?.id ? ownerPermissions : ['*'];
    await insertOwnerKey(platform, { teamId: team.id, permissions, secret, reason: 'lading new-key' });
    return secret;
  });
}

function teamUnknown(ref: string, teams: readonly { slug: string }[]): Failure {
  const slugs = teams.map(({ slug }) => slug).join(', ');
  const known = slugs === '' ? 'There is none yet: the first start makes one.' : `The first teams are: ${slugs}.`;
  return new Failure('not_found', `There is no team ${JSON.stringify(ref.slice(0, 80))}. ${known}`, { about: 'team' });
}

async function insertOwnerKey(
  platform: Platform,
  { teamId, permissions, secret, reason }: { teamId: string; permissions: string[]; secret: string; reason: string },
): Promise<void> {
  const owner = { teamId, name: 'owner', permissions, projectIds: null, secret, expiry: null };
  const key = await insertApiKey(platform, owner);
  const target = { kind: 'key', id: key.id, name: key.name };
  const detail = { permissions, projectIds: null, reason };
  await recordAudit(platform, systemActor(teamId), { action: 'key.create', target, detail });
}

async function findRegistryName({ db, config }: Platform, teamId: string): Promise<string | undefined> {
  const row = await db
    .selectFrom('registries')
    .select('name')
    .where('team_id', '=', teamId)
    .where('region_id', '=', config.regions[0]?.id ?? '')
    .where('state', '=', 'active')
    .orderBy('id')
    .limit(1)
    .executeTakeFirst();
  return row?.name;
}

function requireLongEnough(givenKey: string | undefined): void {
  if (givenKey === undefined || givenKey.length >= givenKeyLengthMin) return;
  throw new Failure('invalid', `LADING_BOOTSTRAP_KEY must have at least ${givenKeyLengthMin} characters.`, {
    about: 'key',
  });
}
