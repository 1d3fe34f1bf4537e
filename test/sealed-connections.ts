import type { Kysely } from 'kysely';
import { newId } from '#core/ids.ts';
import type { Platform, Secrets } from '#core/platform.ts';
import type { Schema } from '#core/schema.ts';
import { nameOf, type SealedColumn, sealContext, sealedIn } from '#core/sealed-columns.ts';
import type { SeededTeam } from './platform.ts';

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

/** A row for each sealed column, whatever else its table wants; the text under its seal is the column's name. */
export async function seedEachSealedColumn(platform: Platform, team: SeededTeam): Promise<void> {
  const { db, secrets } = platform;
  const [id = ''] = await seedSealedConnections(db, team.teamId, secrets, 1);
  const sealed = (column: SealedColumn, key: string) => secrets.seal(nameOf(column), sealContext(column, key));
  const times = { created_at: 0, updated_at: 0 };
  await db
    .updateTable('connections')
    .set({ sealed_secret: sealed(sealedIn.connections, id), sealed_replacement: sealed(sealedIn.replacements, id) })
    .execute();
  const sealed_private_jwk = sealed(sealedIn.signingKeys, 'kid');
  await db
    .insertInto('signing_keys')
    .values({ id: 'kid', public_jwk: '{}', sealed_private_jwk, created_at: 0 })
    .execute();
  const cluster = { id, team_id: team.teamId, name: 'c', pool: '', server: 'https://c.test', ca_pem: null, ...times };
  const sealed_credentials = sealed(sealedIn.clusters, id);
  await db
    .insertInto('clusters')
    .values({ ...cluster, sealed_credentials, state: 'active' })
    .execute();
  await db
    .insertInto('cluster_integrations')
    .values({
      ...{ id, team_id: team.teamId, cluster_id: id, registry_id: team.registryId, namespaces: '[]', secret_name: 's' },
      ...{ state: 'connected', version: 1, supplied_version: 0, places: '[]', due_at: 0, attempts: 0, ...times },
      sealed_token: sealed(sealedIn.integrations, id),
    })
    .execute();
  const sealed_token = sealed(sealedIn.pullTokens, team.projectId);
  const pullToken = { project_id: team.projectId, token_id: id, renew_at: 0, expires_at: 0, sealed_token };
  await db.insertInto('project_pull_tokens').values(pullToken).execute();
}
