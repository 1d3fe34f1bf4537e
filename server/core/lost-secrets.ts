// Stored secrets that no configured master key opens: the key is not there, is another one of that id, or the value is
// damaged. Nobody can read them any more, and the server does not start with them; so they are counted, and dropped where
// an operator says that their key is gone for good. Nothing else is touched: images, tokens and API keys have hashes only.

import { systemActor } from './actors.ts';
import { recordAudit } from './audit.ts';
import { toTarget as toClusterTarget } from './cluster-rows.ts';
import { toTarget as toConnectionTarget } from './connection-rows.ts';
import { Failure } from './failure.ts';
import type { Platform } from './platform.ts';
import { type SealedColumn, sealContext, sealedColumns, sealedIn } from './sealed-columns.ts';
import { keyIdOf, listSealed, type SealedRow } from './sealed-rows.ts';
import { transact } from './transact.ts';

export type LostSecrets = {
  column: SealedColumn;
  keyId: string;
  /** There is a key of that id, but it does not open them. */
  isConfigured: boolean;
  count: number;
};

/** All that are lost, by column and key; and how many there are. Opens every one. */
export async function countLost(platform: Platform): Promise<{ lost: LostSecrets[]; looked: number }> {
  const found = new Map<string, LostSecrets>();
  const keyIds = platform.secrets.keyIds();
  let looked = 0;
  for (const column of sealedColumns) {
    for await (const row of eachSealed(platform, column)) {
      looked++;
      if (opens(platform, column, row)) continue;
      const keyId = keyIdOf(row.sealed);
      const none: LostSecrets = { column, keyId, isConfigured: keyIds.includes(keyId), count: 0 };
      found.getOrInsert(`${column.title}/${keyId}`, none).count++;
    }
  }
  return { lost: [...found.values()], looked };
}

/** Drops what `countLost` counts, a row at a time; what is changed meanwhile stays. Answers how many went. */
export async function discardLost(platform: Platform): Promise<number> {
  let dropped = 0;
  for (const column of sealedColumns) {
    for await (const row of eachSealed(platform, column)) {
      if (opens(platform, column, row)) continue;
      const isDropped = await transact(platform, (platform) => drop(platform, column, row));
      if (isDropped) dropped++;
    }
  }
  return dropped;
}

const pageSize = 500;

async function* eachSealed(platform: Platform, column: SealedColumn): AsyncGenerator<SealedRow> {
  let rows = await listSealed(platform, column, '', pageSize);
  while (rows.length > 0) {
    yield* rows;
    rows = await listSealed(platform, column, rows.at(-1)?.key ?? '', pageSize);
  }
}

function opens({ secrets }: Platform, column: SealedColumn, { key, sealed }: SealedRow): boolean {
  try {
    secrets.open(sealed, sealContext(column, key));
    return true;
  } catch (error) {
    if (error instanceof Failure) return false;
    throw error;
  }
}

function drop(platform: Platform, column: SealedColumn, row: SealedRow): Promise<boolean> {
  switch (column) {
    case sealedIn.connections:
      return dropConnectionSecret(platform, row);
    case sealedIn.replacements:
      return dropReplacement(platform, row);
    case sealedIn.clusters:
      return dropCredentials(platform, row);
    default:
      return dropMadeByUs(platform, column, row);
  }
}

/** Made anew when they are needed. Copies of a pull token go on to their own end. */
async function dropMadeByUs({ db }: Platform, column: SealedColumn, { key, sealed }: SealedRow): Promise<boolean> {
  const query =
    column === sealedIn.signingKeys
      ? db.deleteFrom('signing_keys').where('id', '=', key).where('sealed_private_jwk', '=', sealed)
      : column === sealedIn.pullTokens
        ? db.deleteFrom('project_pull_tokens').where('project_id', '=', key).where('sealed_token', '=', sealed)
        : db
            .updateTable('cluster_integrations')
            .set({ sealed_token: null })
            .where('id', '=', key)
            .where('sealed_token', '=', sealed);
  const [result] = await query.execute();
  return result !== undefined && ('numDeletedRows' in result ? result.numDeletedRows : result.numUpdatedRows) > 0n;
}

async function dropConnectionSecret(platform: Platform, { key, sealed }: SealedRow): Promise<boolean> {
  const { db, now } = platform;
  const row = await db
    .updateTable('connections')
    .set((eb) => ({
      username: '',
      sealed_secret: null,
      version: eb('version', '+', 1),
      status: 'untested',
      tested_at: null,
      credentials_expire_at: null,
      test_due_at: now(),
      updated_at: now(),
    }))
    .where('id', '=', key)
    .where('sealed_secret', '=', sealed)
    .returning(['id', 'slug', 'team_id'])
    .executeTakeFirst();
  if (!row) return false;
  const target = toConnectionTarget(row);
  await noteLoss(platform, row.team_id, { action: 'connection.secret-lost', target, sealed });
  return true;
}

async function dropReplacement(platform: Platform, { key, sealed }: SealedRow): Promise<boolean> {
  const row = await platform.db
    .updateTable('connections')
    .set({ replacement_username: null, sealed_replacement: null })
    .where('id', '=', key)
    .where('sealed_replacement', '=', sealed)
    .returning(['id', 'slug', 'team_id'])
    .executeTakeFirst();
  if (!row) return false;
  const target = toConnectionTarget(row);
  await noteLoss(platform, row.team_id, { action: 'connection.replacement-lost', target, sealed });
  return true;
}

/** What is integrated says so until they are given again: see `toAccess`. */
async function dropCredentials(platform: Platform, { key, sealed }: SealedRow): Promise<boolean> {
  const { db, now } = platform;
  const row = await db
    .updateTable('clusters')
    .set({ sealed_credentials: '', updated_at: now() })
    .where('id', '=', key)
    .where('sealed_credentials', '=', sealed)
    .returning(['id', 'name', 'team_id'])
    .executeTakeFirst();
  if (!row) return false;
  await db.updateTable('cluster_integrations').set({ due_at: now() }).where('cluster_id', '=', key).execute();
  const target = toClusterTarget(row);
  await noteLoss(platform, row.team_id, { action: 'cluster.credentials-lost', target, sealed });
  return true;
}

type Loss = { action: string; target: { kind: string; id: string; name: string }; sealed: string };

function noteLoss(platform: Platform, teamId: string, { action, target, sealed }: Loss): Promise<void> {
  return recordAudit(platform, systemActor(teamId), { action, target, detail: { masterKey: keyIdOf(sealed) } });
}
