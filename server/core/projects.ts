import { type Selectable, sql } from 'kysely';
import type { Actor } from './actors.ts';
import { recordAudit } from './audit.ts';
import { Failure } from './failure.ts';
import { newId } from './ids.ts';
import { makeManagedRegistries } from './managed-registries.ts';
import { isUuid } from './names.ts';
import { type Page, type PageInput, readPage, toSearchPattern } from './page.ts';
import { coversProject, requirePermission, seesProject } from './permissions.ts';
import type { Platform } from './platform.ts';
import type { Registry } from './registry-rows.ts';
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

/** Only the name: the slug is in paths that others have noted. Throws `not_found`, `denied`, `invalid`. */
export async function updateProject(
  platform: Platform,
  actor: Actor,
  input: { project: string; name?: string | undefined; expect?: ((current: Project) => void) | undefined },
): Promise<Project> {
  requirePermission(actor, 'projects:write');
  return transact(platform, async (platform) => {
    const found = await findProject(platform, actor, input.project);
    if (!found || !(await lockProject(platform, found.id))) throw projectUnknown(input.project);
    const current = (await findProject(platform, actor, found.id)) ?? found;
    input.expect?.(current);
    const name = input.name === undefined ? current.name : parseDisplayName(input.name, 'project');
    if (name === current.name) return current;
    await platform.db.updateTable('projects').set({ name }).where('id', '=', current.id).execute();
    await recordAudit(platform, actor, { action: 'project.update', target: toTarget(current), detail: { name } });
    return { ...current, name };
  });
}

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

/** The same for filters: an empty list would hide a slip of the pen. Throws `invalid`. */
export async function requireNamedProject(platform: Platform, actor: Actor, ref: string): Promise<Project> {
  const project = await findProject(platform, actor, ref);
  if (project) return project;
  const said = 'names no project that this API key sees';
  throw new Failure('invalid', `project ${said}.`, { about: 'project', fields: { '/project': said } });
}

export function projectUnknown(ref: string): Failure {
  return new Failure('not_found', `There is no project ${JSON.stringify(ref.slice(0, 80))}.`, { about: 'project' });
}

/**
 * The projects that ids or slugs in an input mean, locked against deletion until the transaction ends. Throws `invalid`
 * for one that is unknown, another team's, or not the actor's.
 */
export async function requireProjects(platform: Platform, actor: Actor, refs: readonly string[]): Promise<string[]> {
  if (refs.length > projectsMax) throw badProjects(`At most ${projectsMax} projects can be named.`);
  const refsById = new Map<string, string>();
  for (const ref of refs) {
    const project = await findProject(platform, actor, ref);
    if (!project) throw badProjects(projectUnknown(ref).message);
    refsById.set(project.id, ref);
  }
  // In one order everywhere, so that two who name the same projects do not wait for each other.
  const ids = [...refsById.keys()].sort();
  for (const id of ids) {
    if (!(await lockProject(platform, id))) throw badProjects(projectUnknown(refsById.get(id) ?? id).message);
  }
  return ids;
}

const projectsMax = 100;

const badProjects = (message: string) =>
  new Failure('invalid', message, { about: 'project', fields: { '/projectIds': message } });

/** False if it is gone. */
export async function lockProject({ db }: Platform, id: string): Promise<boolean> {
  const row = await db
    .updateTable('projects')
    .set((eb) => ({ name: eb.ref('name') }))
    .where('id', '=', id)
    .returning('id')
    .executeTakeFirst();
  return row !== undefined;
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

export const toTarget = ({ id, slug }: Project) => ({ kind: 'project', id, name: slug });

export function toProject(row: Selectable<ProjectRow>): Project {
  return { id: row.id, teamId: row.team_id, name: row.name, slug: row.slug, createdAt: row.created_at };
}
