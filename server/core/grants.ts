import type { Access, Actor } from './actors.ts';
import { Failure } from './failure.ts';
import { isRepositoryName, splitRepositoryName } from './names.ts';
import { holdsRight, holdsRightEverywhere, type RegistryAction } from './permissions.ts';
import type { Platform, Region } from './platform.ts';
import { allowsByAccess, findRegistry, type RegistryAccess } from './registry-access.ts';

type FindRegistry = (name: string) => Promise<RegistryAccess | undefined>;

/**
 * What an access token for these scopes may say: of each, the actions that the actor holds. Getting less than was asked
 * is no refusal. A token narrowed once is never widened by asking again with it.
 */
export async function grantedAccess(
  platform: Platform,
  actor: Actor,
  region: Region,
  scopes: readonly Access[],
): Promise<Access[]> {
  const found = new Map<string, Promise<RegistryAccess | undefined>>();
  const find: FindRegistry = (name) => found.getOrInsertComputed(name, () => findRegistry(platform, region, name));
  const granted: Access[] = [];
  for (const scope of scopes) {
    const actions = await grantedActions(actor, scope, find);
    if (actions.length > 0) granted.push({ ...scope, actions });
  }
  return granted;
}

async function grantedActions(actor: Actor, { type, name, actions }: Access, find: FindRegistry): Promise<string[]> {
  if (type === 'registry' && name === 'catalog') return actions.includes('*') && mayListCatalog(actor) ? ['*'] : [];
  if (type !== 'repository' || !isRepositoryName(name)) return [];
  const registry = await find(splitRepositoryName(name).registry);
  return (actions as RegistryAction[]).filter(
    (action) => allowsByAccess(actor, name, action) && isGranted(actor, registry, action),
  );
}

/** Whether the actor may list repositories at all: everyone who has signed in, if the access token says so. */
function mayListCatalog(actor: Actor): boolean {
  if (actor.kind === 'anonymous') return false;
  const isCatalog = ({ type, name }: Access) => type === 'registry' && name === 'catalog';
  return actor.access === null || actor.access.some((one) => isCatalog(one) && one.actions.includes('*'));
}

/** Throws `unauthenticated` or `denied`. */
export function requireCatalog(actor: Actor): void {
  if (mayListCatalog(actor)) return;
  if (actor.kind === 'anonymous' && actor.access === null) {
    throw new Failure('unauthenticated', 'Sign in to list repositories.', { about: 'scope' });
  }
  throw new Failure('denied', 'You may not list repositories with this token.', {
    about: 'scope',
    isScopeTooSmall: actor.access !== null,
  });
}

/**
 * A name that is free and one that another team has get the same token, so that asking for tokens finds no registry:
 * who may do it everywhere comes as far as the sentence that says how to make the registry, all others to a refusal.
 */
function isGranted(actor: Actor, registry: RegistryAccess | undefined, action: RegistryAction): boolean {
  if (registry && holdsRight(actor, registry, action)) return true;
  const isHidden = !registry || registry.teamId !== actor.teamId;
  return isHidden && holdsRightEverywhere(actor, action);
}
