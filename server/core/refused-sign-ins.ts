import type { Selectable } from 'kysely';
import { type Actor, anonymous, findActorRow } from './actors.ts';
import { recordAudit } from './audit.ts';
import { hashSecret } from './ids.ts';
import type { Platform } from './platform.ts';
import type { ActorRow } from './schema.ts';

/** Refused sign-ins of one actor in one minute; without a row, those of one address with secrets that nobody has. */
export type RefusedSignIns = {
  row: Selectable<ActorRow> | undefined;
  why: 'unknown' | 'revoked' | 'expired' | 'regenerated';
  minute: number;
  count: number;
  address: string;
};

const minuteMs = 60_000;
const entriesMax = 1000;

/**
 * Counts a refusal. Not one event each: whoever can make us refuse could fill the audit log. Only the log knows of
 * secrets that nobody has, because such a refusal belongs to no team.
 */
export async function countRefusedSignIn(
  platform: Platform,
  shown: { secret: string } | { actorId: string },
  address: string,
): Promise<void> {
  const row = await ('secret' in shown
    ? findActorRow(platform, 'secret_hash', hashSecret(shown.secret))
    : findActorRow(platform, 'id', shown.actorId));
  const minute = Math.floor(platform.now() / minuteMs);
  const counted = platform.local.refusedSignIns;
  const key = `${minute} ${row ? row.id : address}`;
  const entry = counted.get(key);
  if (entry) {
    entry.count++;
    entry.address = address;
    return;
  }
  if (counted.size >= entriesMax) await flushRefusedSignIns(platform, { all: true });
  counted.set(key, { row, why: reasonOf(row, platform.now()), minute, count: 1, address });
}

function reasonOf(row: Selectable<ActorRow> | undefined, now: number): RefusedSignIns['why'] {
  if (!row) return 'unknown';
  if (row.revoked_at !== null) return 'revoked';
  return row.expires_at !== null && row.expires_at <= now ? 'expired' : 'regenerated';
}

/** Writes the minutes that are over; before the process ends, all. To be called once a minute or so. */
export async function flushRefusedSignIns(platform: Platform, { all = false } = {}): Promise<void> {
  const { local, log, now } = platform;
  const minuteNow = Math.floor(now() / minuteMs);
  for (const [key, entry] of [...local.refusedSignIns]) {
    if (!all && entry.minute >= minuteNow) continue;
    // Taken out first: a second flush meanwhile must not write it again.
    local.refusedSignIns.delete(key);
    const { row, why, minute, count, address } = entry;
    if (!row) {
      log.warn({ address, count }, 'refused sign-ins with a secret that nobody has');
      continue;
    }
    await recordAudit(platform, toActor(row, address), {
      action: 'sign-in.refuse',
      target: { kind: row.kind, id: row.id, name: row.name },
      detail: { why, count, minute: new Date(minute * minuteMs).toISOString() },
    });
  }
}

function toActor(row: Selectable<ActorRow>, address: string): Actor {
  return { ...anonymous, kind: row.kind, id: row.id, name: row.name, teamId: row.team_id, address };
}
