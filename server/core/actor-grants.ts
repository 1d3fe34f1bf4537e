import type { Actor } from './actors.ts';
import { Failure } from './failure.ts';
import { expandPermissions, permissions } from './permissions.ts';

/**
 * Nobody gives what they do not hold: neither in a new key or token, nor by widening one, nor by renewing the secret of
 * one that is wider than their own. Throws `denied`.
 */
export function requireGrantable(actor: Actor, granted: readonly string[]): void {
  if (actor.kind === 'system') return;
  const missing = [...expandPermissions(granted)].filter((permission) => !actor.permissions.has(permission));
  if (missing.length === 0) return;
  throw new Failure(
    'denied',
    `This API key does not hold ${missing.join(', ')} and so cannot give it. Use a key that does.`,
    { fields: { '/permissions': `not held: ${missing.join(', ')}` } },
  );
}

/** Whether the actor may see what is bound to these projects: the whole team's (null) too. */
export function seesProjects(actor: Actor, projectIds: readonly string[] | null): boolean {
  const bound = actor.projectIds;
  return bound === null || projectIds === null || projectIds.some((id) => bound.includes(id));
}

/** Changing takes more: all its projects must be the actor's. Throws `denied`. */
export function requireCoversProjects(actor: Actor, projectIds: readonly string[] | null, what: string): void {
  const bound = actor.projectIds;
  if (bound === null || projectIds?.every((id) => bound.includes(id))) return;
  throw new Failure(
    'denied',
    `This API key is bound to projects, and ${what} reaches beyond them. Use a key of the whole team.`,
  );
}

/** Unknown words are refused and doubles dropped. Throws `invalid`. */
export function parsePermissions(given: readonly string[]): string[] {
  const known = new Set<string>([...permissions, 'teams:write', '*']);
  const unknown = given.filter((permission) => !known.has(permission));
  if (unknown.length === 0 && given.length > 0) return [...new Set(given)];
  const said =
    unknown.length === 0 ? 'A key needs at least one permission' : `${unknown[0]?.slice(0, 80)} is no permission`;
  throw new Failure('invalid', `${said}. There are: ${[...known].join(', ')}.`, {
    about: 'key',
    fields: { '/permissions': said },
  });
}
