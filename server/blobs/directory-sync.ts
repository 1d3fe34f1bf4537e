import { open } from 'node:fs/promises';

/**
 * Syncs directories. Concurrent calls for one directory share: whoever comes while a sync runs cannot know whether its
 * change is in it, and waits for the next one, together with all others who came meanwhile.
 */
export function newDirectorySync(): (path: string) => Promise<void> {
  const running = new Map<string, Promise<void>>();
  const queued = new Map<string, Promise<void>>();

  async function run(path: string, before: Promise<void> | undefined): Promise<void> {
    if (before) {
      await before.catch(() => {});
      queued.delete(path);
    }
    const sync = syncDirectory(path).finally(() => {
      if (running.get(path) === sync) running.delete(path);
    });
    running.set(path, sync);
    return sync;
  }

  return (path) => {
    const waiting = queued.get(path);
    if (waiting) return waiting;
    const before = running.get(path);
    if (!before) return run(path, undefined);
    const next = run(path, before);
    queued.set(path, next);
    return next;
  };
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
