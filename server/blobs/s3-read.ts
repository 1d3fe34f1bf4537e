import type { Readable } from 'node:stream';
import { GetObjectCommand, HeadObjectCommand } from '@aws-sdk/client-s3';
import type { BlobStream, ByteRange } from '#core/platform.ts';
import { readSteadily } from '#core/steady-reading.ts';
import { requireObjectKey } from './object-key.ts';
import { addressOf, type Bucket } from './s3-bucket.ts';
import { isBareRefusal, isNoSuchKey, rethrow } from './s3-errors.ts';

/** To the head of an answer: somebody waits for it, and each of a few attempts has as long. */
const answer = { requestTimeout: 15_000 };
/** How long the server may send nothing while somebody waits for bytes. */
const stallMs = 15_000;

/** Undefined only if the object is definitely not there. An answer of another length than asked for is an error. */
export async function openObjectStream(
  bucket: Bucket,
  key: string,
  range?: ByteRange,
  stalledAfterMs = stallMs,
): Promise<BlobStream | undefined> {
  const length = range && range.end - range.start + 1;
  // HTTP has no range of nothing.
  const asked = range && length ? { Range: `bytes=${range.start}-${range.end}` } : {};
  const quick = await bucket.quick.get(requireObjectKey(key), asked.Range);
  if (quick && (length === undefined || quick.length === length)) {
    breakOffStalled(quick.body, quick.body.received, stalledAfterMs);
    return quick.body;
  }
  // What the server did not say plainly is asked again.
  quick?.body.destroy();
  try {
    const { Body, ContentLength } = await bucket.patient.send(
      new GetObjectCommand({ ...addressOf(bucket, key), ...asked }),
      answer,
    );
    const body = Body as unknown as Readable;
    if (length !== undefined && ContentLength !== length) {
      body.destroy();
      throw new Error(`The store gave ${ContentLength} bytes of the object ${key}, not the ${length} asked for.`);
    }
    const { socket } = body as Readable & { socket?: { bytesRead: number } };
    breakOffStalled(body, () => socket?.bytesRead ?? 0, stalledAfterMs);
    return body;
  } catch (error) {
    if (isNoSuchKey(error)) return undefined;
    rethrow(error);
  }
}

/** Bytes that wait to be read mean that our client is slow, not the store. */
function breakOffStalled(body: Readable, bytesReceived: () => number, afterMs: number): void {
  let seen = -1;
  const timer = setInterval(() => {
    const received = bytesReceived();
    if (received === seen && body.readableLength === 0) body.destroy(new Error('The store has stopped sending.'));
    seen = received;
  }, afterMs);
  timer.unref();
  body.once('close', () => clearInterval(timer));
}

export async function findSize(bucket: Bucket, key: string): Promise<number | undefined> {
  const size = await bucket.quick.size(requireObjectKey(key));
  if (size !== undefined) return size;
  try {
    const { ContentLength } = await bucket.client.send(new HeadObjectCommand(addressOf(bucket, key)), answer);
    if (ContentLength === undefined) throw new Error(`The store does not say how long the object ${key} is.`);
    return ContentLength;
  } catch (error) {
    if (!isBareRefusal(error)) rethrow(error);
  }
  const stream = await openObjectStream(bucket, key);
  if (!stream) return undefined;
  stream.destroy();
  throw new Error(`The store answers GET but not HEAD of the object ${key}.`);
}

/** All bytes of a range, for joining; undefined if the object is not there. */
export async function readBytes(bucket: Bucket, key: string, range: ByteRange): Promise<Buffer | undefined> {
  const reopen = (rest: ByteRange) => openObjectStream(bucket, key, rest);
  const opened = await reopen(range);
  if (!opened) return undefined;
  const bytes = Buffer.allocUnsafe(range.end - range.start + 1);
  let at = 0;
  for await (const chunk of readSteadily({ opened, range, reopen })) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}
