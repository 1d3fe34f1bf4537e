import { PutObjectCommand } from '@aws-sdk/client-s3';
import { addressOf, type Bucket } from './s3-bucket.ts';
import { rethrow } from './s3-errors.ts';
import { type Gathered, newGathering, pieceBytes } from './s3-gather.ts';
import { type Piece, writePieces } from './s3-multipart.ts';

const largePieceBytes = 64 * 1024 * 1024;
/** So many of the usual size, then large ones: 10,000 are all that an object may have, and 390 GB need as many. */
const usualPieces = 5_000;

/** Writes a stream without a byte on our disk. Holds at most a few pieces in memory. */
export async function writeStream(bucket: Bucket, key: string, bytes: AsyncIterable<Uint8Array>): Promise<number> {
  const pieces = cutIntoPieces(bytes);
  try {
    const first = await pieces.next();
    if (first.done) throw new Error('A stream has at least one piece.');
    try {
      if (!first.value.isLast) return await writePieces(bucket, key, startingWith(first.value, pieces));
      const size = await putObject(bucket, key, first.value.bytes);
      first.value.release(true);
      return size;
    } catch (error) {
      first.value.release(false);
      throw error;
    }
  } finally {
    await pieces.return(undefined);
  }
}

/** One request is all or nothing, and sent again as a whole if its answer is lost. */
export async function putObject(bucket: Bucket, key: string, bytes: Buffer): Promise<number> {
  const address = addressOf(bucket, key);
  if (await bucket.quick.put(key, bytes)) return bytes.length;
  await bucket.client
    .send(new PutObjectCommand({ ...address, Body: bytes, ContentLength: bytes.length }))
    .catch(rethrow);
  return bytes.length;
}

type CutPiece = Gathered & { isLast: boolean };

async function* startingWith(first: Piece, rest: AsyncIterable<Piece>): AsyncGenerator<Piece> {
  yield first;
  yield* rest;
}

/** Each piece is full but the last, which is empty only if there is nothing at all. Who takes one releases it. */
async function* cutIntoPieces(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<CutPiece, undefined> {
  let piece = newGathering(pieceBytes);
  let count = 0;
  try {
    for await (let chunk of bytes) {
      for (let room = piece.room(); chunk.length > room; room = piece.room()) {
        // A full piece goes out only when more has come: otherwise it is the last one.
        await piece.add(chunk.subarray(0, room));
        const full = piece.end();
        piece = newGathering(++count < usualPieces ? pieceBytes : largePieceBytes);
        yield { ...full, isLast: false };
        chunk = chunk.subarray(room);
      }
      await piece.add(chunk);
    }
    const last = piece.end();
    piece = newGathering(0);
    yield { ...last, isLast: true };
    return undefined;
  } finally {
    piece.release(false);
  }
}
