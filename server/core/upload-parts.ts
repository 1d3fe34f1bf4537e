// The bytes of an upload that is about to end: its parts, and what the last request brought.
//
// Reading them takes minutes in which no lock is held. Whoever ends the upload meanwhile takes its parts away, and whoever
// gives up a silent writer what that one wrote: then bytes are missing, and the client hears what happened to its upload.

import { createHash } from 'node:crypto';
import { algorithmOf, type Digest, toDigest } from './digest.ts';
import type { WrittenObject } from './object-writing.ts';
import { beginObject, writerLost } from './objects.ts';
import type { ByteRange, Platform } from './platform.ts';
import { readSteadily } from './steady-reading.ts';
import { uploadUnknown } from './uploads.ts';

export type UploadSession = {
  id: string;
  /** Of the row, as this request last saw or claimed it. */
  version: number;
  parts: readonly { object_key: string; size: number }[];
  /** Objects this request wrote and must drop if it fails. */
  written: WrittenObject[];
  /** The digest of all bytes, where it was computed on the way. */
  found: Digest | undefined;
};

const objectsOf = ({ parts, written }: UploadSession): { key: string; size: number }[] => [
  ...parts.map(({ object_key, size }) => ({ key: object_key, size })),
  ...written,
];

/** Another replica took the chunks, or this one restarted: the parts are the truth. */
export async function readParts(platform: Platform, session: UploadSession, digest: Digest): Promise<Digest> {
  const hash = createHash(algorithmOf(digest));
  for (const { key, size } of objectsOf(session)) {
    const reopen = async (range: ByteRange) => {
      const stream = await platform.blobs.read(key, range);
      if (!stream) throw await explainMissing(platform, session);
      return stream;
    };
    const range = { start: 0, end: size - 1 };
    for await (const bytes of readSteadily({ opened: await reopen(range), range, reopen })) hash.update(bytes);
  }
  return toDigest(algorithmOf(digest), hash);
}

/** One object of all parts. A joined one reserves nothing: its parts still do. */
export async function joinParts(
  platform: Platform,
  registryId: string,
  session: UploadSession,
): Promise<WrittenObject> {
  const [only, ...others] = session.written;
  if (session.parts.length === 0 && only && others.length === 0) return only;
  const [part, ...rest] = session.parts;
  if (part && rest.length === 0 && !only) return { key: part.object_key, size: part.size, reserved: 0 };
  const objects = objectsOf(session);
  const expected = objects.reduce((sum, { size }) => sum + size, 0);
  const parts = objects.map(({ key }) => key);
  const key = await beginObject(platform, registryId, 0);
  const joined: WrittenObject = { key, size: expected, reserved: 0 };
  session.written.push(joined);
  const size = await platform.blobs.join(key, parts);
  if (size === undefined) throw await explainMissing(platform, session);
  if (size !== expected) throw new Error(`joining ${parts.length} parts gave ${size} bytes instead of ${expected}`);
  return joined;
}

/** Why bytes of the session are not in the store: it has ended, they were given up, or the store has lost them. */
async function explainMissing({ db }: Platform, { id, version, written }: UploadSession): Promise<Error> {
  const upload = await db
    .selectFrom('uploads')
    .select('id')
    .where('id', '=', id)
    .where('version', '=', version)
    .executeTakeFirst();
  if (!upload) return uploadUnknown();
  for (const { key } of written) {
    const object = await db.selectFrom('objects').select('state').where('key', '=', key).executeTakeFirst();
    if (object?.state !== 'writing') return writerLost();
  }
  return new Error(`bytes of the upload ${id} are missing in the store`);
}
