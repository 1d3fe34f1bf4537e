import type { Bucket } from './s3-bucket.ts';
import { isNoSuchKey } from './s3-errors.ts';
import { type Gathered, pieceRoom } from './s3-gather.ts';
import { type PlannedPiece, planJoin, type Source, type SourceRange } from './s3-join-plan.ts';
import { type Piece, pieceBytesMin, writePieces } from './s3-multipart.ts';
import { findSize, readBytes } from './s3-read.ts';
import { putObject } from './s3-write.ts';

/** S3 copies at most 5 GiB at once; smaller copies run side by side, and each ends before its time is over. */
const copyBytesMax = 512 * 1024 * 1024;
const questionsAtOnce = 32;

/** Undefined, and no object, if a part is missing. */
export async function joinObjects(bucket: Bucket, key: string, parts: readonly string[]): Promise<number | undefined> {
  const sources = await findSources(bucket, parts);
  if (!sources) return undefined;
  const plan = planJoin(sources, { min: pieceBytesMin, max: copyBytesMax });
  try {
    const [only, ...others] = plan;
    if (!only) return await putObject(bucket, key, Buffer.alloc(0));
    if ('send' in only && others.length === 0) return await putGathered(bucket, key, only.send);
    return await writePieces(bucket, key, toPieces(bucket, plan));
  } catch (error) {
    if (error === partMissing || isNoSuchKey(error)) return undefined;
    throw error;
  }
}

async function putGathered(bucket: Bucket, key: string, ranges: readonly SourceRange[]): Promise<number> {
  const { bytes, release } = await gather(bucket, ranges);
  try {
    return await putObject(bucket, key, bytes);
  } finally {
    release(false);
  }
}

/** Never leaves this file. */
const partMissing = new Error('a part is not in the store');

async function findSources(bucket: Bucket, parts: readonly string[]): Promise<Source[] | undefined> {
  const sources: Source[] = [];
  for (let i = 0; i < parts.length; i += questionsAtOnce) {
    const batch = parts.slice(i, i + questionsAtOnce);
    const sizes = await Promise.all(batch.map((part) => findSize(bucket, part)));
    for (const [n, size] of sizes.entries()) {
      if (size === undefined) return undefined;
      sources.push({ key: batch[n] ?? '', size });
    }
  }
  return sources;
}

async function* toPieces(bucket: Bucket, plan: readonly PlannedPiece[]): AsyncGenerator<Piece> {
  for (const piece of plan) yield 'copy' in piece ? piece.copy : await gather(bucket, piece.send);
}

async function gather(bucket: Bucket, ranges: readonly SourceRange[]): Promise<Gathered> {
  const room = await pieceRoom.take(pieceBytesMin);
  try {
    return { bytes: await readAll(bucket, ranges), release: () => room.giveBack() };
  } catch (error) {
    room.giveBack();
    throw error;
  }
}

/** As much as a piece has at least. It may lie in thousands of chunks. */
async function readAll(bucket: Bucket, ranges: readonly SourceRange[]): Promise<Buffer> {
  const read: Buffer[] = [];
  for (let i = 0; i < ranges.length; i += questionsAtOnce) {
    const batch = ranges.slice(i, i + questionsAtOnce);
    for (const bytes of await Promise.all(batch.map(({ from, range }) => readBytes(bucket, from, range)))) {
      if (!bytes) throw partMissing;
      read.push(bytes);
    }
  }
  return Buffer.concat(read);
}
