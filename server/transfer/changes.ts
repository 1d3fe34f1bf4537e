import { type Kysely, sql } from 'kysely';
import type { Schema } from '#core/schema.ts';

/** What every change moves: of repositories their revisions, of uploads their versions, of the rest the audit log. */
export type Mark = { revisions: number; uploads: number; lastEvent: string };

export async function markOf(db: Kysely<Schema>): Promise<Mark> {
  const { rows } = await sql<Mark>`select
    cast((select coalesce(sum(revision), 0) from repositories) as bigint) as revisions,
    cast((select coalesce(sum(version), 0) from uploads) as bigint) as uploads,
    (select coalesce(max(id), '') from audit_events) as "lastEvent"`.execute(db);
  return rows[0] as Mark;
}

/** How much has been changed since, roughly; 0 only if nothing was. */
export async function countChanges(db: Kysely<Schema>, mark: Mark): Promise<number> {
  const now = await markOf(db);
  const { rows } = await sql<{ n: number }>`select count(*) as n from audit_events
    where id > ${mark.lastEvent}`.execute(db);
  const differs = now.revisions !== mark.revisions || now.uploads !== mark.uploads;
  return Math.max(Number(rows[0]?.n ?? 0), now.revisions - mark.revisions, differs ? 1 : 0);
}
