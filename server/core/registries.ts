import { sql } from 'kysely';
import type { Actor } from './actors.ts';
import { recordAudit } from './audit.ts';
import { Failure } from './failure.ts';
import { isUuid, parseRegistryName } from './names.ts';
import type { Operation } from './operations.ts';
import { type Page, type PageInput, readPage, type Sort, type SortColumn, toSearchPattern } from './page.ts';
import { requirePermission, seesProject } from './permissions.ts';
import type { Platform } from './platform.ts';
import { isProject, orNone, requireCovered, requireNamedProject, requireProjects } from './projects.ts';
import { getRegion } from './regions.ts';
import {
  beingDeleted,
  collections,
  insertRegistry,
  type Registry,
  requireRoomForRegistries,
  type SeenRegistryRow,
  startDeletion,
  toRegistry,
} from './registry-rows.ts';
import { transact } from './transact.ts';

export type RegistryInput = {
  name: string;
  /** Slug or id; the first region where none is named. */
  region?: string | undefined;
  /** Id or slug. A key bound to one project need not name it. */
  project?: string | null | undefined;
  isPublic?: boolean | undefined;
  sizeLimitBytes?: number | undefined;
};

/** Throws `invalid`, `denied`, `limit`, or `conflict` if the name is taken in the region, by whomever. */
export async function createRegistry(platform: Platform, actor: Actor, input: RegistryInput): Promise<Registry> {
  requirePermission(actor, 'registries:create');
  const name = parseRegistryName(input.name);
  const region = getRegion(platform, input.region);
  const sizeLimitBytes = parseSizeLimit(input.sizeLimitBytes ?? platform.config.registryLimitBytes);
  return transact(platform, async (platform) => {
    const ref = input.project ?? onlyProject(actor);
    const [projectId = null] = ref === null ? [] : await requireProjects(platform, actor, [ref]);
    requireCovered(actor, projectId, 'make a registry outside them');
    await requireRoomForRegistries(platform, actor.teamId, 1);
    const registry = await insertRegistry(platform, {
      teamId: actor.teamId,
      projectId,
      regionId: region.id,
      name,
      isPublic: input.isPublic ?? false,
      isManaged: false,
      sizeLimitBytes,
    });
    if (!registry) {
      throw new Failure('conflict', `The name ${name} is taken in region ${region.slug}. Choose another.`, {
        about: 'registry',
        fields: { '/name': 'taken in this region' },
      });
    }
    const detail = { region: region.slug, projectId, isPublic: registry.isPublic, sizeLimitBytes };
    await recordAudit(platform, actor, { action: 'registry.create', target: toTarget(registry), detail });
    return registry;
  });
}

const onlyProject = ({ projectIds }: Actor) => (projectIds?.length === 1 ? (projectIds[0] ?? null) : null);

/** `project`: id or slug. */
export type RegistryFilter = { search?: string | undefined; project?: string | undefined };
export type RegistryOrder = Sort<'name' | 'createdAt' | 'size'>;

/** The team's registries that the actor sees, by name unless asked otherwise. Throws `invalid` for an unknown project. */
export async function listRegistries(
  platform: Platform,
  actor: Actor,
  input: PageInput & RegistryFilter & { sort?: RegistryOrder | undefined },
): Promise<Page<Registry>> {
  requirePermission(actor, 'registries:read');
  if (input.project !== undefined) await requireNamedProject(platform, actor, input.project);
  const { by, descending } = input.sort ?? { by: 'name', descending: false };
  return readPage(visibleRegistries(platform, actor, input), { columns: orders[by], descending }, input, toRegistry);
}

/** How many `listRegistries` would list on all its pages. */
export async function countRegistries(platform: Platform, actor: Actor, input: RegistryFilter): Promise<number> {
  requirePermission(actor, 'registries:read');
  const { count } = await platform.db
    .selectFrom(visibleRegistries(platform, actor, input).as('visible'))
    .select((eb) => eb.cast<number>(eb.fn.countAll(), 'bigint').as('count'))
    .executeTakeFirstOrThrow();
  return count;
}

type Row = SeenRegistryRow;
const byId: SortColumn<Row> = { sql: sql.ref('id'), type: 'text', of: (row) => row.id };
const orders: Record<RegistryOrder['by'], readonly SortColumn<Row>[]> = {
  name: [{ sql: sql.ref('name'), type: 'text', of: (row) => row.name }, byId],
  createdAt: [byId],
  size: [{ sql: sql.ref('size'), type: 'number', of: (row) => row.size }, byId],
};

function visibleRegistries({ db }: Platform, actor: Actor, { search, project }: RegistryFilter) {
  let query = db.selectFrom('registries').selectAll().select(collections).where('team_id', '=', actor.teamId);
  const bound = actor.projectIds;
  if (bound !== null) {
    query = query.where((eb) => eb.or([eb('project_id', 'is', null), eb('project_id', 'in', orNone(bound))]));
  }
  if (project !== undefined) {
    const named = db.selectFrom('projects').select('id').where('team_id', '=', actor.teamId).where(isProject(project));
    query = query.where('project_id', 'in', named);
  }
  if (search) query = query.where(sql<boolean>`lower(name) like ${toSearchPattern(search)} escape '\\'`);
  return query;
}

/**
 * By id or name; of a name in several regions the first region's. Another team's and those of projects the actor does
 * not see are not found, in the same words as one that never was.
 */
export async function getRegistry(platform: Platform, actor: Actor, ref: string): Promise<Registry> {
  requirePermission(actor, 'registries:read');
  return findOwnRegistry(platform, actor, ref);
}

/** As `getRegistry`, for core functions that have authorised already. Throws `not_found`. */
export async function findOwnRegistry({ db, config }: Platform, actor: Actor, ref: string): Promise<Registry> {
  const rows = await db
    .selectFrom('registries')
    .selectAll()
    .select(collections)
    .where('team_id', '=', actor.teamId)
    .where(isUuid(ref) ? 'id' : 'name', '=', /^[a-z0-9-]{1,63}$/.test(ref) ? ref : '')
    .execute();
  const rank = (row: Row) => config.regions.findIndex(({ id }) => id === row.region_id);
  const [row] = rows.filter((row) => seesProject(actor, row.project_id)).sort((a, b) => rank(a) - rank(b));
  if (row) return toRegistry(row);
  throw new Failure('not_found', `There is no registry ${JSON.stringify(ref.slice(0, 80))} in this team.`, {
    about: 'registry',
  });
}

export type RegistryChange = {
  registry: string;
  isPublic?: boolean | undefined;
  /** May be below what is used: then nothing more comes in. */
  sizeLimitBytes?: number | undefined;
  /** Called with the row as it is, locked; throws if the caller expected another one. */
  expect?: ((current: Registry) => void) | undefined;
};

/** Throws `not_found`, `denied`, `invalid`, or `conflict` while it is being deleted. */
export async function updateRegistry(platform: Platform, actor: Actor, input: RegistryChange): Promise<Registry> {
  requirePermission(actor, 'registries:update');
  return transact(platform, async (platform) => {
    const { id } = await findOwnRegistry(platform, actor, input.registry);
    const current = await lockRegistry(platform, actor, id);
    requireCovered(actor, current.projectId, 'change a registry outside them');
    input.expect?.(current);
    const isPublic = input.isPublic ?? current.isPublic;
    const sizeLimitBytes = parseSizeLimit(input.sizeLimitBytes ?? current.sizeLimitBytes);
    const row = await platform.db
      .updateTable('registries')
      .set({ is_public: Number(isPublic), size_limit: sizeLimitBytes, updated_at: platform.now() })
      .where('id', '=', id)
      .returningAll()
      .returning(collections)
      .returning(collections)
      .executeTakeFirstOrThrow();
    const detail = { isPublic, sizeLimitBytes };
    await recordAudit(platform, actor, { action: 'registry.update', target: toTarget(current), detail });
    return toRegistry(row);
  });
}

/** Waits for changes under way, so that what is read next is the newest. */
async function lockRegistry(platform: Platform, actor: Actor, id: string): Promise<Registry> {
  const row = await platform.db
    .updateTable('registries')
    .set((eb) => ({ name: eb.ref('name') }))
    .where('id', '=', id)
    .returningAll()
    .returning(collections)
    .executeTakeFirst();
  if (!row) return findOwnRegistry(platform, actor, id);
  if (row.state === 'deleting') throw beingDeleted(row.name);
  return toRegistry(row);
}

/**
 * Puts the registry out of use for everybody at once; what it holds goes in the background, and its name stays taken
 * until then. Throws `conflict` for a managed one, which goes with its project, and for one being deleted.
 */
export async function deleteRegistry(
  platform: Platform,
  actor: Actor,
  input: { registry: string; expect?: ((current: Registry) => void) | undefined },
): Promise<Operation> {
  requirePermission(actor, 'registries:delete');
  return transact(platform, async (platform) => {
    const registry = await findOwnRegistry(platform, actor, input.registry);
    requireCovered(actor, registry.projectId, 'delete a registry outside them');
    input.expect?.(registry);
    if (registry.isManaged && registry.projectId !== null) {
      throw new Failure('conflict', `Registry ${registry.name} is managed by its project and is deleted with it.`, {
        about: 'registry',
      });
    }
    return startDeletion(platform, actor, registry);
  });
}

/** Throws `invalid`. */
function parseSizeLimit(bytes: number): number {
  if (Number.isSafeInteger(bytes) && bytes >= 0) return bytes;
  throw new Failure('invalid', `A size limit is a whole number of bytes from 0 to ${Number.MAX_SAFE_INTEGER}.`, {
    about: 'registry',
    fields: { '/sizeLimitBytes': 'a whole number of bytes, not negative' },
  });
}

const toTarget = ({ id, name }: Registry) => ({ kind: 'registry', id, name });
