import { Worker } from 'node:worker_threads';

/**
 * Moves what was committed from the WAL into the database file, in a thread of its own. SQLite would do it at the end of
 * some commit, and the program would stand still until hundreds of pages and two syncs are on the disk.
 */
export type WalCheckpoints = { wrote(): void; close(): Promise<void> };

/** About what SQLite's own limit of a thousand pages comes to with the small commits of pushes. */
const commitsEach = 200;
/** Commits of a collection are large, and few of them fill the WAL. */
const pauseMs = 250;

export function newWalCheckpoints(databaseFile: string): WalCheckpoints {
  let worker: Worker | undefined;
  let commits = 0;
  let isBusy = false;
  let timer: NodeJS.Timeout | undefined;

  const start = () => {
    const url = new URL('./wal-checkpoint-worker.ts', import.meta.url);
    const started = new Worker(url, { workerData: databaseFile, execArgv: [] });
    started.on('message', () => {
      isBusy = false;
      plan();
    });
    // Without it, SQLite's own limit (`openWriter`) does the work.
    started.on('error', () => {});
    started.unref();
    return started;
  };
  const run = () => {
    timer = undefined;
    isBusy = true;
    commits = 0;
    worker ??= start();
    worker.postMessage('checkpoint');
  };
  const plan = () => {
    if (isBusy || timer || commits < (worker ? 1 : commitsEach)) return;
    timer = setTimeout(run, pauseMs);
    timer.unref();
  };
  return {
    wrote() {
      commits++;
      plan();
    },
    async close() {
      clearTimeout(timer);
      // Not in the middle: the file would be whole all the same, but the next start would do the work again.
      await worker?.terminate();
    },
  };
}
