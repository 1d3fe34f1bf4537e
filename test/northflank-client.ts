import { newId } from '#core/ids.ts';
import type { Scope } from './database.ts';
import { type Call, callerOf, type Dialect, openDialect } from './dialect-client.ts';
import type { SeededTeam, TestPlatform } from './platform.ts';

/** `call`: as the team's owner, at the vendor's own paths, `GET /integrations/registries`. */
export type Northflank = Dialect & { call: Call };

/** The real app with one team and its project `default`. */
export async function openNorthflank(t: Scope): Promise<Northflank> {
  const dialect = await openDialect(t);
  return { ...dialect, call: callerOf(dialect.app, dialect.team.secret, '/v1') };
}

export const registries = '/integrations/registries';

/** A body of the older generation. */
export const dockerHub = (name: string, more: object = {}) => ({
  name,
  provider: 'dockerhub',
  username: 'bob',
  password: `password-of-${name.replaceAll(' ', '-')}`,
  ...more,
});

/** A Google service account's key file. */
export const keyfile = { type: 'service_account', project_id: 'p', private_key: 'the-private-key' };

/** A further project of the team; its slug is its name. */
export async function seedProject(platform: TestPlatform, { teamId }: SeededTeam, name: string): Promise<string> {
  const id = newId();
  await platform.db
    .insertInto('projects')
    .values({ id, team_id: teamId, name, slug: name, created_at: platform.now() })
    .execute();
  return id;
}
