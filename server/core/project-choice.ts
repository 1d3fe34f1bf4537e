import type { Actor } from './actors.ts';
import { Failure } from './failure.ts';
import { requireApiKey } from './permissions.ts';
import type { Platform } from './platform.ts';
import { findProject, orNone, type Project } from './projects.ts';

/**
 * For surfaces whose requests each work in one project: the one named by id or slug; where none is, the oldest that the
 * key may work in. Throws `denied`, in the same words for one that is unknown, another team's, or not the key's.
 */
export async function chooseProject(platform: Platform, actor: Actor, ref: string | undefined): Promise<Project> {
  requireApiKey(actor);
  const chosen = ref ?? (await findOldest(platform, actor));
  if (chosen === undefined)
    throw denied('There is no project that this API key could work in. POST /lading/v1/projects makes one.');
  const project = await findProject(platform, actor, chosen);
  if (project) return project;
  throw denied('There is no such project, or it is not one that this API key may work in.');
}

const denied = (sentence: string) => new Failure('denied', sentence, { about: 'project' });

async function findOldest({ db }: Platform, { teamId, projectIds }: Actor): Promise<string | undefined> {
  let query = db.selectFrom('projects').select('id').where('team_id', '=', teamId).orderBy('id').limit(1);
  if (projectIds !== null) query = query.where('id', 'in', orNone(projectIds));
  return (await query.executeTakeFirst())?.id;
}
