import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  UploadPartCommand,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3';
import { Failure } from '#core/failure.ts';
import type { ByteRange } from '#core/platform.ts';
import { addressOf, type Bucket, workMs } from './s3-bucket.ts';
import { isNoSuchUpload, rethrow } from './s3-errors.ts';
import { type Gathered, pieceRoom } from './s3-gather.ts';
import { findSize } from './s3-read.ts';

/** Bytes to send, or a range of another object for the server to copy. All but the last have at least `pieceBytesMin`. */
export type Piece = Pick<Gathered, 'bytes' | 'release'> | { from: string; range: ByteRange };

/** What S3 demands of every part but the last. */
export const pieceBytesMin = 5 * 1024 * 1024;
const piecesMax = 10_000;
/** Of one object at a time; and one of each while some wait for room. */
const inFlightMax = 4;

/**
 * Makes an object of pieces, in order. If they break off, the upload is aborted once nothing of it is on its way any more.
 * What remains even so (the abort failed, or this process died) is found by the object's key: see `abortUploads`.
 */
export async function writePieces(bucket: Bucket, key: string, pieces: AsyncIterable<Piece>): Promise<number> {
  const { uploadId, isOnly } = await begin(bucket, key);
  const stop = new AbortController();
  const parts: CompletedPart[] = [];
  const inFlight = new Set<Promise<unknown>>();
  let size = 0;
  let failure: unknown;

  function start(piece: Piece): void {
    const PartNumber = parts.push({});
    const part = { ...addressOf(bucket, key), UploadId: uploadId, PartNumber };
    const sent = sendPiece(bucket, key, part, piece, stop.signal)
      .then((ETag) => void Object.assign(parts[PartNumber - 1] as CompletedPart, { PartNumber, ETag }))
      .catch((error) => {
        failure ??= error;
      })
      .finally(() => inFlight.delete(sent));
    inFlight.add(sent);
    size += 'bytes' in piece ? piece.bytes.length : piece.range.end - piece.range.start + 1;
  }

  try {
    for await (const piece of pieces) {
      start(piece);
      while (failure === undefined && inFlight.size >= (pieceRoom.isTight() ? 1 : inFlightMax)) {
        await Promise.race(inFlight);
      }
      if (failure !== undefined) throw failure;
    }
    await Promise.all(inFlight);
    if (failure !== undefined) throw failure;
    await complete(bucket, key, uploadId, parts, size);
    // Nobody will look for others of this key once it is whole; where we cannot either, it must not count as whole.
    if (!isOnly) await abortUploads(bucket, key);
    return size;
  } catch (error) {
    // A part that is still being stored when the upload is aborted may outlive it. Where the store is well, wait for it.
    if (failure !== undefined) stop.abort();
    await Promise.all(inFlight);
    // The error that brought us here says more than one of the abort would.
    await abort(bucket, key, uploadId).catch(() => {});
    throw isNoSuchUpload(error) ? uploadTaken(error) : error;
  }
}

/** `isOnly` unless it was asked for more than once: then an answer may have been lost, and with it the id of an upload. */
async function begin(bucket: Bucket, key: string): Promise<{ uploadId: string; isOnly: boolean }> {
  const command = new CreateMultipartUploadCommand(addressOf(bucket, key));
  const { UploadId: uploadId, $metadata } = await bucket.client.send(command).catch(rethrow);
  if (uploadId === undefined) throw new Error(`The store did not name the upload of ${key}.`);
  return { uploadId, isOnly: $metadata.attempts === 1 };
}

type Part = { Bucket: string; Key: string; UploadId: string; PartNumber: number };

async function sendPiece(bucket: Bucket, key: string, part: Part, piece: Piece, abortSignal: AbortSignal) {
  if ('from' in piece) return copyPiece(bucket, part, piece, abortSignal);
  const { UploadId: uploadId, PartNumber: number } = part;
  let isUnread = false;
  try {
    if (number > piecesMax) throw tooManyPieces();
    const command = new UploadPartCommand({ ...part, Body: piece.bytes, ContentLength: piece.bytes.length });
    const etag =
      (await bucket.quick.putPart(key, { uploadId, number }, piece.bytes)) ??
      (await bucket.client.send(command, { abortSignal }).catch(rethrow)).ETag;
    // Only now: a request that failed may still hold the memory.
    isUnread = true;
    return etag;
  } finally {
    piece.release(isUnread);
  }
}

type Copy = Extract<Piece, { from: string }>;

async function copyPiece(bucket: Bucket, part: Part, { from, range }: Copy, abortSignal: AbortSignal) {
  const { Bucket: name, Key } = addressOf(bucket, from);
  const { start, end } = range;
  const source = `${name}/${Key.split('/').map(encodeURIComponent).join('/')}`;
  const command = new UploadPartCopyCommand({ ...part, CopySource: source, CopySourceRange: `bytes=${start}-${end}` });
  const options = { abortSignal, requestTimeout: workMs(end - start + 1) };
  const { CopyPartResult } = await bucket.patient.send(command, options).catch(rethrow);
  return CopyPartResult?.ETag;
}

async function complete(bucket: Bucket, key: string, UploadId: string, Parts: CompletedPart[], size: number) {
  const command = new CompleteMultipartUploadCommand({
    ...addressOf(bucket, key),
    UploadId,
    MultipartUpload: { Parts },
  });
  try {
    // Some servers put the parts together before they answer.
    await bucket.patient.send(command, { requestTimeout: workMs(size) });
  } catch (error) {
    // The answer to the first attempt may have been lost. Nobody else writes this key.
    if (isNoSuchUpload(error) && (await findSize(bucket, key)) === size) return;
    rethrow(error);
  }
}

async function abort(bucket: Bucket, key: string, UploadId: string): Promise<void> {
  try {
    await bucket.client.send(new AbortMultipartUploadCommand({ ...addressOf(bucket, key), UploadId }));
  } catch (error) {
    if (!isNoSuchUpload(error)) rethrow(error);
  }
}

/** Aborts whatever uploads of exactly this key have not ended: with them go parts that no listing of objects shows. */
export async function abortUploads(bucket: Bucket, key: string): Promise<void> {
  const { Bucket: name, Key } = addressOf(bucket, key);
  let after: { KeyMarker?: string | undefined; UploadIdMarker?: string | undefined } = {};
  for (;;) {
    const page = await bucket.client
      .send(new ListMultipartUploadsCommand({ Bucket: name, Prefix: Key, ...after }))
      .catch(rethrow);
    for (const upload of page.Uploads ?? []) {
      if (upload.Key === Key && upload.UploadId !== undefined) await abort(bucket, key, upload.UploadId);
    }
    if (!page.IsTruncated || page.NextKeyMarker === undefined) return;
    after = { KeyMarker: page.NextKeyMarker, UploadIdMarker: page.NextUploadIdMarker };
  }
}

/** A writer that was silent for minutes was given up, and what it had written is gone. It is not to blame for that. */
function uploadTaken(cause: unknown): Failure {
  const sentence = 'The upload was interrupted for too long and its bytes were dropped. Send it again.';
  return Object.assign(new Failure('unavailable', sentence, { about: 'upload', retryAfterSeconds: 1 }), { cause });
}

function tooManyPieces(): Failure {
  const sentence = 'The upload is larger than the storage can take as one object. Divide it into smaller layers.';
  return new Failure('too_large', sentence, { about: 'upload' });
}
