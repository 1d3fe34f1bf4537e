import type { Actor } from './actors.ts';
import { requireCatalog } from './grants.ts';
import { holdsRight } from './permissions.ts';
import type { Platform, Region } from './platform.ts';
import { toRegistryAccess } from './registry-access.ts';
import type { NamePage } from './tags.ts';

/**
 * Full names of the team's repositories in a region that the actor may pull, in byte order. A repository is listed from
 * its first manifest on. Registries are taken in the order of `<name>/`, which makes the whole list ordered, and each
 * page reads only its own rows.
 */
export async function listCatalog(
  platform: Platform,
  actor: Actor,
  region: Region,
  { limit, after }: NamePage,
): Promise<{ names: string[]; hasMore: boolean }> {
  requireCatalog(actor);
  const registries = await listPullable(platform, actor, region);
  const names: string[] = [];
  for (const { id, prefix } of registries) {
    if (after !== undefined && prefix < after && !after.startsWith(prefix)) continue;
    const from = after?.startsWith(prefix) ? after.slice(prefix.length) : undefined;
    const rows = await listNames(platform, id, { limit: limit + 1 - names.length, after: from });
    names.push(...rows.map((name) => prefix + name));
    if (names.length > limit) break;
  }
  return { names: names.slice(0, limit), hasMore: names.length > limit };
}

async function listPullable({ db }: Platform, actor: Actor, region: Region) {
  const rows = await db
    .selectFrom('registries')
    .select(['id', 'name', 'team_id', 'project_id', 'is_public'])
    .where('team_id', '=', actor.teamId)
    .where('region_id', '=', region.id)
    .where('state', '=', 'active')
    .execute();
  return rows
    .map(toRegistryAccess)
    .filter((registry) => holdsRight(actor, registry, 'pull'))
    .map(({ id, name }) => ({ id, prefix: `${name}/` }))
    .sort((a, b) => (a.prefix < b.prefix ? -1 : 1));
}

async function listNames({ db }: Platform, registryId: string, { limit, after }: NamePage): Promise<string[]> {
  const rows = await db
    .selectFrom('repositories as r')
    .select('r.name')
    .where('r.registry_id', '=', registryId)
    .where('r.is_listed', '=', 1)
    .$if(after !== undefined, (q) => q.where('r.name', '>', after ?? ''))
    .orderBy('r.name')
    .limit(limit)
    .execute();
  return rows.map((row) => row.name);
}
