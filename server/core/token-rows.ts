// Tokens as rows. A token is bound to the projects of its registries, so that it is seen, changed and ended by those to
// whom they belong.

import type { Selectable } from 'kysely';
import { Failure } from './failure.ts';
import type { ActorRow } from './schema.ts';
import { parseDisplayName } from './slugs.ts';
import type { TokenScope } from './token-scope.ts';

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

export const parseTokenName = (name: string) => (name.trim() === '' ? '' : parseDisplayName(name, 'token'));

export const toScopeColumns = ({ registryIds, projectIds }: TokenScope) => ({
  registry_ids: registryIds && JSON.stringify(registryIds),
  project_ids: projectIds && JSON.stringify(projectIds),
});

export const tokenUnknown = (id: string) =>
  new Failure('not_found', `There is no token ${JSON.stringify(id.slice(0, 80))}.`, { about: 'token' });

export const toTarget = ({ id, name }: Token) => ({ kind: 'token', id, name });
export const toDetail = ({ mode, registryIds, expiresAt }: Token) => ({ mode, registryIds, expiresAt });

export type TokenRow = Selectable<ActorRow>;

export function toToken(row: TokenRow, now: number): Token {
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
