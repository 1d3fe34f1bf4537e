import { systemActor } from './actors.ts';
import { recordAudit } from './audit.ts';
import { Failure } from './failure.ts';
import { newSecret } from './ids.ts';
import { fillManagedRegistries } from './managed-registries.ts';
import type { Platform } from './platform.ts';
import { insertTeam, type NewTeam } from './teams.ts';
import { transact } from './transact.ts';

const givenKeyLengthMin = 32;

/**
 * Makes the first team with its project, managed registries and the owner's key, where there is no team yet; answers what
 * was made, the secret this once. On every start, makes the managed registries that a new region lacks. Two replicas that
 * start together make one team. Throws `invalid` for a given key that is too short.
 */
export async function bootstrap(
  platform: Platform,
  { givenKey }: { givenKey?: string | undefined } = {},
): Promise<NewTeam | undefined> {
  const made = await transact(platform, (platform) => makeFirstTeam(platform, givenKey));
  if (!made) await fillManagedRegistries(platform);
  return made;
}

async function makeFirstTeam(platform: Platform, givenKey: string | undefined): Promise<NewTeam | undefined> {
  const team = await platform.db.selectFrom('teams').select('id').limit(1).executeTakeFirst();
  if (team) return undefined;
  if (givenKey !== undefined && givenKey.length < givenKeyLengthMin) {
    throw new Failure('invalid', `LADING_BOOTSTRAP_KEY must have at least ${givenKeyLengthMin} characters.`, {
      about: 'key',
    });
  }
  // `teams:write` stands outside `*`: the owner has both, because nobody else could give it.
  const secret = givenKey ?? newSecret('key');
  const made = await insertTeam(platform, { name: 'default', permissions: ['*', 'teams:write'], secret });
  if (!made) return undefined;
  const actor = systemActor(made.team.id);
  const target = { kind: 'team', id: made.team.id, name: made.team.slug };
  await recordAudit(platform, actor, { action: 'team.create', target });
  return made;
}
