import type { Actor } from './actors.ts';
import { Failure } from './failure.ts';

/** What an API key can be allowed. `*` stands for all of these; `teams:write` is granted by name only. */
export const permissions = [
  'registries:read',
  'registries:create',
  'registries:update',
  'registries:delete',
  'images:pull',
  'images:push',
  'images:delete',
  'garbage:collect',
  'tokens:read',
  'tokens:write',
  'projects:read',
  'projects:write',
  'connections:read',
  'connections:create',
  'connections:update',
  'connections:delete',
  'connections:test',
  'connections:reveal',
  'pull-secrets:read',
  'clusters:read',
  'clusters:write',
  'keys:read',
  'keys:write',
  'audit:read',
] as const;

export type Permission = (typeof permissions)[number] | 'teams:write';

export function expandPermissions(stored: readonly string[]): ReadonlySet<Permission> {
  return new Set(
    (stored.includes('*') ? [...permissions, ...stored.filter((p) => p !== '*')] : stored) as Permission[],
  );
}

/**
 * The first line of every management operation: an API key that holds the permission. Throws `unauthenticated` or
 * `denied`.
 */
export function requirePermission(actor: Actor, permission: Permission): void {
  requireApiKey(actor);
  if (actor.kind !== 'system' && !actor.permissions.has(permission)) {
    throw new Failure('denied', `This API key lacks the permission ${permission}. Use a key that has it.`);
  }
}

/** Tokens and robots have no place in the management APIs, whatever they may pull. Throws `unauthenticated`. */
export function requireApiKey(actor: Actor): void {
  if (actor.kind === 'system' || actor.kind === 'key') return;
  if (actor.kind === 'anonymous') {
    throw new Failure('unauthenticated', 'Sign in with an API key: send it as "Authorization: Bearer <key>".');
  }
  throw new Failure('unauthenticated', 'This is a registry token, not an API key. Use an API key for this API.', {
    isBadToken: true,
  });
}

/** Whether a thing of this project (null: of the whole team) may be changed by the actor. */
export function coversProject(actor: Actor, projectId: string | null): boolean {
  return actor.projectIds === null || (projectId !== null && actor.projectIds.includes(projectId));
}

/** Whether it may be seen: what belongs to the whole team can be read by every key of the team. */
export function seesProject(actor: Actor, projectId: string | null): boolean {
  return projectId === null || coversProject(actor, projectId);
}

export type RegistryAction = 'pull' | 'push' | 'delete';

/** What decides who may do what in a registry. */
export type RegistryRights = { id: string; teamId: string; projectId: string | null; isPublic: boolean };

/** Whether the actor's secret allows the action on the registry, whatever access token it came with. */
export function holdsRight(actor: Actor, registry: RegistryRights, action: RegistryAction): boolean {
  if (registry.isPublic && action === 'pull') return true;
  if (actor.teamId !== registry.teamId || !actor.permissions.has(`images:${action}`)) return false;
  if (actor.registryIds !== null && !actor.registryIds.includes(registry.id)) return false;
  return coversProject(actor, registry.projectId) || (action === 'pull' && registry.projectId === null);
}

/** Whether the actor holds the action on every registry of its team, so that a missing one may be told from a hidden one. */
export function holdsRightEverywhere(actor: Actor, action: RegistryAction): boolean {
  return actor.registryIds === null && actor.projectIds === null && actor.permissions.has(`images:${action}`);
}
