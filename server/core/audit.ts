import type { Actor } from './actors.ts';
import { newId } from './ids.ts';
import type { Platform } from './platform.ts';

export type AuditEntry = {
  /** `<thing>.<verb>`: `registry.create`, `manifest.push`, `token.revoke`, … */
  action: string;
  target: { kind: string; id: string; name: string };
  /** Never a secret. */
  detail?: Readonly<Record<string, unknown>>;
  /** Where the change is in another team than the actor's. */
  teamId?: string;
};

/** Writes what was done, in the transaction that does it: no change without its event, no event without its change. */
export async function recordAudit({ db, now }: Platform, actor: Actor, entry: AuditEntry): Promise<void> {
  await db
    .insertInto('audit_events')
    .values({
      id: newId(),
      team_id: entry.teamId ?? actor.teamId,
      actor_kind: actor.kind,
      actor_id: actor.id,
      actor_name: actor.name,
      action: entry.action,
      target_kind: entry.target.kind,
      target_id: entry.target.id,
      target_name: entry.target.name,
      detail: JSON.stringify(entry.detail ?? {}),
      address: actor.address,
      created_at: now(),
    })
    .execute();
}
