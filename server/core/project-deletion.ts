import { sql } from 'kysely';
import { type Actor, forgetActors, unbindProject } from './actors.ts';
import { recordAudit } from './audit.ts';
import { unbindConnections } from './connection-changes.ts';
import { Failure } from './failure.ts';
import { requirePermission } from './permissions.ts';
import type { Platform } from './platform.ts';
import { findProject, lockProject, orNone, type Project, projectUnknown, toTarget } from './projects.ts';
import { collections, type Registry, startDeletion, toRegistry } from './registry-rows.ts';
import { transact } from './transact.ts';

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
      .select(collections)
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
    await unbindConnections(platform, project.id);
    await db.deleteFrom('project_pull_tokens').where('project_id', '=', project.id).execute();
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
