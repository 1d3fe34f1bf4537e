import type { FileHandle } from 'node:fs/promises';

/** Gathers chunks and writes them in batches, one batch at a time while the next one fills. */
export type FileWriter = {
  /** Takes a chunk. A promise means: wait for it before the next chunk. Rejects when an earlier write failed. */
  add(chunk: Uint8Array): Promise<void> | undefined;
  /** Writes and syncs what is left; resolves with the size. */
  end(): Promise<number>;
  /** Closes the file when nothing works on it any more. Never rejects. */
  close(): Promise<void>;
};

const batchBytesMin = 256 * 1024;
const batchBytesMax = 1024 * 1024;
/** What all writers of the process may hold in batches that fill, and as much again in batches being written. */
const gatheredBytesMax = 32 * 1024 * 1024;
const syncEveryBytes = 64 * 1024 * 1024;

let writers = 0;

export function newFileWriter(file: FileHandle): FileWriter {
  let batch: Uint8Array[] = [];
  let batchBytes = 0;
  let size = 0;
  let unsynced = 0;
  let writing: Promise<void> | undefined;
  let syncing: Promise<void> | undefined;
  writers++;

  async function writeBatch(): Promise<void> {
    const chunks = batch;
    const bytes = batchBytes;
    batch = [];
    batchBytes = 0;
    await writing;
    writing = writeAll(file, chunks, bytes);
    // Whoever waits for it hears of a failure; until then it must not count as unhandled.
    writing.catch(() => {});
    size += bytes;
    unsynced += bytes;
    if (unsynced >= syncEveryBytes) syncEarly();
  }

  /** So that the last sync finds little to do, and no more than this lies dirty in memory. */
  function syncEarly(): void {
    if (syncing) return;
    unsynced = 0;
    const sync = file.datasync().then(() => {
      syncing = undefined;
    });
    sync.catch(() => {});
    syncing = sync;
  }

  return {
    add(chunk) {
      batch.push(chunk);
      batchBytes += chunk.byteLength;
      return batchBytes >= batchLimit() ? writeBatch() : undefined;
    },
    async end() {
      if (batchBytes > 0) await writeBatch();
      await writing;
      await syncing;
      await file.datasync();
      return size;
    },
    async close() {
      writers--;
      await Promise.allSettled([writing, syncing]);
      await file.close().catch(() => {});
    },
  };
}

const batchLimit = () => Math.min(batchBytesMax, Math.max(batchBytesMin, gatheredBytesMax / writers));

/** One call may write less than it was given. */
async function writeAll(file: FileHandle, chunks: Uint8Array[], bytes: number): Promise<void> {
  let { bytesWritten } = await file.writev(chunks);
  if (bytesWritten === bytes) return;
  for (const chunk of chunks) {
    let done = Math.min(bytesWritten, chunk.byteLength);
    bytesWritten -= done;
    while (done < chunk.byteLength) done += (await file.write(chunk, done)).bytesWritten;
  }
}
