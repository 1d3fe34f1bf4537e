// Tokens: secrets for `docker login`, good on the data plane alone. A token is bound to the projects of its registries,
// so that it is seen, changed and ended by those to whom they belong.

import { type Selectable, sql } from 'kysely';
import { requireCoversProjects, requireGrantable, seesProjects } from './actor-grants.ts';
import { type Actor, deleteActor, forgetActors, insertActor, lockActor, updateActor } from './actors.ts';
import { boundToSeenProjects } from './api-keys.ts';
import { recordAudit } from './audit.ts';
import { type Expiry, toExpiryColumns } from './expiry.ts';
import { Failure } from './failure.ts';
import { hashSecret, newId, newSecret } from './ids.ts';
import { isUuid } from './names.ts';
import { type Page, type PageInput, readPage, type Sort, type SortColumn, toSearchPattern } from './page.ts';
import { requirePermission } from './permissions.ts';
import type { Platform } from './platform.ts';
import type { ActorRow } from './schema.ts';
import { parseDisplayName } from './slugs.ts';
import { resolveTokenScope, type TokenScope } from './token-scope.ts';
import { transact } from './transact.ts';

export type TokenMode = 'ro' | 'rw';
export type TokenStatus = 'active' | 'expired' | 'revoked';

export type Token = {
  id: string;
  teamId: string;
  /** May be empty: tokens need no name. */
  name: string;
  mode: TokenMode;
  /** null: all registries, those made later too; of a token bound to projects, all of theirs. */
  registryIds: readonly string[] | null;
  /** null: the whole team. */
  projectIds: readonly string[] | null;
  status: TokenStatus;
  createdAt: number;
  expiresAt: number | null;
  lastUsedAt: number | null;
};

/** What the modes allow on the token's registries. */
export const permissionsOfMode: Readonly<Record<TokenMode, readonly string[]>> = {
  ro: ['images:pull'],
  rw: ['images:pull', 'images:push', 'images:delete'],
};

export type TokenInput = {
  name?: string | undefined;
  mode: TokenMode;
  /** null: all. */
  registryIds: readonly string[] | null;
  expiry?: Expiry | null | undefined;
};

/** The secret is answered here and never again. Throws `denied` for what the maker does not hold, `invalid`. */
export async function createToken(
  platform: Platform,
  actor: Actor,
  input: TokenInput,
): Promise<{ token: Token; secret: string }> {
  requirePermission(actor, 'tokens:write');
  requireGrantable(actor, permissionsOfMode[input.mode]);
  const secret = newSecret('token');
  return transact(platform, async (platform) => {
    const now = platform.now();
    const row = {
      id: newId(),
      kind: 'token' as const,
      team_id: actor.teamId,
      name: parseTokenName(input.name ?? ''),
      secret_hash: hashSecret(secret),
      generation: 1,
      permissions: JSON.stringify(permissionsOfMode[input.mode]),
      ...toScopeColumns(await resolveTokenScope(platform, actor, input.registryIds)),
      ...toExpiryColumns(input.expiry ?? null, now, 'token'),
      revoked_at: null,
      last_used_at: null,
      created_at: now,
    };
    await insertActor(platform, row);
    const token = toToken(row, now);
    await recordAudit(platform, actor, { action: 'token.create', target: toTarget(token), detail: toDetail(token) });
    return { token, secret };
  });
}

const parseTokenName = (name: string) => (name.trim() === '' ? '' : parseDisplayName(name, 'token'));

const toScopeColumns = ({ registryIds, projectIds }: TokenScope) => ({
  registry_ids: registryIds && JSON.stringify(registryIds),
  project_ids: projectIds && JSON.stringify(projectIds),
});

export type TokenFilter = { search?: string | undefined; mode?: TokenMode | undefined };
export type TokenOrder = Sort<'name' | 'createdAt' | 'lastUsedAt' | 'expiresAt'>;

/** All tokens of the team that the actor sees, ended ones too; oldest first unless asked otherwise. */
export async function listTokens(
  platform: Platform,
  actor: Actor,
  input: PageInput & TokenFilter & { sort?: TokenOrder | undefined },
): Promise<Page<Token>> {
  requirePermission(actor, 'tokens:read');
  const { by, descending } = input.sort ?? { by: 'createdAt', descending: false };
  const now = platform.now();
  const query = visibleTokens(platform, actor, input);
  return readPage(query, { columns: orders[by], descending }, input, (row) => toToken(row, now));
}

/** How many `listTokens` would list on all its pages. */
export async function countTokens(platform: Platform, actor: Actor, input: TokenFilter): Promise<number> {
  requirePermission(actor, 'tokens:read');
  const { count } = await platform.db
    .selectFrom(visibleTokens(platform, actor, input).as('visible'))
    .select((eb) => eb.cast<number>(eb.fn.countAll(), 'bigint').as('count'))
    .executeTakeFirstOrThrow();
  return count;
}

type Row = Selectable<ActorRow>;
const never = Number.MAX_SAFE_INTEGER;
const byId: SortColumn<Row> = { sql: sql.ref('id'), type: 'text', of: (row) => row.id };
/** What never ends sorts last, what was never used first. */
const orders: Record<TokenOrder['by'], readonly SortColumn<Row>[]> = {
  name: [{ sql: sql.ref('name'), type: 'text', of: (row) => row.name }, byId],
  createdAt: [byId],
  lastUsedAt: [{ sql: sql`coalesce(last_used_at, 0)`, type: 'number', of: (row) => row.last_used_at ?? 0 }, byId],
  expiresAt: [
    { sql: sql`coalesce(expires_at, ${sql.lit(never)})`, type: 'number', of: (row) => row.expires_at ?? never },
    byId,
  ],
};

function visibleTokens({ db }: Platform, actor: Actor, { search, mode }: TokenFilter) {
  let query = db
    .selectFrom('actors')
    .selectAll()
    .where('team_id', '=', actor.teamId)
    .where('kind', '=', 'token')
    .where(boundToSeenProjects(actor));
  if (search) query = query.where(sql<boolean>`lower(name) like ${toSearchPattern(search)} escape '\\'`);
  if (mode) query = query.where('permissions', '=', JSON.stringify(permissionsOfMode[mode]));
  return query;
}

/** Throws `not_found`, for another team's in the same words. */
export async function getToken(platform: Platform, actor: Actor, id: string): Promise<Token> {
  requirePermission(actor, 'tokens:read');
  const row = isUuid(id) ? await tokensOfTeam(platform, actor).where('id', '=', id).executeTakeFirst() : undefined;
  const token = row && toToken(row, platform.now());
  if (token && seesProjects(actor, token.projectIds)) return token;
  throw tokenUnknown(id);
}

/** The token with this secret, whatever its status, for surfaces that name tokens by their secret. */
export async function findTokenBySecret(platform: Platform, actor: Actor, secret: string): Promise<Token | undefined> {
  requirePermission(actor, 'tokens:read');
  const row = await tokensOfTeam(platform, actor).where('secret_hash', '=', hashSecret(secret)).executeTakeFirst();
  const token = row && toToken(row, platform.now());
  return token && seesProjects(actor, token.projectIds) ? token : undefined;
}

const tokensOfTeam = ({ db }: Platform, actor: Actor) =>
  db.selectFrom('actors').selectAll().where('team_id', '=', actor.teamId).where('kind', '=', 'token');

const tokenUnknown = (id: string) =>
  new Failure('not_found', `There is no token ${JSON.stringify(id.slice(0, 80))}.`, { about: 'token' });

/** Called with the token as it is, locked; throws if the caller expected another one. */
type Expect = { expect?: ((current: Token) => void) | undefined };

export type TokenChange = Expect & {
  token: string;
  name?: string | undefined;
  mode?: TokenMode | undefined;
  registryIds?: readonly string[] | null | undefined;
  expiry?: Expiry | null | undefined;
};

/** Changes what is given. Access tokens made with it have the new rights at once. Throws as `createToken`. */
export async function updateToken(platform: Platform, actor: Actor, input: TokenChange): Promise<Token> {
  return changeToken(platform, actor, 'token.update', input, async (platform, current) => {
    const mode = input.mode ?? current.mode;
    const scope =
      input.registryIds === undefined ? current : await resolveTokenScope(platform, actor, input.registryIds, current);
    if (isWider({ ...scope, mode }, current) || input.expiry !== undefined) {
      requireGrantable(actor, permissionsOfMode[mode]);
    }
    return {
      ...(input.name !== undefined && { name: parseTokenName(input.name) }),
      permissions: JSON.stringify(permissionsOfMode[mode]),
      ...toScopeColumns(scope),
      ...(input.expiry !== undefined && toExpiryColumns(input.expiry, platform.now(), 'token')),
    };
  });
}

type Rights = TokenScope & { mode: TokenMode };

/** What a scope holds is bounded by its list of registries, or else by its list of projects. */
function isWider(next: Rights, current: Rights): boolean {
  if (next.mode === 'rw' && current.mode === 'ro') return true;
  return current.registryIds === null
    ? exceeds(next.projectIds, current.projectIds)
    : exceeds(next.registryIds, current.registryIds);
}

/** null is everything. */
const exceeds = (next: readonly string[] | null, current: readonly string[] | null) =>
  current !== null && (next === null || next.some((id) => !current.includes(id)));

/**
 * A later end for the same secret: `expiry` if given, else its lifetime from now. An expired token lives again, a revoked
 * one stays revoked.
 */
export async function refreshToken(
  platform: Platform,
  actor: Actor,
  input: Expect & { token: string; expiry?: Expiry | null | undefined },
): Promise<Token> {
  return changeToken(platform, actor, 'token.refresh', input, async (platform, current, row) => {
    requireGrantable(actor, permissionsOfMode[current.mode]);
    return toExpiryColumns(input.expiry === undefined ? ownLifetime(row) : input.expiry, platform.now(), 'token');
  });
}

const ownLifetime = (row: Row): Expiry | null => (row.lifetime_ms === null ? null : { lifetimeMs: row.lifetime_ms });

/** A new secret for the same token, which lives again whatever its status was; the old one ends at once. */
export async function regenerateToken(
  platform: Platform,
  actor: Actor,
  input: Expect & { token: string; expiry?: Expiry | null | undefined },
): Promise<{ token: Token; secret: string }> {
  const secret = newSecret('token');
  const token = await changeToken(platform, actor, 'token.regenerate', input, async (platform, current, row) => {
    requireGrantable(actor, permissionsOfMode[current.mode]);
    const isPast = row.expires_at !== null && row.expires_at <= platform.now();
    const expiry = input.expiry === undefined && isPast ? ownLifetime(row) : input.expiry;
    return {
      secret_hash: hashSecret(secret),
      generation: row.generation + 1,
      revoked_at: null,
      last_used_at: null,
      ...(expiry !== undefined && toExpiryColumns(expiry, platform.now(), 'token')),
    };
  });
  return { token, secret };
}

/** Ends the secret; the token stays in the list. Revoking twice is no fault. */
export async function revokeToken(platform: Platform, actor: Actor, input: Expect & { token: string }): Promise<Token> {
  return changeToken(platform, actor, 'token.revoke', input, async (platform, _current, row) => ({
    revoked_at: row.revoked_at ?? platform.now(),
  }));
}

/** Ends the secret and forgets the token. */
export async function deleteToken(platform: Platform, actor: Actor, input: Expect & { token: string }): Promise<void> {
  requirePermission(actor, 'tokens:write');
  await transact(platform, async (platform) => {
    const { token } = await lockToken(platform, actor, input);
    await deleteActor(platform, token.id, token.teamId);
    await recordAudit(platform, actor, { action: 'token.delete', target: toTarget(token) });
  });
  forgetActors(platform);
}

type Decide = (platform: Platform, current: Token, row: Row) => Promise<Partial<Row>>;

/** One change of one token: locked, decided, written and audited together; then no process here remembers the old one. */
async function changeToken(
  platform: Platform,
  actor: Actor,
  action: string,
  input: Expect & { token: string },
  decide: Decide,
): Promise<Token> {
  requirePermission(actor, 'tokens:write');
  const changed = await transact(platform, async (platform) => {
    const { token, row } = await lockToken(platform, actor, input);
    const next = await updateActor(platform, token.id, token.teamId, await decide(platform, token, row));
    const changed = toToken(next ?? row, platform.now());
    await recordAudit(platform, actor, { action, target: toTarget(changed), detail: toDetail(changed) });
    return changed;
  });
  forgetActors(platform);
  return changed;
}

async function lockToken(platform: Platform, actor: Actor, input: Expect & { token: string }) {
  const row = isUuid(input.token) ? await lockActor(platform, 'token', input.token, actor.teamId) : undefined;
  const token = row && toToken(row, platform.now());
  if (!token || !seesProjects(actor, token.projectIds)) throw tokenUnknown(input.token);
  requireCoversProjects(actor, token.projectIds, 'this token');
  input.expect?.(token);
  return { token, row };
}

const toTarget = ({ id, name }: Token) => ({ kind: 'token', id, name });
const toDetail = ({ mode, registryIds, expiresAt }: Token) => ({ mode, registryIds, expiresAt });

function toToken(row: Row, now: number): Token {
  const isExpired = row.expires_at !== null && row.expires_at <= now;
  return {
    id: row.id,
    teamId: row.team_id,
    name: row.name,
    mode: (JSON.parse(row.permissions) as string[]).includes('images:push') ? 'rw' : 'ro',
    registryIds: row.registry_ids === null ? null : JSON.parse(row.registry_ids),
    projectIds: row.project_ids === null ? null : JSON.parse(row.project_ids),
    status: row.revoked_at !== null ? 'revoked' : isExpired ? 'expired' : 'active',
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    lastUsedAt: row.last_used_at,
  };
}
