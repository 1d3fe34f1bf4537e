// The registries that a team uses elsewhere: where they are, what opens them, and which projects may use them.

import type { Actor } from './actors.ts';
import { recordAudit } from './audit.ts';
import { asUntested, lockForChange, restrict, toDetail } from './connection-changes.ts';
import {
  type ConnectionInput,
  type ConnectionInputChange,
  changeConnection,
  changedFields,
  leadsElsewhere,
  parseConnection,
  toSlugOf,
} from './connection-input.ts';
import { requireNameFree, toConflict } from './connection-names.ts';
import {
  type Connection,
  findConnectionRow,
  openSecret,
  readProjects,
  sealSecret,
  secretContext,
  toSeen,
  toTarget,
} from './connection-rows.ts';
import { newId } from './ids.ts';
import { requirePermission } from './permissions.ts';
import type { Platform } from './platform.ts';
import { requireProjects, requireWholeTeam } from './projects.ts';
import { lockTeam } from './team-lock.ts';
import { transact } from './transact.ts';
import type { ConnectionSecret } from './upstream.ts';

export type NewConnection = ConnectionInput & {
  /** Ids or slugs; null: the whole team. Unless given, the whole team, or the projects that the key is bound to. */
  projects?: readonly string[] | null | undefined;
};

/** Nothing is asked of the registry here. Throws `invalid`, `denied`, and `conflict` where name or slug is taken. */
export async function createConnection(platform: Platform, actor: Actor, input: NewConnection): Promise<Connection> {
  requirePermission(actor, 'connections:create');
  const id = newId();
  const { secret, ...values } = parseConnection(platform, input);
  const projects = input.projects === undefined ? actor.projectIds : input.projects;
  if (projects === null) requireWholeTeam(actor, 'make a connection for the whole team');
  return transact(platform, async (platform) => {
    const { db, now } = platform;
    const projectIds = projects && (await requireProjects(platform, actor, projects));
    // A rename to the same name at this moment would else meet the new row only where it breaks the unique index.
    await lockTeam(platform, actor.teamId);
    const row = await db
      .insertInto('connections')
      .values({
        ...values,
        id,
        team_id: actor.teamId,
        slug: toSlugOf(values.name, id),
        sealed_secret: secret && sealSecret(platform, secretContext(id), secret),
        replacement_username: null,
        sealed_replacement: null,
        is_restricted: projectIds === null ? 0 : 1,
        version: 1,
        status: 'untested',
        tested_at: null,
        credentials_expire_at: null,
        test_due_at: now(),
        worker: null,
        claimed_until: null,
        created_at: now(),
        updated_at: now(),
      })
      .onConflict((oc) => oc.doNothing())
      .returningAll()
      .executeTakeFirst();
    if (!row) throw await toConflict(platform, actor, values.name);
    await restrict(platform, id, projectIds ?? []);
    const detail = { ...toDetail(row), projectIds };
    await recordAudit(platform, actor, { action: 'connection.create', target: toTarget(row), detail });
    return toSeen(actor, row, projectIds ?? []);
  });
}

/** By id or slug. Throws `not_found`, in the same words for what is another team's or not for the actor's projects. */
export async function getConnection(
  platform: Platform,
  actor: Actor,
  ref: string,
  projectId?: string | undefined,
): Promise<Connection> {
  requirePermission(actor, 'connections:read');
  const row = await findConnectionRow(platform, actor, ref, projectId);
  return toSeen(actor, row, (await readProjects(platform, [row.id])).get(row.id));
}

export type ConnectionChange = ConnectionInputChange & {
  connection: string;
  projects?: readonly string[] | null | undefined;
  /** Id of a project: it must be the only one that may use the connection. */
  projectId?: string | undefined;
  expect?: ((current: Connection) => void) | undefined;
};

/**
 * Changes what is given; where that is as it was, nothing is written. The stored secret belongs to the host it was given for: where the connection leads does not
 * change without it. Throws `not_found`, `denied`, `invalid`, `conflict`.
 */
export async function updateConnection(platform: Platform, actor: Actor, input: ConnectionChange): Promise<Connection> {
  requirePermission(actor, 'connections:update');
  return transact(platform, async (platform) => {
    const { row: current, projectIds: before } = await lockForChange(platform, actor, input);
    input.expect?.(toSeen(actor, current, before ?? []));
    const { values, secret } = changeConnection(platform, current, input);
    if (input.projects === null) requireWholeTeam(actor, 'give a connection to the whole team');
    const projectIds = input.projects ? await requireProjects(platform, actor, input.projects) : input.projects;
    if (values.folded_name !== current.folded_name) await requireNameFree(platform, actor, values.folded_name);
    const isElsewhere = secret !== undefined || leadsElsewhere(current, values);
    const changed = [
      ...changedFields(current, values),
      ...(secret === undefined ? [] : ['secret']),
      ...(projectIds === undefined || isSameList(before, projectIds) ? [] : ['projectIds']),
    ];
    if (changed.length === 0) return toSeen(actor, current, before ?? []);
    const row = await platform.db
      .updateTable('connections')
      .set({
        ...values,
        ...(secret !== undefined && {
          sealed_secret: secret && sealSecret(platform, secretContext(current.id), secret),
        }),
        ...(projectIds !== undefined && { is_restricted: projectIds === null ? 0 : 1 }),
        ...(isElsewhere && asUntested(current, platform.now())),
        updated_at: platform.now(),
      })
      .where('id', '=', current.id)
      .returningAll()
      .executeTakeFirstOrThrow();
    if (projectIds !== undefined) await restrict(platform, row.id, projectIds ?? []);
    const detail = {
      ...toDetail(row),
      changed,
      hasNewSecret: secret !== undefined,
      ...(current.sealed_replacement !== null && isElsewhere && { replacementDiscarded: true }),
      ...(projectIds !== undefined && { projectIdsBefore: before, projectIds }),
    };
    await recordAudit(platform, actor, { action: 'connection.update', target: toTarget(row), detail });
    return toSeen(actor, row, (projectIds === undefined ? before : projectIds) ?? []);
  });
}

const isSameList = (one: readonly string[] | null, other: readonly string[] | null): boolean =>
  JSON.stringify(one?.toSorted()) === JSON.stringify(other?.toSorted());

/** Its tests and uses go with it. Throws `not_found`, `denied`, `conflict` where other projects share it. */
export async function deleteConnection(
  platform: Platform,
  actor: Actor,
  input: Pick<ConnectionChange, 'connection' | 'projectId' | 'expect'>,
): Promise<Connection> {
  requirePermission(actor, 'connections:delete');
  return transact(platform, async (platform) => {
    const { db } = platform;
    const { row, projectIds } = await lockForChange(platform, actor, input);
    const connection = toSeen(actor, row, projectIds ?? []);
    input.expect?.(connection);
    for (const table of ['connection_projects', 'connection_tests', 'connection_uses'] as const) {
      await db.deleteFrom(table).where('connection_id', '=', row.id).execute();
    }
    await db.deleteFrom('connections').where('id', '=', row.id).execute();
    await recordAudit(platform, actor, { action: 'connection.delete', target: toTarget(row), detail: toDetail(row) });
    return connection;
  });
}

export type Revealed = { connection: Connection; username: string; secret: ConnectionSecret | null };

/** One of the doors through which a stored secret is seen; each passage is in the audit log. */
export async function revealConnection(platform: Platform, actor: Actor, ref: string): Promise<Revealed> {
  requirePermission(actor, 'connections:reveal');
  return transact(platform, async (platform) => {
    const row = await findConnectionRow(platform, actor, ref);
    const projects = await readProjects(platform, [row.id]);
    const secret = openSecret(platform, row);
    await recordAudit(platform, actor, { action: 'connection.reveal', target: toTarget(row) });
    const username = (secret?.kind === 'password' && secret.username) || row.username;
    return { connection: toSeen(actor, row, projects.get(row.id)), username, secret };
  });
}
