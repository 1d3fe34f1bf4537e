// Uploads: a session is a row, its chunks are objects, and the row's version decides every race.
//
// A chunk is written first and appended after, by compare-and-set on the version: of two writers one wins, the other's
// object is dropped and it is told where the upload really stands. Whoever deletes the row wins the end: a finish, a
// cancel and an expiry cannot all have it. `upload-chunks.ts` holds what comes in, `upload-finish.ts` the end.

import { createHash } from 'node:crypto';
import { type ExpressionBuilder, type Selectable, sql } from 'kysely';
import type { Actor } from './actors.ts';
import type { DigestAlgorithm } from './digest.ts';
import { Failure } from './failure.ts';
import { newId } from './ids.ts';
import { unref } from './objects.ts';
import type { Platform } from './platform.ts';
import { ensureRepository, lockForPush, type RepositoryAccess } from './registry-access.ts';
import type { Schema, UploadRow } from './schema.ts';
import { release } from './sizes.ts';
import { transact } from './transact.ts';

/** Without news an upload ends after this; every chunk, and every minute of a running one, prolongs it. */
export const idleMs = 3600_000;
/** No upload lives longer, however busy. */
export const uploadLifeMs = 24 * 3600_000;

export type UploadState = { id: string; received: number };

/** Opens a session. `algorithm` is a hint: the digest given at the end decides. */
export async function startUpload(
  platform: Platform,
  actor: Actor,
  access: RepositoryAccess,
  algorithm: DigestAlgorithm = 'sha256',
): Promise<UploadState> {
  const found = await ensureRepository(platform, access);
  const id = newId();
  await transact(platform, async (platform) => {
    const repository = await lockForPush(platform, found);
    const now = platform.now();
    await platform.db
      .insertInto('uploads')
      .values({
        id,
        repository_id: repository.id,
        principal: actor.id,
        generation: actor.generation,
        received: 0,
        version: 1,
        started_at: now,
        expires_at: now + idleMs,
      })
      .execute();
  });
  if (algorithm !== 'sha256')
    platform.local.uploadHashes.set(id, { version: 1, algorithm, hash: createHash(algorithm) });
  return { id, received: 0 };
}

/** The actor's own live session in this repository. Anybody else's is not found. */
export async function getUpload(
  { db, now }: Platform,
  actor: Actor,
  access: RepositoryAccess,
  id: string,
): Promise<Selectable<UploadRow>> {
  const row = await db
    .selectFrom('uploads')
    .selectAll()
    .where('id', '=', id)
    .where('repository_id', '=', access.id ?? '')
    .where('principal', '=', actor.id)
    .where('generation', '=', actor.generation)
    .where('expires_at', '>', now())
    .where('started_at', '>', now() - uploadLifeMs)
    .executeTakeFirst();
  if (!row) throw uploadUnknown();
  return row;
}

export function uploadUnknown(): Failure {
  return new Failure('not_found', 'There is no such upload: it has ended, expired, or is not yours. Start a new one.', {
    about: 'upload',
  });
}

/** Ends a session and gives its bytes back. Throws `not_found`. */
export async function cancelUpload(
  platform: Platform,
  actor: Actor,
  access: RepositoryAccess,
  id: string,
): Promise<void> {
  await getUpload(platform, actor, access, id);
  if (!(await endUpload(platform, id, {}))) throw uploadUnknown();
}

/** Deletes the row, if its version (or its expiry) is still as said. Whoever does so has the upload; others get false. */
export async function endUpload(
  platform: Platform,
  id: string,
  condition: { version?: number; expiredBefore?: number },
): Promise<boolean> {
  const hasEnded = await transact(platform, async (platform) => {
    const { db, now } = platform;
    const row = await db
      .updateTable('uploads')
      .set({ version: sql`version + 1` })
      .where('id', '=', id)
      .$if(condition.version !== undefined, (q) => q.where('version', '=', condition.version ?? 0))
      .$if(condition.expiredBefore !== undefined, (q) => q.where((eb) => isOver(eb, condition.expiredBefore ?? 0)))
      .returning('repository_id')
      .executeTakeFirst();
    if (!row) return false;
    const { keys, size } = await takeUpload(platform, id);
    const repository = await db
      .selectFrom('repositories')
      .select('registry_id')
      .where('id', '=', row.repository_id)
      .executeTakeFirstOrThrow();
    await unref(platform, keys, now());
    await release(platform, repository.registry_id, 0, size);
    return true;
  });
  platform.local.uploadHashes.delete(id);
  return hasEnded;
}

/** Nobody continued it, or it has lived long enough whatever was done. */
function isOver(eb: ExpressionBuilder<Schema, 'uploads'>, before: number) {
  return eb.or([eb('expires_at', '<', before), eb('started_at', '<', before - uploadLifeMs)]);
}

/** Deletes an upload with its parts, in the transaction that raised its version. */
export async function takeUpload({ db }: Platform, id: string): Promise<{ keys: string[]; size: number }> {
  const parts = await db
    .deleteFrom('upload_parts')
    .where('upload_id', '=', id)
    .returning(['object_key', 'size'])
    .execute();
  await db.deleteFrom('uploads').where('id', '=', id).execute();
  return {
    keys: parts.map((part) => part.object_key),
    size: parts.reduce((sum, part) => sum + part.size, 0),
  };
}

/** The janitor's share: sessions that nobody continued. Answers how many ended. */
export async function expireUploads(platform: Platform): Promise<number> {
  const expiredBefore = platform.now() - 30_000;
  const rows = await platform.db
    .selectFrom('uploads')
    .select('id')
    .where((eb) => isOver(eb, expiredBefore))
    .limit(100)
    .execute();
  let ended = 0;
  for (const { id } of rows) if (await endUpload(platform, id, { expiredBefore })) ended++;
  return ended;
}
