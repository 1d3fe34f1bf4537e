import { closeSync, fsyncSync, openSync, rmSync, writeSync } from 'node:fs';

/** A new file that only its owner may read, durable when this returns. Its name is so after `syncDirectory`. */
export function writePrivate(path: string, text: string): void {
  rmSync(path, { force: true });
  const file = openSync(path, 'wx', 0o600);
  try {
    writeSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** Makes durable what was linked, renamed or removed in this directory. */
export function syncDirectory(path: string): void {
  const directory = openSync(path, 'r');
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}
