// The thread behind `wal-checkpoints.ts`.

import { DatabaseSync } from 'node:sqlite';
import { parentPort, workerData } from 'node:worker_threads';

const database = new DatabaseSync(workerData as string, { timeout: 0 });

parentPort?.on('message', () => {
  try {
    // Passive: it waits for nobody and nobody waits for it. What readers still need stays for the next time.
    database.exec('pragma wal_checkpoint(passive)');
  } catch {
    // A full disk, say: it stays in the WAL, where it is safe, and the next time comes.
  }
  parentPort?.postMessage('done');
});
