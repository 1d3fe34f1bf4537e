import { type Selectable, sql } from 'kysely';
import { parsePermissions, requireCoversProjects, requireGrantable, seesProjects } from './actor-grants.ts';
import { type Actor, forgetActors, insertActor, lockActor, updateActor } from './actors.ts';
import { recordAudit } from './audit.ts';
import { type Expiry, toExpiryColumns } from './expiry.ts';
import { Failure } from './failure.ts';
import { hashSecret, newId, newSecret } from './ids.ts';
import { requireNotLastKeyMaker } from './key-makers.ts';
import { isUuid } from './names.ts';
import { type Page, type PageInput, readPage, type Sort, type SortColumn, toSearchPattern } from './page.ts';
import { requirePermission } from './permissions.ts';
import type { Platform } from './platform.ts';
import { requireProjects } from './projects.ts';
import type { ActorRow } from './schema.ts';
import { parseDisplayName } from './slugs.ts';
import { transact } from './transact.ts';

export type ApiKey = {
  id: string;
  teamId: string;
  name: string;
  /** As given: `*` stays `*`. */
  permissions: readonly string[];
  /** null: the whole team. */
  projectIds: readonly string[] | null;
  status: 'active' | 'expired';
  createdAt: number;
  expiresAt: number | null;
  lastUsedAt: number | null;
};

export type ApiKeyInput = {
  name: string;
  permissions: readonly string[];
  /** Ids or slugs; without them what the maker has: the whole team, or the projects it is bound to. */
  projectIds?: readonly string[] | null | undefined;
  expiry?: Expiry | null | undefined;
};

/**
 * The secret is answered here and never again. Throws `denied` for permissions or projects that the maker does not hold,
 * `invalid` for unknown ones.
 */
export async function createApiKey(
  platform: Platform,
  actor: Actor,
  input: ApiKeyInput,
): Promise<{ key: ApiKey; secret: string }> {
  requirePermission(actor, 'keys:write');
  const permissions = parsePermissions(input.permissions);
  requireGrantable(actor, permissions);
  const secret = newSecret('key');
  return transact(platform, async (platform) => {
    const refs = input.projectIds ?? actor.projectIds;
    const projectIds = refs && (await requireProjects(platform, actor, refs));
    if (projectIds?.length === 0) throw noProjects();
    const key = await insertApiKey(platform, {
      teamId: actor.teamId,
      name: input.name,
      permissions,
      projectIds,
      secret,
      expiry: input.expiry ?? null,
    });
    const detail = { permissions, projectIds, expiresAt: key.expiresAt };
    await recordAudit(platform, actor, { action: 'key.create', target: toTarget(key), detail });
    return { key, secret };
  });
}

type NewKey = Pick<ApiKey, 'teamId' | 'name' | 'permissions' | 'projectIds'> & {
  secret: string;
  expiry: Expiry | null;
};

/** Without authorisation or audit: for `createApiKey`, new teams and the first start. */
export async function insertApiKey(platform: Platform, key: NewKey): Promise<ApiKey> {
  const now = platform.now();
  const row = {
    id: newId(),
    kind: 'key' as const,
    team_id: key.teamId,
    name: parseDisplayName(key.name, 'key'),
    secret_hash: hashSecret(key.secret),
    generation: 1,
    permissions: JSON.stringify(key.permissions),
    project_ids: key.projectIds && JSON.stringify(key.projectIds),
    registry_ids: null,
    ...toExpiryColumns(key.expiry, now, 'key'),
    revoked_at: null,
    last_used_at: null,
    created_at: now,
  };
  await insertActor(platform, row);
  return toApiKey(row, now);
}

const noProjects = () =>
  new Failure('invalid', 'projectIds names no project. Leave it out for a key of the whole team.', {
    about: 'key',
    fields: { '/projectIds': 'names no project' },
  });

/** Live and expired keys, oldest first; revoked ones are gone. A key bound to projects sees theirs and the team's. */
export async function listApiKeys(
  platform: Platform,
  actor: Actor,
  input: PageInput & { search?: string | undefined; sort?: Sort<'name' | 'createdAt'> | undefined },
): Promise<Page<ApiKey>> {
  requirePermission(actor, 'keys:read');
  const { db, now } = platform;
  let query = db
    .selectFrom('actors')
    .selectAll()
    .where('team_id', '=', actor.teamId)
    .where('kind', '=', 'key')
    .where('revoked_at', 'is', null)
    .where(boundToSeenProjects(actor));
  if (input.search) query = query.where(sql<boolean>`lower(name) like ${toSearchPattern(input.search)} escape '\\'`);
  const { by, descending } = input.sort ?? { by: 'createdAt', descending: false };
  const columns = by === 'name' ? [byName, byId] : [byId];
  const at = now();
  return readPage(query, { columns, descending }, input, (row) => toApiKey(row, at));
}

type Row = Selectable<ActorRow>;
const byId: SortColumn<Row> = { sql: sql.ref('id'), type: 'text', of: (row) => row.id };
const byName: SortColumn<Row> = { sql: sql.ref('name'), type: 'text', of: (row) => row.name };

/** `seesProjects` for the database. The lists are JSON of ids we made, so a quoted id is in one or it is not. */
export function boundToSeenProjects({ projectIds }: Actor) {
  if (projectIds === null) return sql<boolean>`1 = 1`;
  const seen = projectIds.map((id) => sql`project_ids like ${`%${JSON.stringify(id)}%`}`);
  return sql<boolean>`(${sql.join([sql`project_ids is null`, ...seen], sql` or `)})`;
}

/** Throws `not_found`, for another team's and for revoked ones in the same words. */
export async function getApiKey(platform: Platform, actor: Actor, id: string): Promise<ApiKey> {
  requirePermission(actor, 'keys:read');
  const row = isUuid(id)
    ? await platform.db
        .selectFrom('actors')
        .selectAll()
        .where('id', '=', id)
        .where('team_id', '=', actor.teamId)
        .where('kind', '=', 'key')
        .where('revoked_at', 'is', null)
        .executeTakeFirst()
    : undefined;
  const key = row && toApiKey(row, platform.now());
  if (key && seesProjects(actor, key.projectIds)) return key;
  throw keyUnknown(id);
}

const keyUnknown = (id: string) =>
  new Failure('not_found', `There is no API key ${JSON.stringify(id.slice(0, 80))}.`, { about: 'key' });

/**
 * From the next request on the key opens nothing, nor do access tokens made with it. Throws `not_found`, `denied`, and
 * `conflict` for the last one that can make keys.
 */
export async function revokeApiKey(
  platform: Platform,
  actor: Actor,
  input: { key: string; expect?: ((current: ApiKey) => void) | undefined },
): Promise<void> {
  requirePermission(actor, 'keys:write');
  await transact(platform, async (platform) => {
    const now = platform.now();
    const row = isUuid(input.key) ? await lockActor(platform, 'key', input.key, actor.teamId) : undefined;
    const key = row && toApiKey(row, now);
    if (!key || row.revoked_at !== null || !seesProjects(actor, key.projectIds)) throw keyUnknown(input.key);
    requireCoversProjects(actor, key.projectIds, 'this key');
    input.expect?.(key);
    if (key.status === 'active') await requireNotLastKeyMaker(platform, row);
    await updateActor(platform, key.id, key.teamId, { revoked_at: now });
    await recordAudit(platform, actor, { action: 'key.revoke', target: toTarget(key) });
  });
  forgetActors(platform);
}

const toTarget = ({ id, name }: ApiKey) => ({ kind: 'key', id, name });

function toApiKey(row: Row, now: number): ApiKey {
  return {
    id: row.id,
    teamId: row.team_id,
    name: row.name,
    permissions: JSON.parse(row.permissions),
    projectIds: row.project_ids === null ? null : JSON.parse(row.project_ids),
    status: row.expires_at !== null && row.expires_at <= now ? 'expired' : 'active',
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    lastUsedAt: row.last_used_at,
  };
}
