import { requireCoversProjects, requireGrantable, seesProjects } from './actor-grants.ts';
import { type Actor, deleteActor, forgetActors, lockActor, updateActor } from './actors.ts';
import { recordAudit } from './audit.ts';
import { type Expiry, toExpiryColumns } from './expiry.ts';
import { hashSecret, newSecret } from './ids.ts';
import { isUuid } from './names.ts';
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
import { resolveTokenScope, type TokenScope } from './token-scope.ts';
import { transact } from './transact.ts';

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

const ownLifetime = (row: TokenRow): Expiry | null =>
  row.lifetime_ms === null ? null : { lifetimeMs: row.lifetime_ms };

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

type Decide = (platform: Platform, current: Token, row: TokenRow) => Promise<Partial<TokenRow>>;

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
