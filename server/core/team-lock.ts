import type { Platform } from './platform.ts';

/** Two creates or renames at once take turns, so that neither a limit nor a name is taken twice. */
export async function lockTeam({ db }: Platform, teamId: string): Promise<void> {
  await db
    .updateTable('teams')
    .set((eb) => ({ name: eb.ref('name') }))
    .where('id', '=', teamId)
    .execute();
}
