import { PutObjectCommand } from '@aws-sdk/client-s3';
import { addressOf, type Bucket } from './s3-bucket.ts';
import { rethrow } from './s3-errors.ts';
import { type Piece, writePieces } from './s3-multipart.ts';

const smallPiece = 8 * 1024 * 1024;
const largePiece = 64 * 1024 * 1024;
/** So many small ones, then large ones: 10,000 are all that an object may have, and 390 GB need as many. */
const smallPieces = 5_000;
const spareMax = 8;
/** Memory of pieces that were sent. Left to the collector, one fast upload would fill gigabytes before it ran. */
const spare: Buffer[] = [];

/** Writes a stream without a byte on our disk. Holds at most a few pieces in memory. */
export async function writeStream(bucket: Bucket, key: string, bytes: AsyncIterable<Uint8Array>): Promise<number> {
  const pieces = cutIntoPieces(bytes);
  try {
    const first = await pieces.next();
    if (first.done) throw new Error('A stream has at least one piece.');
    if (!first.value.isLast) return await writePieces(bucket, key, startingWith(first.value, pieces));
    return await putObject(bucket, key, first.value.bytes);
  } finally {
    await pieces.return(undefined);
  }
}

/** One request is all or nothing, and sent again as a whole if its answer is lost. */
export async function putObject({ client, ...bucket }: Bucket, key: string, bytes: Buffer): Promise<number> {
  const address = addressOf({ client, ...bucket }, key);
  await client.send(new PutObjectCommand({ ...address, Body: bytes, ContentLength: bytes.length })).catch(rethrow);
  return bytes.length;
}

type CutPiece = { bytes: Buffer; release: () => void; isLast: boolean };

async function* startingWith(first: Piece, rest: AsyncIterable<Piece>): AsyncGenerator<Piece> {
  yield first;
  yield* rest;
}

/** Each piece is full but the last, which is empty only if there is nothing at all. */
async function* cutIntoPieces(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<CutPiece, undefined> {
  let chunks: Uint8Array[] = [];
  let gathered = 0;
  let count = 0;
  for await (let chunk of bytes) {
    for (;;) {
      const room = (count < smallPieces ? smallPiece : largePiece) - gathered;
      if (chunk.length <= room) break;
      // A full piece goes out only when more has come: otherwise it is the last one.
      yield { ...gather([...chunks, chunk.subarray(0, room)], gathered + room), isLast: false };
      chunk = chunk.subarray(room);
      chunks = [];
      gathered = 0;
      count++;
    }
    chunks.push(chunk);
    gathered += chunk.length;
  }
  yield { ...gather(chunks, gathered), isLast: true };
  return undefined;
}

function gather(chunks: readonly Uint8Array[], length: number): { bytes: Buffer; release: () => void } {
  const bytes = takeMemory(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return { bytes, release: () => giveBack(bytes) };
}

function takeMemory(length: number): Buffer {
  return (length === smallPiece ? spare.pop() : undefined) ?? Buffer.allocUnsafeSlow(length);
}

function giveBack(bytes: Buffer): void {
  if (bytes.length === smallPiece && spare.length < spareMax) spare.push(bytes);
}
