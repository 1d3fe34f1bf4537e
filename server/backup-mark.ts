import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { syncDirectory } from './private-file.ts';

// A backup is an installation like any other, but its master key is kept elsewhere, and no other command may put it there.

const name = 'this-is-a-backup';

const text = `This directory is written by "lading backup". Start no server on it: "lading restore" fills another place from it.
docs/backup.md
`;

/** Whether `lading backup` has made it, or has begun to. */
export const isBackup = (directory: string): boolean => existsSync(join(directory, name));

/** Durable before anything else is there. */
export function markBackup(directory: string): void {
  if (isBackup(directory)) return;
  writeFileSync(join(directory, name), text, { mode: 0o600 });
  syncDirectory(directory);
}
