import { sql } from 'kysely';
import type { Actor } from './actors.ts';
import { findConnectionRow, readProjects } from './connection-rows.ts';
import { requirePermission } from './permissions.ts';
import type { Platform } from './platform.ts';
import { orNone, type Project, toProject } from './projects.ts';

/** A project and who got the connection for it, in a pull secret. */
export type ConnectionUse = {
  projectId: string;
  actorId: string;
  actorName: string;
  times: number;
  lastUsedAt: number;
};

export type ConnectionUses = {
  /** Those that may use it, as far as the actor sees them; null: every project of the team. */
  projects: Project[] | null;
  /** The latest first, a hundred at most. */
  uses: ConnectionUse[];
};

const usesShown = 100;

/** Who may use it, and who did. Throws `not_found`. */
export async function listConnectionUses(platform: Platform, actor: Actor, ref: string): Promise<ConnectionUses> {
  requirePermission(actor, 'connections:read');
  const { db } = platform;
  const row = await findConnectionRow(platform, actor, ref);
  const ids = (await readProjects(platform, [row.id])).get(row.id) ?? [];
  const seen = ids.filter((id) => actor.projectIds === null || actor.projectIds.includes(id));
  const projects = await db.selectFrom('projects').selectAll().where('id', 'in', orNone(seen)).orderBy('id').execute();
  let query = db.selectFrom('connection_uses').selectAll().where('connection_id', '=', row.id);
  if (actor.projectIds !== null) query = query.where('project_id', 'in', orNone(actor.projectIds));
  const uses = await query.orderBy('last_used_at', 'desc').orderBy('actor_id').limit(usesShown).execute();
  return {
    projects: row.is_restricted === 1 ? projects.map(toProject) : null,
    uses: uses.map((use) => ({
      projectId: use.project_id,
      actorId: use.actor_id,
      actorName: use.actor_name,
      times: use.times,
      lastUsedAt: use.last_used_at,
    })),
  };
}

/** Removes up to `limit` of those whose last one was before a time: keys come and go. Answers how many. */
export async function removeOldUses({ db }: Platform, before: number, limit = 500): Promise<number> {
  const one = sql<string>`(connection_id, project_id, actor_id)`;
  const rows = await db
    .deleteFrom('connection_uses')
    .where(
      sql<boolean>`${one} in (select connection_id, project_id, actor_id from connection_uses
        where last_used_at < ${before} limit ${limit})`,
    )
    // Asked again: in between, it may have been used.
    .where('last_used_at', '<', before)
    .returning('connection_id')
    .execute();
  return rows.length;
}
