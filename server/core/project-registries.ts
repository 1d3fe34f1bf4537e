// What one project has: the registries that came with it, and the connections it may use.

import type { Actor } from './actors.ts';
import { listAllConnections } from './connection-lists.ts';
import type { Connection } from './connection-rows.ts';
import { type ConnectionChange, deleteConnection, getConnection, updateConnection } from './connections.ts';
import { Failure } from './failure.ts';
import { findManagedRegistry, listManagedRegistries } from './managed-registries.ts';
import { requirePermission } from './permissions.ts';
import type { Platform } from './platform.ts';
import type { Registry } from './registry-rows.ts';
import { findRobots } from './robots.ts';

/** `hasRobot`: somebody was given the secret that pushes there. */
export type ProjectRegistry =
  | { kind: 'managed'; registry: Registry; hasRobot: boolean }
  | { kind: 'connection'; connection: Connection };

/** Managed ones in the order of the regions, then connections, oldest first; all of them. */
export async function listProjectRegistries(
  platform: Platform,
  actor: Actor,
  projectId: string,
): Promise<ProjectRegistry[]> {
  requireReads(actor);
  const managed = await withRobots(platform, actor, await listManagedRegistries(platform, actor, projectId));
  const connections = await listAllConnections(platform, actor, { projectId });
  return [...managed, ...connections.map((connection) => ({ kind: 'connection' as const, connection }))];
}

function requireReads(actor: Actor): void {
  requirePermission(actor, 'registries:read');
  requirePermission(actor, 'connections:read');
}

async function withRobots(platform: Platform, actor: Actor, registries: Registry[]): Promise<ProjectRegistry[]> {
  const robots = await findRobots(platform, actor, registries);
  return registries.map((registry) => ({ kind: 'managed', registry, hasRobot: robots.has(registry.id) }));
}

type Ref = { projectId: string; id: string };

/** Throws `not_found`. */
export async function getProjectRegistry(
  platform: Platform,
  actor: Actor,
  { projectId, id }: Ref,
): Promise<ProjectRegistry> {
  requireReads(actor);
  const registry = await findManagedRegistry(platform, actor, { projectId, id });
  const [managed] = registry ? await withRobots(platform, actor, [registry]) : [];
  return managed ?? { kind: 'connection', connection: await getConnection(platform, actor, id, projectId) };
}

type Change = Omit<ConnectionChange, 'projectId' | 'connection'>;

/** As `updateConnection`. Throws `conflict` for a managed registry, and for what other projects use too. */
export async function updateProjectConnection(
  platform: Platform,
  actor: Actor,
  { projectId, id, ...change }: Ref & Change,
): Promise<Connection> {
  requirePermission(actor, 'connections:update');
  await refuseManaged(platform, actor, { projectId, id }, 'changed here');
  return updateConnection(platform, actor, { ...change, connection: id, projectId });
}

/** Throws `conflict` as `updateProjectConnection`. */
export async function deleteProjectConnection(platform: Platform, actor: Actor, { projectId, id }: Ref): Promise<void> {
  requirePermission(actor, 'connections:delete');
  await refuseManaged(platform, actor, { projectId, id }, 'deleted: it goes with its project');
  await deleteConnection(platform, actor, { connection: id, projectId });
}

async function refuseManaged(platform: Platform, actor: Actor, ref: Ref, what: string): Promise<void> {
  if (!(await findManagedRegistry(platform, actor, ref))) return;
  throw new Failure('conflict', `This registry is managed by its project and cannot be ${what}.`, {
    about: 'registry',
  });
}
