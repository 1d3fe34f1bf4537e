import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** What tests see of a store behind its back, and do to it. The lists are complete: a test may ask what is *not* there. */
export type StoreView = {
  /** Whole objects and their sizes. */
  listObjects(): Promise<Map<string, number>>;
  /** Keys under which a write began and did not end: `.part` files, or multipart uploads, which no list of objects shows. */
  listUnfinished(): Promise<string[]>;
  readObject(key: string): Promise<Buffer>;
  /** Puts other bytes in its place, as a store has them that was damaged. */
  replaceObject(key: string, bytes: Uint8Array): Promise<void>;
  loseObject(key: string): Promise<void>;
  /** What a process leaves that ends in the middle of a write. */
  leaveUnfinished(key: string): Promise<void>;
};

/** Every key of which anything lies in the store. */
export async function listKeys(view: StoreView): Promise<Set<string>> {
  // Unfinished first: what is completed in between is seen as an object.
  const unfinished = await view.listUnfinished();
  return new Set([...unfinished, ...(await view.listObjects()).keys()]);
}

const ending = '.part';

/** A store on disk; empty where the directory is not there. */
export function lookIntoDirectory(dir: string): StoreView {
  const pathOf = (key: string) => join(dir, key);
  return {
    listObjects: async () => new Map([...listFiles(dir)].filter(([name]) => !name.endsWith(ending))),
    listUnfinished: async () =>
      [...listFiles(dir).keys()].filter((name) => name.endsWith(ending)).map((name) => name.slice(0, -ending.length)),
    readObject: async (key) => readFileSync(pathOf(key)),
    replaceObject: async (key, bytes) => writeFileSync(pathOf(key), bytes),
    loseObject: async (key) => rmSync(pathOf(key)),
    leaveUnfinished: async (key) => {
      mkdirSync(dirname(pathOf(key)), { recursive: true });
      writeFileSync(`${pathOf(key)}${ending}`, 'half');
    },
  };
}

function listFiles(dir: string): Map<string, number> {
  const files = new Map<string, number>();
  if (!statSync(dir, { throwIfNoEntry: false })) return files;
  for (const name of readdirSync(dir, { recursive: true, encoding: 'utf8' })) {
    // It may have gone since it was listed.
    const found = statSync(join(dir, name), { throwIfNoEntry: false });
    if (found?.isFile()) files.set(name, found.size);
  }
  return files;
}
