import { type Selectable, sql } from 'kysely';
import { type Actor, forgetActors, unbindProject } from './actors.ts';
import { recordAudit } from './audit.ts';
import { Failure } from './failure.ts';
import { newId } from './ids.ts';
import { makeManagedRegistries } from './managed-registries.ts';
import { isUuid } from './names.ts';
import { type Page, type PageInput, readPage, toSearchPattern } from './page.ts';
import { coversProject, requirePermission, seesProject } from './permissions.ts';
import type { Platform } from './platform.ts';
import { type Registry, startDeletion, toRegistry } from './registry-rows.ts';
import type { ProjectRow } from './schema.ts';
import { parseDisplayName, toSlug } from './slugs.ts';
import { transact } from './transact.ts';

export type Project = { id: string; teamId: string; name: string; slug: string; createdAt: number };

/** Makes a project and its managed registry in each region. Throws `conflict` if its slug is taken in the team. */
export async function createProject(
  platform: Platform,
  actor: Actor,
  input: { name: string },
): Promise<{ project: Project; registries: Registry[] }> {
  requirePermission(actor, 'projects:write');
  requireWholeTeam(actor, 'make a project');
  return transact(platform, async (platform) => {
    const made = await insertProject(platform, actor.teamId, input.name);
    await recordAudit(platform, actor, { action: 'project.create', target: toTarget(made.project) });
    return made;
  });
}

/** Without authorisation or audit: for `createProject`, new teams and the first start. */
export async function insertProject(
  platform: Platform,
  teamId: string,
  givenName: string,
): Promise<{ project: Project; registries: Registry[] }> {
  const name = parseDisplayName(givenName, 'project');
  const row = await platform.db
    .insertInto('projects')
    .values({ id: newId(), team_id: teamId, name, slug: toSlug(name, 'project'), created_at: platform.now() })
    .onConflict((oc) => oc.columns(['team_id', 'slug']).doNothing())
    .returningAll()
    .executeTakeFirst();
  if (!row) {
    throw new Failure('conflict', `The team has a project ${toSlug(name, 'project')} already. Choose another name.`, {
      about: 'project',
      fields: { '/name': 'another project has this slug' },
    });
  }
  const project = toProject(row);
  return { project, registries: await makeManagedRegistries(platform, project) };
}

/** Keys bound to projects see those alone. */
export async function listProjects(
  { db }: Platform,
  actor: Actor,
  input: PageInput & {
    search?: string | undefined;
    sort?: { by: 'name' | 'createdAt'; descending: boolean } | undefined;
  },
): Promise<Page<Project>> {
  requirePermission(actor, 'projects:read');
  let query = db.selectFrom('projects').selectAll().where('team_id', '=', actor.teamId);
  if (actor.projectIds !== null) query = query.where('id', 'in', orNone(actor.projectIds));
  if (input.search) {
    query = query.where(sql<boolean>`lower(name) like ${toSearchPattern(input.search)} escape '\\'`);
  }
  const { by, descending } = input.sort ?? { by: 'createdAt', descending: false };
  const columns = by === 'name' ? [byName, byId] : [byId];
  return readPage(query, { columns, descending }, input, toProject);
}

const byId = { sql: sql.ref('id'), type: 'text', of: (row: Selectable<ProjectRow>) => row.id } as const;
const byName = { sql: sql.ref('name'), type: 'text', of: (row: Selectable<ProjectRow>) => row.name } as const;

/** By id or slug. Another team's and those the actor is not bound to are not found, in the same words. */
export async function getProject(platform: Platform, actor: Actor, ref: string): Promise<Project> {
  requirePermission(actor, 'projects:read');
  const project = await findProject(platform, actor, ref);
  if (project) return project;
  throw projectUnknown(ref);
}

/** The project with this id or slug that the actor sees, for core functions that have authorised already. */
export async function findProject({ db }: Platform, actor: Actor, ref: string): Promise<Project | undefined> {
  const row = await db
    .selectFrom('projects')
    .selectAll()
    .where('team_id', '=', actor.teamId)
    .where(isProject(ref))
    .executeTakeFirst();
  return row && seesProject(actor, row.id) ? toProject(row) : undefined;
}

export function projectUnknown(ref: string): Failure {
  return new Failure('not_found', `There is no project ${JSON.stringify(ref.slice(0, 80))}.`, { about: 'project' });
}

/**
 * The projects that ids or slugs in an input mean, locked against deletion until the transaction ends. Throws `invalid`
 * for one that is unknown, another team's, or not the actor's.
 */
export async function requireProjects(platform: Platform, actor: Actor, refs: readonly string[]): Promise<string[]> {
  const ids = new Set<string>();
  for (const ref of refs) {
    const project = await findProject(platform, actor, ref);
    if (!project || !(await lockProject(platform, project.id))) {
      throw new Failure('invalid', projectUnknown(ref).message, {
        about: 'project',
        fields: { '/projectIds': 'names a project that is not there' },
      });
    }
    ids.add(project.id);
  }
  return [...ids].sort();
}

async function lockProject({ db }: Platform, id: string): Promise<boolean> {
  const row = await db
    .updateTable('projects')
    .set((eb) => ({ name: eb.ref('name') }))
    .where('id', '=', id)
    .returning('id')
    .executeTakeFirst();
  return row !== undefined;
}

/**
 * Deletes a project with its registries; what could only be used there ends at once: keys, tokens and robots bound to it
 * alone. Throws `conflict` while its registries hold images, unless forced.
 */
export async function deleteProject(
  platform: Platform,
  actor: Actor,
  input: { project: string; force?: boolean | undefined },
): Promise<void> {
  requirePermission(actor, 'projects:write');
  await transact(platform, async (platform) => {
    const { db } = platform;
    const project = await findProject(platform, actor, input.project);
    if (!project || !(await lockProject(platform, project.id))) throw projectUnknown(input.project);
    const rows = await db
      .selectFrom('registries')
      .selectAll()
      .where('project_id', '=', project.id)
      .orderBy('id')
      .execute();
    const registries = rows.map(toRegistry);
    if (!input.force) await refuseImages(platform, project, registries);
    for (const registry of registries) {
      if (registry.status !== 'deleting') await startDeletion(platform, actor, registry);
    }
    await db.updateTable('registries').set({ project_id: null }).where('project_id', '=', project.id).execute();
    await unbindProject(platform, project);
    await db.deleteFrom('projects').where('id', '=', project.id).execute();
    await recordAudit(platform, actor, { action: 'project.delete', target: toTarget(project) });
  });
  forgetActors(platform);
}

async function refuseImages({ db }: Platform, project: Project, registries: readonly Registry[]): Promise<void> {
  const held = await db
    .selectFrom('registries')
    .select('registries.name')
    .where('registries.id', 'in', orNone(registries.map(({ id }) => id)))
    .where(
      sql<boolean>`exists (select 1 from repositories r join manifests m on m.repository_id = r.id where r.registry_id = registries.id)`,
    )
    .orderBy('registries.name')
    .executeTakeFirst();
  if (!held) return;
  throw new Failure(
    'conflict',
    `Registry ${held.name} of project ${project.slug} still holds images. Delete them first, or use force=true.`,
    { about: 'project' },
  );
}

/** A key bound to projects changes nothing that is the whole team's. Throws `denied`. */
export function requireWholeTeam(actor: Actor, what: string): void {
  if (actor.projectIds === null) return;
  throw new Failure('denied', `This API key is bound to projects and may not ${what}. Use a key of the whole team.`);
}

/** Throws `denied` where the actor may see the thing but it belongs to the whole team. */
export function requireCovered(actor: Actor, projectId: string | null, what: string): void {
  if (!coversProject(actor, projectId)) requireWholeTeam(actor, what);
}

/** `in ()` is no SQL on Postgres; no id is empty. */
export const orNone = (ids: readonly string[]): readonly string[] => (ids.length === 0 ? [''] : ids);

/** Whether a row is the one with this id or slug. What can be neither matches none; NUL must not reach Postgres. */
export function isProject(ref: string) {
  const value = /^[a-z0-9-]{1,40}$/.test(ref) ? ref : '';
  return isUuid(ref) ? sql<boolean>`id = ${value}` : sql<boolean>`slug = ${value}`;
}

const toTarget = ({ id, slug }: Project) => ({ kind: 'project', id, name: slug });

function toProject(row: Selectable<ProjectRow>): Project {
  return { id: row.id, teamId: row.team_id, name: row.name, slug: row.slug, createdAt: row.created_at };
}
