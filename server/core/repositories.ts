// Repositories as people see them. `registry-access.ts` makes them at the first push, `repository-deletion.ts` ends them.

import { type Selectable, type SelectQueryBuilder, type SqlBool, sql } from 'kysely';
import type { Actor } from './actors.ts';
import { Failure } from './failure.ts';
import type { RepositoryName } from './names.ts';
import { type Page, type PageInput, readPage, type Sort, type SortColumn, toSearchPattern } from './page.ts';
import { type Permission, requirePermission } from './permissions.ts';
import type { Platform } from './platform.ts';
import { requireCovered } from './projects.ts';
import { findOwnRegistry, getRegistry } from './registries.ts';
import type { LiveRepository } from './registry-access.ts';
import { beingDeleted } from './registry-rows.ts';
import type { RepositoryRow, Schema } from './schema.ts';

export type Repository = {
  id: string;
  registryId: string;
  /** Without the registry's name. */
  name: string;
  /** What its newest tagged manifest is. */
  type: 'image' | 'helm-chart';
  /** Its blobs and manifests; what it shares with other repositories counts in each. */
  sizeBytes: number;
  /** Attachments of images (signatures, SBOMs) are not counted. */
  imageCount: number;
  tagCount: number;
  createdAt: number;
  /** The last push, tag move or deletion. */
  updatedAt: number;
};

/** The registry by id or name, the repository by its name in there. */
export type RepositoryAddress = { registry: string; repository: string };

export type RepositoryFilter = { search?: string | undefined };
export type RepositoryQuery = PageInput & RepositoryFilter & { sort?: Sort<RepositoryOrder> | undefined };
type RepositoryOrder = 'name' | 'updatedAt' | 'size';

/** By name unless asked otherwise. A repository is listed from its first manifest on. Throws `not_found`. */
export async function listRepositories(
  platform: Platform,
  actor: Actor,
  registry: string,
  query: RepositoryQuery,
): Promise<Page<Repository>> {
  const { id } = await getRegistry(platform, actor, registry);
  const { items, nextCursor } = await readKeys(platform, id, query);
  return { items: await readRepositories(platform, items), nextCursor };
}

/** The names alone, for clients that show no more. */
export async function listRepositoryNames(
  platform: Platform,
  actor: Actor,
  registry: string,
  { search, sort, ...page }: PageInput & RepositoryFilter & { sort?: Sort<'name'> | undefined },
): Promise<Page<string>> {
  const { id } = await getRegistry(platform, actor, registry);
  const order = { columns: [nameColumn], descending: sort?.descending ?? false };
  return readPage(listed(platform, id, search).select('name'), order, page, (row) => row.name);
}

/** How many `listRepositories` would list on all its pages. */
export async function countRepositories(
  platform: Platform,
  actor: Actor,
  registry: string,
  { search }: RepositoryFilter,
): Promise<number> {
  const { id, repositoryCount } = await getRegistry(platform, actor, registry);
  if (!search) return repositoryCount;
  const { count } = await listed(platform, id, search)
    .select((eb) => eb.cast<number>(eb.fn.countAll(), 'bigint').as('count'))
    .executeTakeFirstOrThrow();
  return count;
}

type Key = Pick<Selectable<RepositoryRow>, 'id' | 'name' | 'updated_at' | 'size'>;

const nameColumn = { sql: sql.ref('name'), type: 'text' as const, of: (row: { name: string }) => row.name };
const idColumn: SortColumn<Key> = { sql: sql.ref('id'), type: 'text', of: (row) => row.id };

const orders: Record<RepositoryOrder, { key: keyof Key; columns: readonly SortColumn<Key>[] }> = {
  name: { key: 'name', columns: [nameColumn] },
  updatedAt: {
    key: 'updated_at',
    columns: [{ sql: sql.ref('updated_at'), type: 'number', of: (row) => row.updated_at }, idColumn],
  },
  size: { key: 'size', columns: [{ sql: sql.ref('size'), type: 'number', of: (row) => row.size }, idColumn] },
};

/** The ids of a page. Only what stands in an index is read, so that an offset skips its entries and no rows. */
async function readKeys(
  platform: Platform,
  registryId: string,
  { search, sort, ...page }: RepositoryQuery,
): Promise<Page<string>> {
  const { key, columns } = orders[sort?.by ?? 'name'];
  // Of the other columns of `Key` nothing is asked: the order knows which one it is.
  const query = listed(platform, registryId, search).select(['id', key]) as SelectQueryBuilder<
    Schema,
    'repositories',
    Key
  >;
  return readPage(query, { columns, descending: sort?.descending ?? false }, page, (row) => row.id);
}

/**
 * In the order of the ids; what went meanwhile is left out. By the ids alone: asked for the registry too, SQLite reads all
 * of its repositories.
 */
async function readRepositories({ db }: Platform, ids: readonly string[]): Promise<Repository[]> {
  if (ids.length === 0) return [];
  const rows = await showing(db.selectFrom('repositories')).where('id', 'in', ids).execute();
  const byId = new Map(rows.map((row) => [row.id, toRepository(row)]));
  return ids.flatMap((id) => byId.get(id) ?? []);
}

type Row = Selectable<RepositoryRow> & { config_media_type: string | null };

/** Throws `not_found` about the registry or the repository. */
export async function getRepository(
  platform: Platform,
  actor: Actor,
  { registry, repository }: RepositoryAddress,
): Promise<Repository> {
  const { id } = await getRegistry(platform, actor, registry);
  const row = await showing(listed(platform, id)).where('name', '=', repository).executeTakeFirst();
  if (row) return toRepository(row);
  throw repositoryUnknown(repository);
}

export type SeenRepository = { id: string; registryId: string; imageCount: number };

/** A repository whose content is asked for: what `getRepository` finds, without what it costs to show. */
export async function seeRepository(
  platform: Platform,
  actor: Actor,
  { registry, repository }: RepositoryAddress,
): Promise<SeenRepository> {
  const { id: registryId } = await getRegistry(platform, actor, registry);
  const row = await listed(platform, registryId)
    .select(['id', 'image_count'])
    .where('name', '=', repository)
    .executeTakeFirst();
  if (row) return { id: row.id, registryId, imageCount: row.image_count };
  throw repositoryUnknown(repository);
}

/**
 * A repository to change, for an actor who may do so. Throws `denied`, `not_found`, and `conflict` while its registry is
 * being deleted.
 */
export async function openOwnRepository(
  platform: Platform,
  actor: Actor,
  address: RepositoryAddress,
  permission: Permission,
): Promise<LiveRepository> {
  requirePermission(actor, permission);
  const registry = await findOwnRegistry(platform, actor, address.registry);
  requireCovered(actor, registry.projectId, 'change what is in a registry outside them');
  const row = await listed(platform, registry.id)
    .select(['id', 'name'])
    .where('name', '=', address.repository)
    .executeTakeFirst();
  if (!row) throw repositoryUnknown(address.repository);
  if (registry.state === 'deleting') throw beingDeleted(registry.name);
  const name = `${registry.name}/${row.name}` as RepositoryName;
  return { id: row.id, path: row.name, name, registry };
}

function repositoryUnknown(name: string): Failure {
  return new Failure('not_found', `There is no repository ${JSON.stringify(name.slice(0, 255))} in this registry.`, {
    about: 'repository',
  });
}

function showing<O>(query: SelectQueryBuilder<Schema, 'repositories', O>) {
  return query.selectAll().select(newestConfigType.as('config_media_type'));
}

function listed({ db }: Platform, registryId: string, search?: string) {
  const query = db.selectFrom('repositories').where('registry_id', '=', registryId).where('is_listed', '=', 1);
  if (!search) return query;
  // Names are in lower case, as the pattern is.
  return query.where(sql<SqlBool>`name like ${toSearchPattern(search)} escape '\\'`);
}

/**
 * Of the newest image under an ordinary tag: signatures are newer than what they sign, and say nothing about what the
 * repository holds. The first entry of an index, however many manifests without tags are newer.
 */
const newestConfigType = sql<string | null>`(
  select m.config_media_type from tags as t
  cross join manifests as m
  where t.repository_id = repositories.id and t.image_pushed_at is not null
    and m.repository_id = t.repository_id and m.digest = t.digest
  order by t.image_pushed_at desc, t.digest desc limit 1)`;

const helmConfigType = 'application/vnd.cncf.helm.config.v1+json';

function toRepository(row: Row): Repository {
  return {
    id: row.id,
    registryId: row.registry_id,
    name: row.name,
    type: row.config_media_type === helmConfigType ? 'helm-chart' : 'image',
    sizeBytes: row.size,
    imageCount: row.image_count,
    tagCount: row.tag_count,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}
