import { close, fstat, open, read } from 'node:fs';
import { Readable } from 'node:stream';
import { promisify } from 'node:util';
import type { BlobStream, ByteRange } from '#core/platform.ts';

const chunkBytes = 512 * 1024;
const spareChunksMax = 32;
/** Chunks that were given back. Left to the collector, fast reads would make it run all the time. */
const spareChunks: Buffer[] = [];

/**
 * Opens the file before anything is promised: it stays readable when it is unlinked meanwhile. Undefined only if it is
 * definitely not there. A file that ends before the range does is an error of the stream, never a short answer.
 */
export async function openFileStream(path: string, range?: ByteRange): Promise<BlobStream | undefined> {
  const fd = await openIfThere(path);
  if (fd === undefined) return undefined;
  try {
    return streamOf(fd, range ?? { start: 0, end: (await fileStat(fd)).size - 1 });
  } catch (error) {
    close(fd);
    throw error;
  }
}

const openFile = promisify(open);
const fileStat = promisify(fstat);

async function openIfThere(path: string): Promise<number | undefined> {
  try {
    return await openFile(path, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** `fs.createReadStream` does the same with twice the steps per chunk. */
function streamOf(fd: number, { start, end }: ByteRange): BlobStream {
  let position = start;
  const stream = new Readable({
    highWaterMark: chunkBytes,
    read() {
      const length = Math.min(chunkBytes, end + 1 - position);
      if (length <= 0) return void this.push(null);
      read(fd, takeChunk(length), 0, length, position, (error, count, buffer) => {
        if (error) return void this.destroy(error);
        if (count === 0) return void this.destroy(new Error(`A stored object ends at ${position}, before ${end + 1}.`));
        position += count;
        this.push(count === buffer.length ? buffer : buffer.subarray(0, count));
      });
    },
    destroy(error, callback) {
      close(fd, (closeError) => callback(error ?? closeError));
    },
  });
  return Object.assign(stream, { giveBack });
}

/** Most blobs are small: those leave the big chunks alone. */
function takeChunk(length: number): Buffer {
  if (length <= chunkBytes / 8) return Buffer.allocUnsafeSlow(length);
  return spareChunks.pop() ?? Buffer.allocUnsafeSlow(chunkBytes);
}

function giveBack({ buffer }: Uint8Array): void {
  if (buffer.byteLength === chunkBytes && spareChunks.length < spareChunksMax) spareChunks.push(Buffer.from(buffer));
}
