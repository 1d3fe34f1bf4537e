import { type Selectable, sql } from 'kysely';
import type { Actor } from './actors.ts';
import { Failure } from './failure.ts';
import { isUuid } from './names.ts';
import { isStorable } from './page.ts';
import type { Platform } from './platform.ts';
import { orNone } from './projects.ts';
import { type Provider, providers } from './providers.ts';
import type { ConnectionRow } from './schema.ts';
import { sealContext, sealedIn } from './sealed-columns.ts';
import type { ConnectionSecret } from './upstream.ts';

/** An external registry of the team, without what opens it. */
export type Connection = {
  id: string;
  teamId: string;
  name: string;
  slug: string;
  description: string;
  provider: Provider;
  /** As it was given. */
  url: string;
  /** `name[:port]`, made of the URL. */
  host: string;
  namespace: string;
  /** Empty without a secret, and where Docker `auths` of several hosts have their own. */
  username: string;
  hasSecret: boolean;
  hasReplacement: boolean;
  awsRegion: string | null;
  tokenHost: string | null;
  /** Those of its projects that the actor sees; null: the whole team. */
  projectIds: readonly string[] | null;
  status: ConnectionRow['status'];
  testedAt: number | null;
  /** When what is stored ends, as far as a test of it has told. */
  credentialsExpireAt: number | null;
  createdAt: number;
  updatedAt: number;
};

export type Row = Selectable<ConnectionRow>;

export function toConnection(row: Row, projectIds: readonly string[]): Connection {
  return {
    id: row.id,
    teamId: row.team_id,
    name: row.name,
    slug: row.slug,
    description: row.description,
    provider: toProvider(row.provider),
    url: row.url,
    host: row.host,
    namespace: row.namespace,
    username: row.username,
    hasSecret: row.sealed_secret !== null,
    hasReplacement: row.sealed_replacement !== null,
    awsRegion: row.aws_region,
    tokenHost: row.token_host,
    projectIds: row.is_restricted === 1 ? projectIds : null,
    status: row.status,
    testedAt: row.tested_at,
    credentialsExpireAt: row.credentials_expire_at,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}

export function toProvider(stored: string): Provider {
  const provider = providers.find((one) => one === stored);
  if (!provider) throw new Error(`A connection has the provider ${stored}, which is none.`);
  return provider;
}

export const toTarget = ({ id, slug }: { id: string; slug: string }) => ({ kind: 'connection', id, name: slug });

export const connectionUnknown = (ref: string): Failure =>
  new Failure('not_found', `There is no connection ${JSON.stringify(ref.slice(0, 80))}.`, { about: 'connection' });

export const changedMeanwhile = (): Failure =>
  new Failure('conflict', 'The connection was changed while it was tested. Test it again.', { about: 'connection' });

/**
 * The team's connections that the actor sees: those of the whole team, and those of its projects. `projectId`: only what
 * that project may use.
 */
export function visibleConnections({ db }: Platform, actor: Actor, projectId?: string | undefined) {
  let query = db.selectFrom('connections').selectAll().where('team_id', '=', actor.teamId);
  if (actor.projectIds !== null) query = query.where(isFor(actor.projectIds));
  if (projectId !== undefined) query = query.where(isFor([projectId]));
  return query;
}

/** The same for lists: of secrets, which may be long, they read only whether there are any. */
export const listedConnections = (platform: Platform, actor: Actor, projectId?: string | undefined) =>
  visibleConnections(platform, actor, projectId)
    .clearSelect()
    .select(unsealed)
    .select([whether('sealed_secret').as('sealed_secret'), whether('sealed_replacement').as('sealed_replacement')]);

const whether = (column: 'sealed_secret' | 'sealed_replacement') =>
  sql<string | null>`case when ${sql.ref(column)} is null then null else '' end`;

const unsealed = [
  ...(['id', 'team_id', 'name', 'folded_name', 'slug', 'description', 'provider', 'url', 'host', 'namespace'] as const),
  ...(['username', 'replacement_username', 'aws_region', 'token_host', 'is_restricted', 'version'] as const),
  ...(['status', 'tested_at', 'credentials_expire_at', 'test_due_at', 'worker', 'claimed_until'] as const),
  ...(['created_at', 'updated_at'] as const),
] as const;

const isFor = (projectIds: readonly string[]) =>
  sql<boolean>`(is_restricted = 0 or exists (select 1 from connection_projects p
    where p.connection_id = connections.id and p.project_id in (${sql.join([...orNone(projectIds)])})))`;

/** By id or slug, for core functions that have authorised already. Throws `not_found`, for another team's alike. */
export async function findConnectionRow(
  platform: Platform,
  actor: Actor,
  ref: string,
  projectId?: string | undefined,
): Promise<Row> {
  const row = await visibleConnections(platform, actor, projectId)
    .where(isUuid(ref) ? 'id' : 'slug', '=', isStorable(ref) ? ref : '')
    .executeTakeFirst();
  if (row) return row;
  throw connectionUnknown(ref);
}

/** The row, locked for the rest of the transaction. Throws `not_found`. */
export async function lockConnection({ db }: Platform, id: string, ref: string): Promise<Row> {
  const row = await db
    .updateTable('connections')
    .set((eb) => ({ name: eb.ref('name') }))
    .where('id', '=', id)
    .returningAll()
    .executeTakeFirst();
  if (row) return row;
  throw connectionUnknown(ref);
}

/** The projects of each connection, all of them: what an actor does not see is left out by `toSeen`. */
export async function readProjects({ db }: Platform, ids: readonly string[]): Promise<Map<string, string[]>> {
  const rows = await db
    .selectFrom('connection_projects')
    .selectAll()
    .where('connection_id', 'in', orNone(ids))
    .orderBy('project_id')
    .execute();
  const projects = new Map<string, string[]>();
  for (const { connection_id, project_id } of rows) {
    const known = projects.get(connection_id);
    if (known) known.push(project_id);
    else projects.set(connection_id, [project_id]);
  }
  return projects;
}

export function toSeen(actor: Actor, row: Row, projectIds: readonly string[] = []): Connection {
  const { projectIds: bound } = actor;
  return toConnection(row, bound === null ? projectIds : projectIds.filter((id) => bound.includes(id)));
}

/** Bound to its row and to its place in it: neither opens anywhere else. */
export const secretContext = (id: string) => sealContext(sealedIn.connections, id);
export const replacementContext = (id: string) => sealContext(sealedIn.replacements, id);

export const sealSecret = ({ secrets }: Platform, context: string, secret: ConnectionSecret): string =>
  secrets.seal(JSON.stringify(secret), context);

/** Null: there is none. */
export function openSecret({ secrets }: Platform, row: Row): ConnectionSecret | null {
  return row.sealed_secret === null ? null : JSON.parse(secrets.open(row.sealed_secret, secretContext(row.id)));
}

export function openReplacement({ secrets }: Platform, row: Row): ConnectionSecret | null {
  const { id, sealed_replacement } = row;
  return sealed_replacement === null ? null : JSON.parse(secrets.open(sealed_replacement, replacementContext(id)));
}
