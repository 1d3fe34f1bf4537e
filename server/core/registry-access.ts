import { type Kysely, sql } from 'kysely';
import type { Actor } from './actors.ts';
import { Failure } from './failure.ts';
import { newId } from './ids.ts';
import { lockIfThere, lockRepository } from './links.ts';
import { isUuid, type RepositoryName, splitRepositoryName } from './names.ts';
import { holdsRight, holdsRightEverywhere, type RegistryAction } from './permissions.ts';
import type { Platform, Region } from './platform.ts';
import { prepare } from './prepared.ts';
import type { Schema } from './schema.ts';
import { transact } from './transact.ts';

/** What must be known of a registry to decide who may do what in it. */
export type RegistryAccess = {
  id: string;
  name: string;
  teamId: string;
  projectId: string | null;
  isPublic: boolean;
};

/** A repository that an actor may use for some action. `id` is undefined until the first push makes it. */
export type RepositoryAccess = {
  id: string | undefined;
  /** Without the registry's name. */
  path: string;
  /** As clients write it. */
  name: RepositoryName;
  registry: RegistryAccess;
};

export type LiveRepository = RepositoryAccess & { id: string };

export type RepositoryQuery = { region: Region; name: RepositoryName; action: RegistryAction };

/** The registry that a push path's first component means: its name in the region, else a project's id. */
export async function findRegistry(
  { db }: Platform,
  region: Region,
  name: string,
): Promise<RegistryAccess | undefined> {
  const query = db
    .selectFrom('registries')
    .select(['id', 'name', 'team_id', 'project_id', 'is_public'])
    .where('region_id', '=', region.id)
    .where('state', '=', 'active');
  const row = await (isUuid(name)
    ? query.where('project_id', '=', name).where('is_managed', '=', 1)
    : query.where('name', '=', name)
  ).executeTakeFirst();
  return row && toRegistryAccess(row);
}

export function toRegistryAccess(row: {
  id: string;
  name: string;
  team_id: string;
  project_id: string | null;
  is_public: number;
}): RegistryAccess {
  return {
    id: row.id,
    name: row.name,
    teamId: row.team_id,
    projectId: row.project_id,
    isPublic: row.is_public === 1,
  };
}

/**
 * Finds the repository and decides whether the actor may do the action there. Throws `unauthenticated`, `denied`, or
 * `not_found` about the registry: for those who hold the action on all their registries, and in the same words whether
 * the name is free or another team's.
 */
export async function openRepository(
  platform: Platform,
  actor: Actor,
  { region, name, action }: RepositoryQuery,
): Promise<RepositoryAccess> {
  const split = splitRepositoryName(name);
  const input = { region: region.id, ...split };
  const row = await (isUuid(split.registry) ? findByProject : findByName)(platform.db, input);
  const registry = row && toRegistryAccess(row);
  requireAction(actor, registry, name, action);
  if (split.repository === '') throw missingRepositoryPart(name);
  return { id: row?.repository_id ?? undefined, path: split.repository, name, registry };
}

const findByName = prepareFinder('name');
const findByProject = prepareFinder('project');

function prepareFinder(registryBy: RegistryBy) {
  return prepare(['region', 'registry', 'repository'], (db, input: NameInput) => selectByName(db, registryBy, input));
}

/** A project's id stands for its managed registry. */
export type RegistryBy = 'name' | 'project';
export type NameInput = { region: string; registry: string; repository: string };

/** The registry that a push path names, with the repository if there is one: how the query of every pull begins. */
export function selectByName(db: Kysely<Schema>, registryBy: RegistryBy, input: NameInput) {
  return db
    .selectFrom('registries as g')
    .leftJoin('repositories as r', (join) =>
      join.onRef('r.registry_id', '=', 'g.id').on('r.name', '=', input.repository).on('r.state', '=', 'live'),
    )
    .select(['g.id', 'g.name', 'g.team_id', 'g.project_id', 'g.is_public', 'r.id as repository_id'])
    .where('g.region_id', '=', input.region)
    .where('g.state', '=', 'active')
    .$if(registryBy === 'name', (q) => q.where('g.name', '=', input.registry))
    .$if(registryBy === 'project', (q) => q.where('g.project_id', '=', input.registry).where('g.is_managed', '=', 1));
}

export function missingRepositoryPart(name: string): Failure {
  return new Failure(
    'invalid',
    `"${name}" names a registry, not a repository in it. Use ${name}/<repository>, for example ${name}/app.`,
    { about: 'name' },
  );
}

export function requireAction(
  actor: Actor,
  registry: RegistryAccess | undefined,
  name: string,
  action: RegistryAction,
): asserts registry is RegistryAccess {
  const isInAccess = allowsByAccess(actor, name, action);
  if (registry && isInAccess && holdsRight(actor, registry, action)) return;
  const isHidden = !registry || registry.teamId !== actor.teamId;
  if (isHidden && isInAccess && holdsRightEverywhere(actor, action)) throw registryUnknown(name);
  if (actor.kind === 'anonymous' && actor.access === null) {
    throw new Failure('unauthenticated', `Sign in to ${action} ${name}.`, { about: 'repository' });
  }
  throw new Failure('denied', `You may not ${action} ${name} with this token or key.`, {
    about: 'repository',
    isScopeTooSmall: actor.access !== null && !isInAccess,
  });
}

/** Whether the actor may do it, as a yes or no: for mounts, where a no must not show. */
export function mayDo(actor: Actor, registry: RegistryAccess, name: string, action: RegistryAction): boolean {
  return allowsByAccess(actor, name, action) && holdsRight(actor, registry, action);
}

/** Whether the access token, if it came with one, contains the action. */
export function allowsByAccess(actor: Actor, name: string, action: RegistryAction): boolean {
  if (actor.access === null) return true;
  return actor.access.some((a) => a.type === 'repository' && a.name === name && a.actions.includes(action));
}

function registryUnknown(name: string): Failure {
  const registry = name.split('/')[0] ?? name;
  return new Failure(
    'not_found',
    `There is no registry "${registry}". Make it first: POST /lading/v1/registries with {"name":"${registry}"}, then push again.`,
    { about: 'registry' },
  );
}

/** The repository, made if it was not there. */
export async function ensureRepository(platform: Platform, access: RepositoryAccess): Promise<LiveRepository> {
  const id = access.id ?? (await findMade(platform, access)) ?? (await makeRepository(platform, access));
  return { ...access, id };
}

/** What someone else has made since the actor looked. */
async function findMade({ db }: Platform, { registry, path, name }: RepositoryAccess): Promise<string | undefined> {
  const row = await db
    .selectFrom('repositories')
    .select(['id', 'state'])
    .where('registry_id', '=', registry.id)
    .where('name', '=', path)
    .executeTakeFirst();
  if (row === undefined || row.state === 'live') return row?.id;
  throw new Failure('unavailable', `${name} is being deleted. Push again when that has ended.`, {
    about: 'repository',
    retryAfterSeconds: 5,
  });
}

/**
 * Its registry's row is touched first: nothing is made in a deleting one, and nobody makes the same at the same time. So
 * the insert meets no row whose lock another push holds while it waits for the registry's.
 */
async function makeRepository(platform: Platform, access: RepositoryAccess): Promise<string> {
  return transact(platform, async (platform) => {
    const { db, now } = platform;
    const registry = await db
      .updateTable('registries')
      .set({ size: sql`size` })
      .where('id', '=', access.registry.id)
      .where('state', '=', 'active')
      .returning('id')
      .executeTakeFirst();
    if (!registry) throw registryUnknown(access.name);
    const made = await findMade(platform, access);
    if (made !== undefined) return made;
    const id = newId();
    await db
      .insertInto('repositories')
      .values({
        id,
        registry_id: registry.id,
        name: access.path,
        state: 'live',
        revision: 0,
        size: 0,
        created_at: now(),
        updated_at: now(),
      })
      .execute();
    return id;
  });
}

/**
 * `lockRepository` for a push: a collection or a deletion may have ended the repository since `ensureRepository` found it,
 * and what comes now makes it again.
 */
export async function lockForPush(
  platform: Platform,
  found: LiveRepository,
): Promise<LiveRepository & { isListed: boolean }> {
  const locked = await lockIfThere(platform, found.id);
  if (locked) return { ...found, ...locked };
  const made = await ensureRepository(platform, { ...found, id: undefined });
  return { ...made, ...(await lockRepository(platform, made.id)) };
}

/** For what needs an existing repository. Throws `not_found` about it. */
export function requireRepository(access: RepositoryAccess): asserts access is LiveRepository {
  if (access.id === undefined) {
    throw new Failure('not_found', `There is no repository ${access.name}.`, { about: 'repository' });
  }
}
