import { requireCoversProjects } from './actor-grants.ts';
import type { Actor } from './actors.ts';
import { Failure } from './failure.ts';
import { isUuid } from './names.ts';
import { seesProject } from './permissions.ts';
import type { Platform } from './platform.ts';
import { orNone } from './projects.ts';

/** Where a token may be used. `projectIds` follows from the registries; null: the whole team. */
export type TokenScope = { registryIds: readonly string[] | null; projectIds: readonly string[] | null };

const registriesMax = 1000;

/**
 * The scope of a token on these registries (null: all that the maker has). What `current`, the token's scope so far,
 * names may be gone by now: a token's own list must be good as an input. Throws `invalid` for none or an unknown one, `denied` where a maker
 * bound to projects names the team's.
 */
export async function resolveTokenScope(
  { db }: Platform,
  actor: Actor,
  registryIds: readonly string[] | null,
  current?: TokenScope | undefined,
): Promise<TokenScope> {
  if (registryIds === null) return { registryIds: null, projectIds: actor.projectIds };
  const ids = [...new Set(registryIds)].sort();
  if (ids.length === 0 || ids.length > registriesMax) throw badScope(`name 1 to ${registriesMax} registries, or all`);
  const rows = await db
    .selectFrom('registries')
    .select(['id', 'project_id'])
    .where('team_id', '=', actor.teamId)
    .where('state', '=', 'active')
    .where('id', 'in', orNone(ids.filter(isUuid)))
    .execute();
  const seen = rows.filter((row) => seesProject(actor, row.project_id));
  const known = new Set([...(current?.registryIds ?? []), ...seen.map(({ id }) => id)]);
  const unknown = ids.find((id) => !known.has(id));
  if (unknown !== undefined)
    throw badScope(`there is no registry ${JSON.stringify(unknown.slice(0, 80))} in this team`);
  const projectIds =
    seen.length === 0 && current ? current.projectIds : toProjectIds(seen.map((row) => row.project_id));
  requireCoversProjects(actor, projectIds, 'the list of registries');
  return { registryIds: ids, projectIds };
}

/** One registry of the whole team makes the token the whole team's. */
function toProjectIds(ids: readonly (string | null)[]): string[] | null {
  const projectIds = ids.filter((id) => id !== null);
  return projectIds.length < ids.length ? null : [...new Set(projectIds)].sort();
}

function badScope(said: string): Failure {
  return new Failure('invalid', `The token's registries are not right: ${said}.`, {
    about: 'token',
    fields: { '/registryIds': said },
  });
}
