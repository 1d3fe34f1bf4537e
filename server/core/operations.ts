// Operations: long work as rows, so that every surface can show how far it is. `operation-runs.ts` works on them.

import { type Selectable, sql } from 'kysely';
import type { Actor } from './actors.ts';
import { Failure } from './failure.ts';
import { newId } from './ids.ts';
import { isUuid } from './names.ts';
import { type Page, type PageInput, readPage } from './page.ts';
import { requirePermission, seesProject } from './permissions.ts';
import type { Platform } from './platform.ts';
import type { OperationRow } from './schema.ts';

export type OperationKind = 'delete_registry' | 'delete_repository' | 'garbage_collection';

export type Operation = {
  id: string;
  kind: string;
  teamId: string;
  /** null: of the whole team. Kept here, because the registry may be gone when the operation has ended. */
  projectId: string | null;
  registryId: string | null;
  registryName: string | null;
  repositoryId: string | null;
  /** What was asked for, beside all this. */
  input: Readonly<Record<string, unknown>>;
  state: 'queued' | 'running' | 'done' | 'failed';
  attempts: number;
  freedBytes: number;
  /** Counts of what is done so far, by kind of thing. */
  progress: Readonly<Record<string, number>>;
  error: string | null;
  createdAt: number;
  startedAt: number | null;
  finishedAt: number | null;
};

type NewOperation = {
  kind: OperationKind;
  teamId: string;
  projectId: string | null;
  registry: { id: string; name: string };
  repositoryId?: string | undefined;
  input?: Readonly<Record<string, unknown>> | undefined;
};

/** Queues work, in the transaction that makes it necessary. */
export async function enqueueOperation(platform: Platform, operation: NewOperation): Promise<Operation> {
  const queued = await enqueueOnce(platform, operation);
  if (queued) return queued;
  throw new Error(`An operation ${operation.kind} of registry ${operation.registry.id} is there already.`);
}

/** Undefined where there may be one of its kind in a registry, and one waits or runs. */
export async function enqueueOnce({ db, now }: Platform, operation: NewOperation): Promise<Operation | undefined> {
  const row = await db
    .insertInto('operations')
    .values({
      id: newId(),
      kind: operation.kind,
      team_id: operation.teamId,
      registry_id: operation.registry.id,
      repository_id: operation.repositoryId ?? null,
      state: 'queued',
      worker: null,
      claimed_until: null,
      again: 0,
      attempts: 0,
      freed: 0,
      input: JSON.stringify({
        ...operation.input,
        projectId: operation.projectId,
        registryName: operation.registry.name,
      }),
      progress: '{}',
      error: null,
      created_at: now(),
      started_at: null,
      finished_at: null,
    })
    .onConflict((oc) => oc.doNothing())
    .returningAll()
    .executeTakeFirst();
  return row && toOperation(row);
}

/** Has an operation that runs now, and has since before that time, run once more when it ends. False if none does. */
export async function askAgain(
  { db }: Platform,
  kind: OperationKind,
  registryId: string,
  { begunBefore }: { begunBefore?: number } = {},
): Promise<boolean> {
  const row = await db
    .updateTable('operations')
    .set({ again: 1 })
    .where('kind', '=', kind)
    .where('registry_id', '=', registryId)
    .where('state', '=', 'running')
    .$if(begunBefore !== undefined, (query) => query.where('started_at', '<', begunBefore ?? 0))
    .returning('id')
    .executeTakeFirst();
  return row !== undefined;
}

/** Throws `not_found` also for another team's and for those of projects the actor does not see. */
export async function getOperation({ db }: Platform, actor: Actor, id: string): Promise<Operation> {
  requirePermission(actor, 'registries:read');
  const row = isUuid(id)
    ? await db
        .selectFrom('operations')
        .selectAll()
        .where('id', '=', id)
        .where('team_id', '=', actor.teamId)
        .executeTakeFirst()
    : undefined;
  const operation = row && toOperation(row);
  if (operation && seesProject(actor, operation.projectId)) return operation;
  throw new Failure('not_found', `There is no operation ${JSON.stringify(id.slice(0, 80))}.`, { about: 'operation' });
}

/** Newest first. */
export async function listOperations(
  { db }: Platform,
  actor: Actor,
  input: PageInput & { registryId?: string | undefined; state?: Operation['state'] | undefined },
): Promise<Page<Operation>> {
  requirePermission(actor, 'registries:read');
  let query = db.selectFrom('operations').selectAll().where('team_id', '=', actor.teamId);
  if (input.registryId !== undefined)
    query = query.where('registry_id', '=', isUuid(input.registryId) ? input.registryId : '');
  if (input.state !== undefined) query = query.where('state', '=', input.state);
  if (actor.projectIds !== null) {
    const seen = [null, ...actor.projectIds].map((id) => `%"projectId":${JSON.stringify(id)}%`);
    query = query.where((eb) => eb.or(seen.map((pattern) => eb('input', 'like', pattern))));
  }
  const byId = { sql: sql.ref('id'), type: 'text', of: (row: Selectable<OperationRow>) => row.id } as const;
  return readPage(query, { columns: [byId], descending: true }, input, toOperation);
}

export function toOperation(row: Selectable<OperationRow>): Operation {
  const { projectId = null, registryName = null, ...input } = JSON.parse(row.input);
  return {
    id: row.id,
    kind: row.kind,
    teamId: row.team_id,
    projectId,
    registryId: row.registry_id,
    registryName,
    repositoryId: row.repository_id,
    input,
    state: row.state,
    attempts: row.attempts,
    freedBytes: row.freed,
    progress: JSON.parse(row.progress),
    error: row.error,
    createdAt: row.created_at,
    startedAt: row.started_at,
    finishedAt: row.finished_at,
  };
}
