// The end of an upload.
//
//   write   the last body, if there is one, as an object that is not appended yet: if finishing fails, the offset stands
//   claim   where several parts must be joined or read again, the version is raised first: no one else may append or end
//   check   the digest; a mismatch cancels the upload
//   join    several parts into one object; a single part simply is the blob
//   commit  one transaction: upload row out, link in, everything unused given back, the registry charged
//
// Holds at every crash: before the commit nothing is visible and all of it ends by expiry; after it everything is.

import { createHash } from 'node:crypto';
import { type Actor, requireStillMay } from './actors.ts';
import { algorithmOf, type Digest, toDigest } from './digest.ts';
import { Failure } from './failure.ts';
import { linkBlob, lockRepository } from './links.ts';
import { type Body, type WrittenObject, writeObject } from './object-writing.ts';
import { dropObject, sealObject, unref } from './objects.ts';
import type { Platform } from './platform.ts';
import { ensureRepository, type LiveRepository, lockForPush, type RepositoryAccess } from './registry-access.ts';
import { charge } from './sizes.ts';
import { transact } from './transact.ts';
import { type Chunk, lostRace, requireInOrder, takeRunningHash } from './upload-chunks.ts';
import { joinParts, readParts, type UploadSession } from './upload-parts.ts';
import { whileActive } from './upload-renewal.ts';
import { endUpload, getUpload, takeUpload, uploadUnknown } from './uploads.ts';

export type FinishedBlob = { digest: Digest; size: number };

/** Uploads a whole blob in one request, without a session. Throws `invalid` about the digest on a mismatch. */
export async function putBlob(
  platform: Platform,
  actor: Actor,
  access: RepositoryAccess,
  { digest, body }: { digest: Digest; body: Body },
): Promise<FinishedBlob> {
  const found = await ensureRepository(platform, access);
  const hash = createHash(algorithmOf(digest));
  const written = await writeObject(platform, found.registry.id, body, hash);
  try {
    requireDigest(digest, toDigest(algorithmOf(digest), hash));
    await transact(platform, async (platform) => {
      const repository = await lockForPush(platform, found);
      await requireStillMay(platform, actor, repository.registry, 'push');
      await sealObject(platform, written.key, written.size);
      await commitBlob(platform, actor, repository, { digest, whole: written, reserved: written.reserved, unused: [] });
    });
  } catch (error) {
    await dropObject(platform, written.key);
    throw error;
  }
  platform.local.writers.delete(written.key);
  return { digest, size: written.size };
}

/**
 * Ends a session with its last body, if any. Throws `range` like `appendChunk`, `invalid` about the digest (the upload is
 * cancelled then), `not_found` if another request ended it first.
 */
export async function finishUpload(
  platform: Platform,
  actor: Actor,
  repository: LiveRepository,
  id: string,
  { digest, ...chunk }: Chunk & { digest: Digest },
): Promise<FinishedBlob> {
  return whileActive(platform, id, async () => {
    const session = await collectParts(platform, actor, repository, id, digest, chunk);
    try {
      const found = session.found ?? (await readParts(platform, session, digest));
      if (found !== digest) {
        await endUpload(platform, id, { version: session.version });
        requireDigest(digest, found);
      }
      return await commitSession(platform, actor, repository, session, digest);
    } catch (error) {
      for (const written of session.written) await dropObject(platform, written.key);
      throw error;
    }
  });
}

async function collectParts(
  platform: Platform,
  actor: Actor,
  repository: LiveRepository,
  id: string,
  digest: Digest,
  chunk: Chunk,
): Promise<UploadSession> {
  const upload = await getUpload(platform, actor, repository, id);
  requireInOrder(upload, chunk);
  const algorithm = algorithmOf(digest);
  const kept = takeRunningHash(platform, upload);
  const hash = upload.received === 0 ? createHash(algorithm) : kept?.algorithm === algorithm ? kept.hash : undefined;
  const session: UploadSession = { id, version: upload.version, parts: [], written: [], found: undefined };
  if (upload.received === 0 || chunk.body.length !== 0) {
    const last = await writeObject(platform, repository.registry.id, chunk.body, hash);
    if (last.size === 0 && upload.received > 0) await dropObject(platform, last.key);
    else session.written.push(last);
  }
  try {
    session.parts = await platform.db
      .selectFrom('upload_parts')
      .select(['object_key', 'size'])
      .where('upload_id', '=', id)
      .orderBy('number')
      .execute();
    if (session.parts.length + session.written.length > 1 || !hash) session.version = await claim(platform, session);
  } catch (error) {
    for (const written of session.written) await dropObject(platform, written.key);
    throw error;
  }
  session.found = hash && toDigest(algorithm, hash);
  return session;
}

/** Raises the version before minutes of reading and joining, so that nothing is appended, ended or expired meanwhile. */
async function claim(platform: Platform, session: UploadSession): Promise<number> {
  const row = await platform.db
    .updateTable('uploads')
    .set({ version: session.version + 1, expires_at: platform.now() + 10 * 60_000 })
    .where('id', '=', session.id)
    .where('version', '=', session.version)
    .returning('version')
    .executeTakeFirst();
  if (!row) throw await lostRace(platform, session.id);
  return row.version;
}

async function commitSession(
  platform: Platform,
  actor: Actor,
  repository: LiveRepository,
  session: UploadSession,
  digest: Digest,
): Promise<FinishedBlob> {
  const whole = await joinParts(platform, repository.registry.id, session);
  const sealed = session.written;
  await transact(platform, async (platform) => {
    await lockRepository(platform, repository.id);
    await requireStillMay(platform, actor, repository.registry, 'push');
    const row = await platform.db
      .updateTable('uploads')
      .set({ version: session.version + 1 })
      .where('id', '=', session.id)
      .where('version', '=', session.version)
      .returning('id')
      .executeTakeFirst();
    if (!row) throw uploadUnknown();
    const parts = await takeUpload(platform, session.id);
    const unused = [...parts.keys, ...sealed.map((w) => w.key)].filter((key) => key !== whole.key);
    const reserved = parts.size + sealed.reduce((sum, w) => sum + w.reserved, 0);
    for (const written of sealed) await sealObject(platform, written.key, written.size);
    await commitBlob(platform, actor, repository, { digest, whole, reserved, unused });
  });
  for (const written of sealed) platform.local.writers.delete(written.key);
  platform.local.uploadHashes.delete(session.id);
  return { digest, size: whole.size };
}

type Commit = { digest: Digest; whole: WrittenObject; reserved: number; unused: readonly string[] };

/** Inside the transaction: the whole becomes a blob of the repository, the rest is given back. */
async function commitBlob(platform: Platform, actor: Actor, repository: LiveRepository, commit: Commit): Promise<void> {
  const { digest, whole, reserved, unused } = commit;
  const registryId = repository.registry.id;
  const blob = { digest, key: whole.key, size: whole.size };
  const grown = await linkBlob(platform, { id: repository.id, registryId }, blob, actor.holder);
  await unref(platform, unused, platform.now());
  await charge(platform, registryId, grown, reserved);
}

function requireDigest(expected: Digest, found: Digest): void {
  if (expected === found) return;
  throw new Failure('invalid', `The content's digest is ${found}, not ${expected}. Nothing was kept.`, {
    about: 'digest',
  });
}
