import { Worker } from 'node:worker_threads';
import type { Mutex } from './mutex.ts';
import type { Checkpointed } from './wal-checkpoint-worker.ts';

/**
 * Moves what was committed from the WAL into the database file, in a thread of its own. SQLite would do it at the end of
 * some commit, and the program would stand still until hundreds of pages and two syncs are on the disk.
 *
 * SQLite fills the WAL from its beginning again only if all of it was moved, and those who write all the time never let
 * that be. So, when it is long, transactions wait for the thread to move the little that came last; all else goes on.
 */
export type WalCheckpoints = { wrote(): void; close(): Promise<void> };

/** About what SQLite's own limit of a thousand pages comes to with the small commits of pushes. */
const commitsEach = 200;
/** Commits of a collection are large, and few of them fill the WAL. */
const pauseMs = 250;

export function newWalCheckpoints(databaseFile: string, mutex: Mutex, longWalPages: number): WalCheckpoints {
  let commits = 0;
  let isBusy = false;
  let timer: NodeJS.Timeout | undefined;

  const mover = newMover({ databaseFile, mutex, longWalPages }, () => {
    isBusy = false;
    plan();
  });
  const run = () => {
    timer = undefined;
    isBusy = true;
    commits = 0;
    mover.move();
  };
  const plan = () => {
    if (isBusy || timer || commits < (mover.hasBegun() ? 1 : commitsEach)) return;
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
      await mover.end();
    },
  };
}

type Moved = { databaseFile: string; mutex: Mutex; longWalPages: number };

/** The thread, begun when there is something to move. `moved` is called when it is ready for more. */
function newMover({ databaseFile, mutex, longWalPages }: Moved, moved: () => void) {
  let worker: Worker | undefined;
  let holdsMutex = false;

  /** Nothing else may keep a process running that waits for its turn to write. */
  const hold = async () => {
    await mutex.acquire();
    if (!worker) return mutex.release();
    holdsMutex = true;
    worker.ref();
    worker.postMessage('checkpoint');
  };
  const release = () => {
    if (!holdsMutex) return;
    holdsMutex = false;
    worker?.unref();
    mutex.release();
  };
  const goOn = ({ log, checkpointed }: Checkpointed) => {
    if (!holdsMutex && log >= longWalPages && log === checkpointed) return hold();
    release();
    moved();
  };
  const start = () => {
    const url = new URL('./wal-checkpoint-worker.ts', import.meta.url);
    const started = new Worker(url, { workerData: databaseFile, execArgv: [] });
    started.on('message', goOn);
    // Without it, SQLite's own limit (`openWriter`) does the work.
    started.on('error', () => {});
    started.on('exit', () => {
      worker = undefined;
      release();
    });
    started.unref();
    return started;
  };
  return {
    hasBegun: () => worker !== undefined,
    move() {
      worker ??= start();
      worker.postMessage('checkpoint');
    },
    end: async () => {
      await worker?.terminate();
    },
  };
}
