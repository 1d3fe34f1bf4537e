import { type Selectable, sql } from 'kysely';
import type { Actor } from './actors.ts';
import { isStorable, type Page, type PageInput, readPage, type SortColumn } from './page.ts';
import { requirePermission } from './permissions.ts';
import type { Platform } from './platform.ts';
import { requireWholeTeam } from './projects.ts';
import type { AuditEventRow } from './schema.ts';

export type AuditEvent = {
  id: string;
  actor: { kind: string; id: string; name: string };
  action: string;
  target: { kind: string; id: string; name: string };
  detail: Readonly<Record<string, unknown>>;
  /** The peer's address; empty for the platform itself. */
  address: string;
  createdAt: number;
};

export type AuditFilter = {
  actorId?: string | undefined;
  /** `registry.create`, or `registry` for all that happened to registries. */
  action?: string | undefined;
  targetKind?: string | undefined;
  targetId?: string | undefined;
  targetName?: string | undefined;
  /** Inclusive. */
  from?: number | undefined;
  /** Exclusive. */
  to?: number | undefined;
};

/** Newest first. The log spans all projects, so a key bound to some may not read it. */
export async function listAuditEvents(
  { db }: Platform,
  actor: Actor,
  input: PageInput & AuditFilter,
): Promise<Page<AuditEvent>> {
  requirePermission(actor, 'audit:read');
  requireWholeTeam(actor, 'read the audit log');
  let query = db.selectFrom('audit_events').selectAll().where('team_id', '=', actor.teamId);
  for (const [column, value] of toConditions(input)) query = query.where(column, '=', isStorable(value) ? value : '?');
  if (input.action !== undefined) query = query.where(matchesAction(input.action));
  if (input.from !== undefined) query = query.where('created_at', '>=', input.from);
  if (input.to !== undefined) query = query.where('created_at', '<', input.to);
  return readPage(query, { columns: byTime, descending: true }, input, toAuditEvent);
}

function toConditions({ actorId, targetKind, targetId, targetName }: AuditFilter) {
  const all = { actor_id: actorId, target_kind: targetKind, target_id: targetId, target_name: targetName };
  return Object.entries(all).filter((entry): entry is [keyof typeof all, string] => entry[1] !== undefined);
}

function matchesAction(action: string) {
  if (!/^[a-z_-]+(?:\.[a-z_-]+)?$/.test(action)) return sql<boolean>`1 = 0`;
  return action.includes('.')
    ? sql<boolean>`action = ${action}`
    : sql<boolean>`action like ${`${action.replaceAll('_', '\\_')}.%`} escape '\\'`;
}

const byTime: readonly SortColumn<Selectable<AuditEventRow>>[] = [
  { sql: sql.ref('created_at'), type: 'number', of: (row) => row.created_at },
  { sql: sql.ref('id'), type: 'text', of: (row) => row.id },
];

/** Removes up to `limit` events of all teams from before a time. Answers how many; call it until that is less. */
export async function removeOldAuditEvents({ db }: Platform, before: number, limit = 500): Promise<number> {
  const rows = await db
    .deleteFrom('audit_events')
    .where('id', 'in', (eb) =>
      eb.selectFrom('audit_events').select('id').where('created_at', '<', before).orderBy('created_at').limit(limit),
    )
    .returning('id')
    .execute();
  return rows.length;
}

function toAuditEvent(row: Selectable<AuditEventRow>): AuditEvent {
  return {
    id: row.id,
    actor: { kind: row.actor_kind, id: row.actor_id, name: row.actor_name },
    action: row.action,
    target: { kind: row.target_kind, id: row.target_id, name: row.target_name },
    detail: JSON.parse(row.detail),
    address: row.address,
    createdAt: row.created_at,
  };
}
