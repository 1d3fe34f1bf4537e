// Uploads: a session is a row, its chunks are objects, and the row's version decides every race.
//
// A chunk is written first and appended after, by compare-and-set on the version: of two writers one wins, the other's
// object is dropped and it is told where the upload really stands. Whoever deletes the row wins the end: a finish, a
// cancel and an expiry cannot all have it. `upload-finish.ts` holds the end.

import { createHash, type Hash } from 'node:crypto';
import { type ExpressionBuilder, type Selectable, sql } from 'kysely';
import type { Actor } from './actors.ts';
import type { DigestAlgorithm } from './digest.ts';
import { Failure } from './failure.ts';
import { newId } from './ids.ts';
import { lockRepository } from './links.ts';
import { type Body, type WrittenObject, writeObject } from './object-writing.ts';
import { dropObject, sealObject, unref } from './objects.ts';
import type { Platform } from './platform.ts';
import { ensureRepository, type LiveRepository, type RepositoryAccess } from './registry-access.ts';
import type { Schema, UploadRow } from './schema.ts';
import { release } from './sizes.ts';
import { transact } from './transact.ts';

/** Without news an upload ends after this; every chunk, and every minute of a running one, prolongs it. */
const idleMs = 3600_000;
/** No upload lives longer, however busy. */
export const uploadLifeMs = 24 * 3600_000;
/** One-byte chunks must not become a million objects. */
const partsMax = 10_000;

export type UploadState = { id: string; received: number };
/** First and last byte, as the client claims them. */
export type ChunkRange = { start: number; end: number };
export type Chunk = { body: Body; range?: ChunkRange | undefined };

/** Opens a session. `algorithm` is a hint: the digest given at the end decides. */
export async function startUpload(
  platform: Platform,
  actor: Actor,
  access: RepositoryAccess,
  algorithm: DigestAlgorithm = 'sha256',
): Promise<UploadState> {
  const repository = await ensureRepository(platform, access);
  const id = newId();
  await transact(platform, async (platform) => {
    await lockRepository(platform, repository.id);
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

/** Appends a chunk. Throws `range` with what is really there, if the chunk does not begin at the upload's end. */
export async function appendChunk(
  platform: Platform,
  actor: Actor,
  repository: LiveRepository,
  id: string,
  chunk: Chunk,
): Promise<UploadState> {
  const upload = await getUpload(platform, actor, repository, id);
  requireInOrder(upload, chunk);
  if (chunk.body.length === 0) return { id, received: upload.received };
  if (upload.version > partsMax) throw tooManyParts();
  const running = takeRunningHash(platform, upload);
  const written = await whileActive(platform, id, () =>
    writeObject(platform, repository.registry.id, chunk.body, running?.hash),
  );
  if (written.size === 0) {
    await dropObject(platform, written.key);
    return { id, received: upload.received };
  }
  await appendWritten(platform, repository, upload, written);
  if (running) platform.local.uploadHashes.set(id, { ...running, version: upload.version + 1 });
  return { id, received: upload.received + written.size };
}

async function appendWritten(
  platform: Platform,
  repository: LiveRepository,
  upload: Selectable<UploadRow>,
  written: WrittenObject,
): Promise<void> {
  try {
    await transact(platform, async (platform) => {
      const { db, now } = platform;
      const row = await db
        .updateTable('uploads')
        .set({
          received: sql`received + ${written.size}`,
          version: sql`version + 1`,
          expires_at: now() + idleMs,
        })
        .where('id', '=', upload.id)
        .where('version', '=', upload.version)
        .where('started_at', '>', now() - uploadLifeMs)
        .returning('id')
        .executeTakeFirst();
      if (!row) throw await lostRace(platform, upload.id);
      await sealObject(platform, written.key, written.size);
      await db
        .insertInto('upload_parts')
        .values({ upload_id: upload.id, number: upload.version, object_key: written.key, size: written.size })
        .execute();
      await release(platform, repository.registry.id, 0, written.reserved - written.size);
    });
  } catch (error) {
    await dropObject(platform, written.key);
    throw error;
  }
  platform.local.writers.delete(written.key);
}

/** Someone else moved the upload meanwhile: says where it stands now. */
export async function lostRace({ db }: Platform, id: string): Promise<Failure> {
  const row = await db.selectFrom('uploads').select('received').where('id', '=', id).executeTakeFirst();
  return row ? outOfOrder(row.received) : uploadUnknown();
}

/** The spec's Range is inclusive and without a unit; it holds for PATCH and for the closing PUT. */
export function requireInOrder(upload: Selectable<UploadRow>, { body, range }: Chunk): void {
  if (!range) return;
  if (range.start !== upload.received) throw outOfOrder(upload.received);
  if (body.length !== undefined && body.length !== range.end - range.start + 1) {
    throw new Failure(
      'invalid',
      `Content-Range names ${range.end - range.start + 1} bytes, Content-Length ${body.length}. Make them agree.`,
      { about: 'size' },
    );
  }
  // Without a Content-Length the range is the announcement, and the body must keep it.
  body.length ??= range.end - range.start + 1;
}

function outOfOrder(received: number): Failure {
  return new Failure('range', `The upload holds ${received} bytes. Go on at byte ${received}.`, {
    about: 'upload',
    received,
  });
}

export function tooManyParts(): Failure {
  return new Failure('invalid', `An upload may come in at most ${partsMax} chunks. Start again with larger ones.`, {
    about: 'upload',
  });
}

type RunningHash = { algorithm: DigestAlgorithm; hash: Hash };

/**
 * The hash of all bytes so far, if this process kept it for exactly this version. It is taken out: a chunk that fails
 * half-way has spoilt it. A fresh upload has the empty hash.
 */
export function takeRunningHash({ local }: Platform, upload: Selectable<UploadRow>): RunningHash | undefined {
  const kept = local.uploadHashes.get(upload.id);
  local.uploadHashes.delete(upload.id);
  if (kept?.version === upload.version) return kept;
  return upload.received === 0 ? { algorithm: 'sha256', hash: createHash('sha256') } : undefined;
}

/** Marks an upload as being worked on, so that `renewUploads` keeps it alive under a slow body or a long join. */
export async function whileActive<T>({ local }: Platform, id: string, work: () => Promise<T>): Promise<T> {
  local.activeUploads.set(id, (local.activeUploads.get(id) ?? 0) + 1);
  try {
    return await work();
  } finally {
    const left = (local.activeUploads.get(id) ?? 1) - 1;
    if (left === 0) local.activeUploads.delete(id);
    else local.activeUploads.set(id, left);
  }
}

const renewalBatch = 500;

/** Each minute, beside `renewWriters`. */
export async function renewUploads(platform: Platform): Promise<void> {
  const ids = [...platform.local.activeUploads.keys()];
  for (let i = 0; i < ids.length; i += renewalBatch) {
    // Two replicas may renew the same uploads, each in its order.
    await transact(platform, ({ db, now }) =>
      db
        .updateTable('uploads')
        .set({ expires_at: now() + idleMs })
        .where('id', 'in', ids.slice(i, i + renewalBatch))
        .execute(),
    );
  }
  await forgetEndedUploads(platform);
}

/** Hashes of uploads that another replica ended would stay for ever. */
async function forgetEndedUploads({ db, local }: Platform): Promise<void> {
  const ids = [...local.uploadHashes.keys()];
  for (let i = 0; i < ids.length; i += renewalBatch) {
    const batch = ids.slice(i, i + renewalBatch);
    const rows = await db.selectFrom('uploads').select('id').where('id', 'in', batch).execute();
    const alive = new Set(rows.map((row) => row.id));
    for (const id of batch) if (!alive.has(id)) local.uploadHashes.delete(id);
  }
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
