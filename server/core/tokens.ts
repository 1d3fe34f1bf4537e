import { sql } from 'kysely';
import { requireGrantable, seesProjects } from './actor-grants.ts';
import { type Actor, insertActor } from './actors.ts';
import { boundToSeenProjects } from './api-keys.ts';
import { recordAudit } from './audit.ts';
import { type Expiry, toExpiryColumns } from './expiry.ts';
import { hashSecret, newId, newSecret } from './ids.ts';
import { isUuid } from './names.ts';
import { type Page, type PageInput, readPage, type Sort, type SortColumn, toSearchPattern } from './page.ts';
import { requirePermission } from './permissions.ts';
import type { Platform } from './platform.ts';
import {
  parseTokenName,
  permissionsOfMode,
  type Token,
  type TokenMode,
  type TokenRow,
  toDetail,
  tokenUnknown,
  toScopeColumns,
  toTarget,
  toToken,
} from './token-rows.ts';
import { resolveTokenScope } from './token-scope.ts';
import { transact } from './transact.ts';

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

const never = Number.MAX_SAFE_INTEGER;
const byId: SortColumn<TokenRow> = { sql: sql.ref('id'), type: 'text', of: (row) => row.id };
/** What never ends sorts last, what was never used first. */
const orders: Record<TokenOrder['by'], readonly SortColumn<TokenRow>[]> = {
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
