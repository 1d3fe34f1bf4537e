import type { Kysely } from 'kysely';
import { newId } from '#core/ids.ts';
import type { Secrets } from '#core/platform.ts';
import type { Schema } from '#core/schema.ts';
import { sealContext, sealedIn } from '#core/sealed-columns.ts';

const rowsPerInsert = 500;

/** As many connections of one team, without the time of making them; each has a password of its own. Answers their ids in order. */
export async function seedSealedConnections(
  db: Kysely<Schema>,
  teamId: string,
  secrets: Pick<Secrets, 'seal'>,
  count: number,
): Promise<string[]> {
  const ids = Array.from({ length: count }, () => newId()).toSorted();
  for (let start = 0; start < count; start += rowsPerInsert) {
    const rows = ids.slice(start, start + rowsPerInsert).map((id) => toRow(teamId, id, secrets));
    await db.insertInto('connections').values(rows).execute();
  }
  return ids;
}

function toRow(teamId: string, id: string, secrets: Pick<Secrets, 'seal'>) {
  const place = { provider: 'oci', url: 'https://r.test', host: 'r.test', namespace: '', username: 'u' };
  const numbers = { is_restricted: 0, version: 1, test_due_at: Number.MAX_SAFE_INTEGER, created_at: 0, updated_at: 0 };
  const names = { name: id, folded_name: id, slug: id, description: '' };
  const sealed_secret = secrets.seal(`password of ${id}`, sealContext(sealedIn.connections, id));
  return { id, team_id: teamId, ...names, ...place, ...numbers, sealed_secret, status: 'untested' as const };
}
