import type { Insertable, Selectable, Updateable } from 'kysely';
import { Failure } from './failure.ts';
import { hashSecret } from './ids.ts';
import {
  expandPermissions,
  holdsRight,
  type Permission,
  type RegistryAction,
  type RegistryRights,
} from './permissions.ts';
import type { Platform } from './platform.ts';
import type { ActorRow } from './schema.ts';

/** What an access token of `/token` narrows its actor to: a repository's full name and what may be done there. */
export type Access = { type: string; name: string; actions: readonly string[] };

/** Who asks, and from where. API keys, tokens and robots differ in what they hold, not in form. */
export type Actor = {
  kind: 'key' | 'token' | 'robot' | 'pull' | 'anonymous' | 'system';
  /** Empty for anonymous and system. */
  id: string;
  name: string;
  teamId: string;
  /** Raised when the secret is regenerated: what the old secret began is not its successor's. */
  generation: number;
  permissions: ReadonlySet<Permission>;
  /** null: the whole team. */
  projectIds: readonly string[] | null;
  /** null: all registries of the team. */
  registryIds: readonly string[] | null;
  expiresAt: number | null;
  /** null: not narrowed by an access token. */
  access: readonly Access[] | null;
  /** In whose name leases are taken: one push by one client, as far as that can be known. */
  holder: string;
  /** The peer's address, for the audit log. */
  address: string;
};

export const anonymous: Actor = {
  kind: 'anonymous',
  id: '',
  name: 'anonymous',
  teamId: '',
  generation: 0,
  permissions: new Set(),
  projectIds: null,
  registryIds: null,
  expiresAt: null,
  access: null,
  holder: 'anonymous',
  address: '',
};

/** The platform itself, in background work for a team. */
export function systemActor(teamId: string): Actor {
  return { ...anonymous, kind: 'system', name: 'lading', teamId, holder: 'system' };
}

/** How long a change made on another replica may go unseen here. */
const cacheMs = 1000;
const cacheEntriesMax = 10_000;
const lastUsedEveryMs = 60_000;

/**
 * The live actor with this secret. Expired and revoked ones are not found, so that callers cannot tell them apart;
 * `orExpired` as in `findActorById`.
 */
export async function findActorBySecret(
  platform: Platform,
  secret: string,
  { orExpired = false } = {},
): Promise<Actor | undefined> {
  const hash = hashSecret(secret);
  const actor = await cached(platform, `secret:${hash}`, () => loadActor(platform, 'secret_hash', hash));
  return actor && (orExpired || isLive(actor, platform.now())) ? actor : undefined;
}

/**
 * The actor behind an access token, if neither revoked nor regenerated since. `orExpired` also finds one whose secret has
 * expired: it may still finish the upload it began (see `uploads.ts`).
 */
export async function findActorById(
  platform: Platform,
  id: string,
  generation: number,
  { orExpired = false } = {},
): Promise<Actor | undefined> {
  const actor = await cached(platform, `id:${id}`, () => loadActor(platform, 'id', id));
  if (!actor || actor.generation !== generation) return undefined;
  return orExpired || isLive(actor, platform.now()) ? actor : undefined;
}

const isLive = (actor: Actor, now: number) => actor.expiresAt === null || actor.expiresAt > now;

async function loadActor(platform: Platform, column: 'id' | 'secret_hash', value: string): Promise<Actor | undefined> {
  const row = await platform.db
    .selectFrom('actors')
    .selectAll()
    .where(column, '=', value)
    .where('revoked_at', 'is', null)
    .executeTakeFirst();
  if (!row) return undefined;
  if (row.expires_at === null || row.expires_at > platform.now()) await touchLastUsed(platform, row);
  return toActor(row);
}

/** The row itself, revoked or not, to say whom a refusal concerns. */
export function findActorRow(
  { db }: Platform,
  column: 'id' | 'secret_hash',
  value: string,
): Promise<Selectable<ActorRow> | undefined> {
  return db.selectFrom('actors').selectAll().where(column, '=', value).executeTakeFirst();
}

function toActor(row: Selectable<ActorRow>): Actor {
  return {
    kind: row.kind,
    id: row.id,
    name: row.name,
    teamId: row.team_id,
    generation: row.generation,
    permissions: expandPermissions(JSON.parse(row.permissions)),
    projectIds: row.project_ids === null ? null : JSON.parse(row.project_ids),
    registryIds: row.registry_ids === null ? null : JSON.parse(row.registry_ids),
    expiresAt: row.expires_at,
    access: null,
    holder: row.id,
    address: '',
  };
}

/** At most one write a minute and secret: a hot row would cost every pull a transaction. */
async function touchLastUsed({ db, now, log }: Platform, row: Selectable<ActorRow>): Promise<void> {
  const dueBefore = now() - lastUsedEveryMs;
  if (row.last_used_at !== null && row.last_used_at > dueBefore) return;
  try {
    await db
      .updateTable('actors')
      .set({ last_used_at: now() })
      .where('id', '=', row.id)
      // Of many that read the row at once, on this replica or another, one writes.
      .where((eb) => eb.or([eb('last_used_at', 'is', null), eb('last_used_at', '<=', dueBefore)]))
      .execute();
  } catch (error) {
    // A full disk must not keep anyone from pulling: to sign in, nothing has to be written.
    log.warn({ actor: row.id, err: error }, 'could not note when a secret was last used');
  }
}

async function cached(platform: Platform, key: string, load: () => Promise<Actor | undefined>) {
  const cache = platform.local.actors;
  const entry = cache.entries.get(key);
  const left = entry ? entry.until - platform.now() : 0;
  // More than it began with: the clock was set back, and a second would last as long as it was wrong.
  if (entry && left > 0 && left <= cacheMs) return entry.actor;
  const epoch = cache.epoch;
  const until = platform.now() + cacheMs;
  const actor = await load();
  // A revocation that came meanwhile wins: what was read may be from before it.
  if (epoch === cache.epoch) {
    if (cache.entries.size >= cacheEntriesMax) cache.entries.clear();
    cache.entries.set(key, { actor, until });
  }
  return actor;
}

/** After each committed change to an actor, before the answer is sent. */
export function forgetActors({ local }: Platform): void {
  local.actors.epoch++;
  local.actors.entries.clear();
}

/** Read inside the transaction that it decides: after its lock, a revocation that was answered is seen. */
export async function isRevoked({ db }: Platform, principal: string, generation: number): Promise<boolean> {
  const row = await db
    .selectFrom('actors')
    .select('id')
    .where('id', '=', principal)
    .where('generation', '=', generation)
    .where('revoked_at', 'is', null)
    .executeTakeFirst();
  return row === undefined;
}

export async function insertActor({ db }: Platform, row: Insertable<ActorRow>): Promise<void> {
  await db.insertInto('actors').values(row).execute();
}

/** For what took a while, in the transaction that ends it. */
export async function requireNotRevoked(platform: Platform, actor: Actor): Promise<void> {
  if (actor.kind !== 'system' && (await isRevoked(platform, actor.id, actor.generation))) throw revoked();
}

/**
 * For transactions that make content visible: what a secret was still sending when it was revoked, or may no longer send
 * there, is refused in the one that would have committed it. Throws `unauthenticated`, `denied`.
 */
export async function requireStillMay(
  platform: Platform,
  actor: Actor,
  registry: RegistryRights,
  action: RegistryAction,
): Promise<void> {
  if (actor.kind === 'system') return;
  const row = await platform.db
    .selectFrom('actors')
    .selectAll()
    .where('id', '=', actor.id)
    .where('generation', '=', actor.generation)
    .where('revoked_at', 'is', null)
    .executeTakeFirst();
  if (!row) throw revoked();
  if (holdsRight(toActor(row), registry, action)) return;
  throw new Failure('denied', `You may no longer ${action} there: this token or key was restricted meanwhile.`, {
    about: 'repository',
  });
}

function revoked(): Failure {
  return new Failure('unauthenticated', 'The token or key of this request was revoked meanwhile.', {
    isBadToken: true,
  });
}

/** Changes live actors of a team; answers the changed rows. Call `forgetActors` after the commit. */
export async function updateActor(
  { db }: Platform,
  id: string,
  teamId: string,
  change: Updateable<ActorRow>,
): Promise<Selectable<ActorRow> | undefined> {
  return db
    .updateTable('actors')
    .set(change)
    .where('id', '=', id)
    .where('team_id', '=', teamId)
    .returningAll()
    .executeTakeFirst();
}

/** The actor's row, locked for the rest of the transaction: what is decided on it stays true. */
export async function lockActor(
  { db }: Platform,
  kind: ActorRow['kind'],
  id: string,
  teamId: string,
): Promise<Selectable<ActorRow> | undefined> {
  return db
    .updateTable('actors')
    .set((eb) => ({ name: eb.ref('name') }))
    .where('id', '=', id)
    .where('kind', '=', kind)
    .where('team_id', '=', teamId)
    .returningAll()
    .executeTakeFirst();
}

export async function deleteActor({ db }: Platform, id: string, teamId: string): Promise<void> {
  await db.deleteFrom('actors').where('id', '=', id).where('team_id', '=', teamId).execute();
}

/** A project ends: whoever is bound to it alone is revoked, others lose it from their list. */
export async function unbindProject({ db, now }: Platform, project: { id: string; teamId: string }): Promise<void> {
  const rows = await db
    .selectFrom('actors')
    .select(['id', 'project_ids'])
    .where('team_id', '=', project.teamId)
    .where('project_ids', 'like', `%${JSON.stringify(project.id)}%`)
    .orderBy('id')
    .execute();
  for (const { id, project_ids } of rows) {
    const left = (JSON.parse(project_ids ?? '[]') as string[]).filter((projectId) => projectId !== project.id);
    await db
      .updateTable('actors')
      .set({ project_ids: JSON.stringify(left) })
      .$if(left.length === 0, (q) => q.set((eb) => ({ revoked_at: eb.fn.coalesce('revoked_at', eb.lit(now())) })))
      .where('id', '=', id)
      .execute();
  }
}
