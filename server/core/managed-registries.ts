import { sql } from 'kysely';
import type { Actor } from './actors.ts';
import { Failure } from './failure.ts';
import { isUuid } from './names.ts';
import { coversProject } from './permissions.ts';
import type { Platform, Region } from './platform.ts';
import type { Project } from './projects.ts';
import { collections, insertRegistry, type Registry, requireRoomForRegistries, toRegistry } from './registry-rows.ts';
import { transact } from './transact.ts';

/** One registry in each region for a new project, inside the transaction that makes it. */
export async function makeManagedRegistries(platform: Platform, project: Project): Promise<Registry[]> {
  const { regions } = platform.config;
  await requireRoomForRegistries(platform, project.teamId, regions.length);
  const made: Registry[] = [];
  for (const region of regions) made.push(await makeManagedRegistry(platform, project, region));
  return made;
}

/**
 * Named after the project's slug. Where that is taken the project's id is added: its first eight digits, as push paths
 * show them, then its last twelve, because ids made in the same minute begin alike.
 */
async function makeManagedRegistry(platform: Platform, project: Project, region: Region): Promise<Registry> {
  const { id, slug, teamId } = project;
  for (const name of [slug, `${slug}-${id.slice(0, 8)}`, `${slug}-${id.slice(-12)}`]) {
    const registry = await insertRegistry(platform, {
      teamId,
      projectId: id,
      regionId: region.id,
      name,
      isPublic: false,
      isManaged: true,
      sizeLimitBytes: platform.config.registryLimitBytes,
    });
    if (registry) return registry;
  }
  throw new Failure(
    'conflict',
    `The names for the managed registry of project ${slug} are taken. Choose another name.`,
    {
      about: 'project',
      fields: { '/name': 'the names of its managed registry are taken' },
    },
  );
}

/** At start: registries for projects made before a region was added. Answers how many were made. */
export async function fillManagedRegistries(platform: Platform): Promise<number> {
  let made = 0;
  for (const region of platform.config.regions) {
    for (const row of await projectsWithout(platform, region).orderBy('id').execute()) {
      const project = { id: row.id, teamId: row.team_id, name: row.name, slug: row.slug, createdAt: row.created_at };
      await transact(platform, (platform) => fillOne(platform, project, region));
      made++;
    }
  }
  return made;
}

async function fillOne(platform: Platform, project: Project, region: Region): Promise<void> {
  // The project's row is the lock, because another replica may be starting too; what is missing is asked after it.
  await platform.db
    .updateTable('projects')
    .set((eb) => ({ name: eb.ref('name') }))
    .where('id', '=', project.id)
    .execute();
  const row = await projectsWithout(platform, region).where('id', '=', project.id).executeTakeFirst();
  if (row) await makeManagedRegistry(platform, project, region);
}

const projectsWithout = ({ db }: Platform, region: Region) =>
  db
    .selectFrom('projects')
    .selectAll()
    .where(sql<boolean>`not exists (
      select 1 from registries where project_id = projects.id and region_id = ${region.id} and is_managed = 1)`);

/** Both are ids. */
export type ManagedRef = { projectId: string; id: string };

/** Those of a project in the order of the regions, for core functions that have authorised already. */
export async function listManagedRegistries(platform: Platform, actor: Actor, projectId: string): Promise<Registry[]> {
  if (!coversProject(actor, projectId)) return [];
  const rows = await managedOf(platform, actor, projectId).execute();
  const rank = ({ regionId }: Registry) => platform.config.regions.findIndex(({ id }) => id === regionId);
  return rows.map(toRegistry).sort((a, b) => rank(a) - rank(b));
}

export async function findManagedRegistry(
  platform: Platform,
  actor: Actor,
  { projectId, id }: ManagedRef,
): Promise<Registry | undefined> {
  if (!coversProject(actor, projectId) || !isUuid(id)) return undefined;
  const row = await managedOf(platform, actor, projectId).where('id', '=', id).executeTakeFirst();
  return row && toRegistry(row);
}

const managedOf = ({ db }: Platform, { teamId }: Actor, projectId: string) =>
  db
    .selectFrom('registries')
    .selectAll()
    .select(collections)
    .where('team_id', '=', teamId)
    .where('project_id', '=', projectId)
    .where('is_managed', '=', 1)
    .where('state', '=', 'active');

/** The registry as it is once changes under way have ended, locked for the rest of the transaction. Throws `not_found`. */
export async function lockManagedRegistry(platform: Platform, actor: Actor, ref: ManagedRef): Promise<Registry> {
  await platform.db
    .updateTable('registries')
    .set((eb) => ({ name: eb.ref('name') }))
    .where('id', '=', ref.id)
    .where('team_id', '=', actor.teamId)
    .execute();
  const registry = await findManagedRegistry(platform, actor, ref);
  if (registry) return registry;
  throw new Failure('not_found', `There is no registry ${JSON.stringify(ref.id.slice(0, 80))}.`, { about: 'registry' });
}
