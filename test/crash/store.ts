import { readdir } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { pause } from '../servers/child.ts';

/** What the rows and the store say about each other, read behind the server's back. */
export type StoreState = {
  rows: Map<string, { state: string; size: number }>;
  /** Keys of the files, a temporary file counting as its object's. */
  files: Set<string>;
  /** Of these, what nobody has finished: uploads in parts that are still open in a bucket. */
  unfinished: Set<string>;
};

const SETTLE_TIMEOUT_MS = 60_000;

export async function readDirectory(dataDir: string): Promise<StoreState> {
  // Files first: one that is written meanwhile has its row before it, so a row can never be missing by accident.
  const files = await listFiles(join(dataDir, 'objects'));
  const database = new DatabaseSync(join(dataDir, 'lading.db'), { readOnly: true });
  try {
    const rows = database.prepare('select key, state, size from objects').all();
    return {
      files,
      unfinished: new Set(),
      rows: new Map(rows.map(({ key, state, size }) => [String(key), { state: String(state), size: Number(size) }])),
    };
  } finally {
    database.close();
  }
}

async function listFiles(directory: string): Promise<Set<string>> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return new Set(paths.map((path) => relative(directory, path).replace(/\.part$/, '')));
}

/** All that is wrong with the state of a server at rest. Nothing may be written, every file has a row, every row a file. */
export function findStoreFaults({ rows, files, unfinished }: StoreState): string[] {
  const faults: string[] = [];
  for (const key of unfinished) if (rows.has(key)) faults.push(`object ${key} is still being written in parts`);
  for (const key of files) if (!rows.has(key)) faults.push(`file ${key} has no row in objects`);
  for (const [key, { state }] of rows) {
    if (state === 'writing') faults.push(`object ${key} is still being written`);
    if (state === 'stored' && !files.has(key)) faults.push(`object ${key} is stored but has no file`);
  }
  return faults;
}

/** Waits for the janitor: what a crash left half written is swept soon after the start. The faults that remain. */
export async function settle(read: () => Promise<StoreState>): Promise<string[]> {
  const deadline = Date.now() + SETTLE_TIMEOUT_MS;
  for (;;) {
    const faults = findStoreFaults(await read());
    if (faults.length === 0 || Date.now() > deadline) return faults;
    await pause(100);
  }
}

/** Of a store that is written all the time: what is wrong with it now and was a moment ago. A key is used once only. */
export async function findLastingFaults(read: () => Promise<StoreState>): Promise<string[]> {
  const faults = async () => findStoreFaults(await read()).filter((fault) => !fault.includes('still being written'));
  let lasting = new Set(await faults());
  for (let look = 0; look < 3 && lasting.size > 0; look++) {
    await pause(500);
    lasting = lasting.intersection(new Set(await faults()));
  }
  return [...lasting];
}
