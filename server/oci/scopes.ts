import type { Access } from '#core/actors.ts';
import { Failure } from '#core/failure.ts';
import type { RepositoryName } from '#core/names.ts';
import type { RegistryAction } from '#core/permissions.ts';

const scopesMax = 64;
const scopeBytesMax = 8192;

/** In the order in which every token and challenge names them. */
const repositoryActions: readonly RegistryAction[] = ['pull', 'push', 'delete'];

/** `repository`, or with a class in brackets: `repository(plugin)` is a repository all the same. */
const resourceType = /^([a-z0-9]+)(?:\([a-z0-9]+\))?$/;

/**
 * What a client asks for, from all its `scope` parameters, each a list separated by spaces: one entry per resource with
 * everything asked of it, since a mount needs its source and its target in one token. What is not a scope is passed
 * over: clients send what they were told elsewhere. Throws `invalid` where it is too much.
 */
export function parseScopes(values: readonly string[]): Access[] {
  const texts = values.flatMap((value) => value.split(' ')).filter((text) => text !== '');
  const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  if (texts.length > scopesMax || bytes > scopeBytesMax) {
    throw new Failure(
      'invalid',
      `Too many scopes: one access token takes at most ${scopesMax}, in ${scopeBytesMax} bytes. Ask for fewer repositories at a time.`,
      { about: 'scope' },
    );
  }
  const merged = new Map<string, Access>();
  for (const text of texts) {
    const scope = parseScope(text);
    if (!scope) continue;
    const key = `${scope.type}:${scope.name}`;
    const actions = [...(merged.get(key)?.actions ?? []), ...scope.actions];
    merged.set(key, { ...scope, actions: inOrder(scope.type, actions) });
  }
  return [...merged.values()];
}

/** The name may begin with `host:port/`, so it lies between the first colon and the last. */
function parseScope(text: string): Access | undefined {
  const first = text.indexOf(':');
  const last = text.lastIndexOf(':');
  if (first < 0 || first === last) return undefined;
  const type = resourceType.exec(text.slice(0, first))?.[1];
  const name = text.slice(first + 1, last);
  if (type === undefined || name === '') return undefined;
  const actions = text.slice(last + 1).split(',');
  return { type, name, actions: type === 'repository' && actions.includes('*') ? repositoryActions : actions };
}

/** Each action once; actions that mean nothing here are dropped. */
function inOrder(type: string, actions: readonly string[]): readonly string[] {
  const known = type === 'repository' ? repositoryActions : ['*'];
  return known.filter((action) => actions.includes(action));
}

export function formatScopes(access: readonly Access[]): string {
  return access.map(({ type, name, actions }) => `${type}:${name}:${actions.join(',')}`).join(' ');
}

/** What a request needs, for its challenge. `name` has been parsed, so it holds nothing that could end a quoted string. */
export function repositoryScope(name: RepositoryName, action: RegistryAction): Access {
  return { type: 'repository', name, actions: action === 'push' ? ['pull', 'push'] : [action] };
}

export const catalogScope: Access = { type: 'registry', name: 'catalog', actions: ['*'] };
