import type { Actor } from './actors.ts';
import { Failure } from './failure.ts';
import type { Platform } from './platform.ts';
import { lockTeam } from './team-lock.ts';

/** What a create meets that the table did not take. */
export async function toConflict({ db }: Platform, actor: Actor, name: string): Promise<Failure> {
  const same = await db
    .selectFrom('connections')
    .select('id')
    .where('team_id', '=', actor.teamId)
    .where('folded_name', '=', name.toLowerCase())
    .executeTakeFirst();
  return same
    ? nameTaken()
    : taken(
        'There is already a connection with the same derived identifier',
        'gives a slug that another connection has',
      );
}

const nameTaken = () => taken('There is already a connection of this name', 'another connection has it');

const taken = (what: string, said: string) =>
  new Failure('conflict', `${what} in the team. Choose another name.`, {
    about: 'connection',
    fields: { '/name': said },
  });

/** For a rename. Throws `conflict`. */
export async function requireNameFree(platform: Platform, actor: Actor, foldedName: string): Promise<void> {
  await lockTeam(platform, actor.teamId);
  const other = await platform.db
    .selectFrom('connections')
    .select('id')
    .where('team_id', '=', actor.teamId)
    .where('folded_name', '=', foldedName)
    .executeTakeFirst();
  if (other) throw nameTaken();
}
