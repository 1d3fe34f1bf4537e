// Repositories as people see them. `registry-access.ts` makes them at the first push, `repository-deletion.ts` ends them.

import { type Selectable, type SelectQueryBuilder, type SqlBool, sql } from 'kysely';
import type { Actor } from './actors.ts';
import { Failure } from './failure.ts';
import type { RepositoryName } from './names.ts';
import { type Order, type Page, type PageInput, readPage, type Sort, toSearchPattern } from './page.ts';
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
  createdAt: number;
  /** The last push, tag move or deletion. */
  updatedAt: number;
};

/** The registry by id or name, the repository by its name in there. */
export type RepositoryAddress = { registry: string; repository: string };

export type RepositoryQuery = PageInput & {
  search?: string | undefined;
  sort?: Sort<'name'> | undefined;
};

type Row = Selectable<RepositoryRow> & { config_media_type: string | null };

const byName: Order<Row>['columns'] = [{ sql: sql.ref('repositories.name'), type: 'text', of: (row) => row.name }];

/** By name. A repository is listed from its first manifest on. Throws `not_found` about the registry. */
export async function listRepositories(
  platform: Platform,
  actor: Actor,
  registry: string,
  { search, sort, ...page }: RepositoryQuery,
): Promise<Page<Repository>> {
  const { id } = await getRegistry(platform, actor, registry);
  let query = selectRepositories(platform, id);
  if (search) query = query.where(sql<SqlBool>`lower(repositories.name) like ${toSearchPattern(search)} escape '\\'`);
  return readPage(query, { columns: byName, descending: sort?.descending ?? false }, page, toRepository);
}

/** Throws `not_found` about the registry or the repository. */
export async function getRepository(
  platform: Platform,
  actor: Actor,
  { registry, repository }: RepositoryAddress,
): Promise<Repository> {
  const { id } = await getRegistry(platform, actor, registry);
  const row = await selectRepositories(platform, id).where('repositories.name', '=', repository).executeTakeFirst();
  if (row) return toRepository(row);
  throw repositoryUnknown(repository);
}

/** A repository whose content is asked for: what `getRepository` finds, without what it costs to show. */
export async function seeRepository(
  platform: Platform,
  actor: Actor,
  { registry, repository }: RepositoryAddress,
): Promise<{ id: string; registryId: string }> {
  const { id: registryId } = await getRegistry(platform, actor, registry);
  const row = await listed(platform, registryId).select('id').where('name', '=', repository).executeTakeFirst();
  if (row) return { id: row.id, registryId };
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

function selectRepositories(platform: Platform, registryId: string): SelectQueryBuilder<Schema, 'repositories', Row> {
  return listed(platform, registryId).selectAll().select(newestConfigType.as('config_media_type'));
}

function listed({ db }: Platform, registryId: string) {
  return db.selectFrom('repositories').where('registry_id', '=', registryId).where('is_listed', '=', 1);
}

/**
 * Signatures under a cosign tag are newer than what they sign, and say nothing about what the repository holds. A scalar
 * subquery with a limit: of an `exists` Postgres makes a hash of all tags, and only the newest manifests are asked.
 */
const newestConfigType = sql<string | null>`(
  select m.config_media_type from manifests as m
  where m.repository_id = repositories.id and (select 1 from tags as t
    where t.repository_id = m.repository_id and t.digest = m.digest and t.belongs_to is null limit 1) is not null
  order by m.pushed_at desc, m.digest desc limit 1)`;

const helmConfigType = 'application/vnd.cncf.helm.config.v1+json';

function toRepository(row: Row): Repository {
  return {
    id: row.id,
    registryId: row.registry_id,
    name: row.name,
    type: row.config_media_type === helmConfigType ? 'helm-chart' : 'image',
    sizeBytes: row.size,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}
