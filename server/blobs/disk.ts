import { type FileHandle, mkdir, open, rename, stat, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { Failure } from '#core/failure.ts';
import type { BlobStore } from '#core/platform.ts';
import { newDirectorySync } from './directory-sync.ts';
import { translateDiskError } from './disk-errors.ts';
import { openFileStream } from './disk-read.ts';
import { newFileWriter } from './disk-write.ts';
import { requireObjectKey } from './object-key.ts';

// An object `ab/ab12…` is the file `<dir>/ab/ab12…`; while it is written it is `ab12….part` beside it. The name is given
// by a rename, after the bytes are synced and before the folder is: what has its name is whole, after a power cut too.

type Store = { dir: string; syncDirectory: (path: string) => Promise<void> };

/** The blob store on a local (or shared) disk. Makes the directory where it is missing. */
export async function openDiskStore(dir: string): Promise<BlobStore> {
  await mkdir(dir, { recursive: true, mode: 0o700 }).catch(rethrow);
  const store = { dir, syncDirectory: newDirectorySync() };
  return {
    write: (key, bytes) => write(store, key, bytes).catch(rethrow),
    join: (key, parts) => joinParts(store, key, parts).catch(rethrow),
    read: async (key, range) => openFileStream(pathOf(store, key), range),
    size: async (key) => findSize(pathOf(store, key)),
    remove: (key) => remove(store, key),
    check: () => check(store).catch(rethrow),
  };
}

const pathOf = ({ dir }: Store, key: string) => join(dir, requireObjectKey(key));

const temporaryOf = (path: string) => `${path}.part`;

async function write(store: Store, key: string, bytes: AsyncIterable<Uint8Array>): Promise<number> {
  const path = pathOf(store, key);
  const temporary = temporaryOf(path);
  const file = await create(store, temporary);
  try {
    const size = await fill(file, bytes);
    await rename(temporary, path).catch(explainRemoval);
    await store.syncDirectory(dirname(path));
    return size;
  } catch (error) {
    await unlinkIfThere(temporary);
    throw error;
  }
}

/** A writer that was silent for minutes was given up, and what it had written is gone. It is not to blame for that. */
function explainRemoval(error: NodeJS.ErrnoException): never {
  if (error.code !== 'ENOENT') throw error;
  const sentence = 'The upload was interrupted for too long and its bytes were dropped. Send it again.';
  throw Object.assign(new Failure('unavailable', sentence, { about: 'upload', retryAfterSeconds: 1 }), {
    cause: error,
  });
}

async function fill(file: FileHandle, bytes: AsyncIterable<Uint8Array>): Promise<number> {
  const writer = newFileWriter(file);
  try {
    for await (const chunk of bytes) {
      const full = writer.add(chunk);
      if (full) await full;
    }
    return await writer.end();
  } finally {
    await writer.close();
  }
}

async function create(store: Store, path: string): Promise<FileHandle> {
  try {
    return await open(path, 'wx', 0o600);
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
  const folder = dirname(path);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await store.syncDirectory(dirname(folder));
  return open(path, 'wx', 0o600);
}

async function joinParts(store: Store, key: string, parts: readonly string[]): Promise<number | undefined> {
  let isPartMissing = false;
  async function* bytes(): AsyncGenerator<Uint8Array> {
    for (const part of parts) {
      const stream: Readable | undefined = await openFileStream(pathOf(store, part));
      isPartMissing = stream === undefined;
      if (!stream) throw new Error(`The part ${part} is not in the store.`);
      yield* stream;
    }
  }
  try {
    return await write(store, key, bytes());
  } catch (error) {
    if (isPartMissing) return undefined;
    throw error;
  }
}

async function findSize(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Synced like a write: the row goes next, and an object that came back after a power cut would have none. */
async function remove(store: Store, key: string): Promise<void> {
  const path = pathOf(store, key);
  const gone = [await unlinkIfThere(path), await unlinkIfThere(temporaryOf(path))];
  if (gone.includes(true)) await store.syncDirectory(dirname(path));
}

async function unlinkIfThere(path: string): Promise<boolean> {
  try {
    await unlink(path);
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

/** Always the same name: what a killed process leaves of it, the next check takes away. */
async function check({ dir }: Store): Promise<void> {
  const path = join(dir, '.check');
  const file = await open(path, 'w', 0o600);
  try {
    await file.write(Buffer.alloc(4096, 1));
    await file.datasync();
  } finally {
    await file.close();
    await unlinkIfThere(path);
  }
}

const isMissing = (error: unknown) => (error as NodeJS.ErrnoException).code === 'ENOENT';

function rethrow(error: unknown): never {
  throw translateDiskError(error);
}
