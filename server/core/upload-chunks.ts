import { createHash, type Hash } from 'node:crypto';
import { type Selectable, sql } from 'kysely';
import type { Actor } from './actors.ts';
import type { DigestAlgorithm } from './digest.ts';
import { Failure } from './failure.ts';
import { type Body, type WrittenObject, writeObject } from './object-writing.ts';
import { dropObject, sealObject } from './objects.ts';
import type { Platform } from './platform.ts';
import type { LiveRepository } from './registry-access.ts';
import type { UploadRow } from './schema.ts';
import { release } from './sizes.ts';
import { transact } from './transact.ts';
import { whileActive } from './upload-renewal.ts';
import { getUpload, idleMs, type UploadState, uploadLifeMs, uploadUnknown } from './uploads.ts';

/** First and last byte, as the client claims them. */
export type ChunkRange = { start: number; end: number };
export type Chunk = { body: Body; range?: ChunkRange | undefined };

/** One-byte chunks must not become a million objects. */
const partsMax = 10_000;

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

function tooManyParts(): Failure {
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
