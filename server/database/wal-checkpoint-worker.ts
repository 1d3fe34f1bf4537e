// The thread behind `wal-checkpoints.ts`.

import { DatabaseSync } from 'node:sqlite';
import { parentPort, workerData } from 'node:worker_threads';

/** Pages in the WAL, and how many of them are in the database file by now; none where it did not work. */
export type Checkpointed = { log: number; checkpointed: number };

const database = new DatabaseSync(workerData as string, { timeout: 0 });

parentPort?.on('message', () => {
  parentPort?.postMessage(checkpoint());
});

function checkpoint(): Checkpointed {
  try {
    // Passive: it waits for nobody and nobody waits for it. What readers still need stays for the next time.
    return database.prepare('pragma wal_checkpoint(passive)').get() as Checkpointed;
  } catch {
    // A full disk, say: it stays in the WAL, where it is safe, and the next time comes.
    return { log: 0, checkpointed: 0 };
  }
}
