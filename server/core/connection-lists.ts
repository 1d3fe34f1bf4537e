import { type Expression, type SqlBool, sql } from 'kysely';
import type { Actor } from './actors.ts';
import { type Connection, listedConnections, type Row, readProjects, toSeen } from './connection-rows.ts';
import {
  type Page,
  type PageInput,
  type Position,
  readPage,
  type Sort,
  type SortColumn,
  toSearchPattern,
} from './page.ts';
import { requirePermission } from './permissions.ts';
import type { Platform } from './platform.ts';
import { requireNamedProject } from './projects.ts';
import type { Provider } from './providers.ts';

export type ConnectionFilter = {
  search?: string | undefined;
  provider?: Provider | undefined;
  status?: Connection['status'] | undefined;
  /** Id of a project: only what it may use. */
  projectId?: string | undefined;
  /** The same by id or slug; one that the actor does not see is refused as one that never was. */
  project?: string | undefined;
  sort?: Sort<'name' | 'createdAt'> | undefined;
};

/** Oldest first unless asked otherwise. Throws `invalid` for an unknown project. */
export async function listConnections(
  platform: Platform,
  actor: Actor,
  input: PageInput & ConnectionFilter,
): Promise<Page<Connection>> {
  requirePermission(actor, 'connections:read');
  const { by, descending } = input.sort ?? { by: 'createdAt', descending: false };
  const named = input.project === undefined ? undefined : await requireNamedProject(platform, actor, input.project);
  const projectId = input.projectId ?? named?.id;
  const query = listedConnections(platform, actor, projectId).where((eb) => eb.and(conditionsOf(input)));
  const columns = by === 'name' ? [byName, byId] : [byId];
  const page = await readPage(query, { columns, descending }, input, (row) => row);
  const projects = await readProjects(
    platform,
    page.items.map(({ id }) => id),
  );
  return { ...page, items: page.items.map((row) => toSeen(actor, row, projects.get(row.id))) };
}

const byId: SortColumn<Row> = { sql: sql.ref('id'), type: 'text', of: (row) => row.id };
const byName: SortColumn<Row> = { sql: sql.ref('folded_name'), type: 'text', of: (row) => row.folded_name };

function conditionsOf({ search, provider, status }: ConnectionFilter): Expression<SqlBool>[] {
  const conditions: Expression<SqlBool>[] = [];
  if (search) conditions.push(sql`lower(name) like ${toSearchPattern(search)} escape '\\'`);
  if (provider) conditions.push(sql`provider = ${provider}`);
  if (status) conditions.push(sql`status = ${status}`);
  return conditions;
}

const pageSize = 500;

/** For surfaces without pages: page by page, so that no statement grows with the team. */
export async function listAllConnections(
  platform: Platform,
  actor: Actor,
  filter: ConnectionFilter,
): Promise<Connection[]> {
  const found: Connection[] = [];
  let after: Position | null = null;
  do {
    const page: Page<Connection> = await listConnections(platform, actor, { ...filter, limit: pageSize, after });
    found.push(...page.items);
    after = page.nextCursor;
  } while (after);
  return found;
}
