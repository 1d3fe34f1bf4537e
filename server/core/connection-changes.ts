// What changes of a connection have in common: who may make them, and what they end.

import { requireCoversProjects, seesProjects } from './actor-grants.ts';
import type { Actor } from './actors.ts';
import { connectionUnknown, findConnectionRow, lockConnection, type Row, readProjects } from './connection-rows.ts';
import { Failure } from './failure.ts';
import type { Platform } from './platform.ts';

/** The row, locked, and its projects (null: the whole team), where the actor may change it. */
export async function lockForChange(
  platform: Platform,
  actor: Actor,
  { connection, projectId }: { connection: string; projectId?: string | undefined },
): Promise<{ row: Row; projectIds: readonly string[] | null }> {
  const { id } = await findConnectionRow(platform, actor, connection, projectId);
  const row = await lockConnection(platform, id, connection);
  const projectIds = row.is_restricted === 1 ? ((await readProjects(platform, [id])).get(id) ?? []) : null;
  // It was found before it was locked: meanwhile it may have been taken from the projects that it was found for.
  const isGone = projectId !== undefined && projectIds?.includes(projectId) === false;
  if (isGone || !seesProjects(actor, projectIds)) throw connectionUnknown(connection);
  requireCoversProjects(actor, projectIds, 'this connection');
  const isShared = projectIds === null || projectIds.some((one) => one !== projectId);
  if (projectId !== undefined && isShared) throw shared();
  return { row, projectIds };
}

const shared = () =>
  new Failure('conflict', 'Other projects use this connection too. Change it with an API that shows the whole team.', {
    about: 'connection',
  });

/** What is known of an earlier place or secret is no longer true; what waited to replace the old one does not wait on. */
export const asUntested = ({ version }: Row, now: number) => ({
  version: version + 1,
  status: 'untested' as const,
  tested_at: null,
  credentials_expire_at: null,
  test_due_at: now,
  replacement_username: null,
  sealed_replacement: null,
});

/** The projects that may use the connection, from now on exactly these. */
export async function restrict({ db }: Platform, id: string, projectIds: readonly string[]): Promise<void> {
  await db.deleteFrom('connection_projects').where('connection_id', '=', id).execute();
  if (projectIds.length === 0) return;
  const rows = projectIds.map((project_id) => ({ connection_id: id, project_id }));
  await db.insertInto('connection_projects').values(rows).execute();
}

/** A project ends: what was restricted to it alone stays restricted, to nothing. */
export async function unbindConnections({ db }: Platform, projectId: string): Promise<void> {
  await db.deleteFrom('connection_projects').where('project_id', '=', projectId).execute();
  await db.deleteFrom('connection_uses').where('project_id', '=', projectId).execute();
}

/** For the audit log: never a secret. */
export const toDetail = (row: Row) => ({
  provider: row.provider,
  host: row.host,
  hasSecret: row.sealed_secret !== null,
});
