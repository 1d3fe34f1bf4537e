import { spawnSync } from 'node:child_process';
import { closeSync, fdatasyncSync, openSync, rmSync, writeSync } from 'node:fs';
import { availableParallelism, cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { makeDataDir } from './servers.ts';

/** What a reader needs to compare, and nothing that names the machine. */
export function describeMachine(): string {
  const directory = makeDataDir();
  const path = join(directory, 'probe');
  const syncs = syncsPerSecond(path);
  const rate = writeMiBPerSecond(path);
  rmSync(directory, { recursive: true, force: true });
  return [
    `${availableParallelism()} cores (${cpus()[0]?.model.trim() ?? 'unknown'})`,
    `${Math.round(totalmem() / 2 ** 30)} GiB of memory`,
    `Linux ${release().split('-')[0]}`,
    `disk: ${Math.round(syncs)} fdatasync/s of 4 KiB, ${Math.round(rate)} MiB/s for 512 MiB with one fdatasync`,
  ].join(', ');
}

function syncsPerSecond(path: string): number {
  const block = Buffer.alloc(4096, 1);
  return timed(path, (file) => {
    for (let count = 0; count < 200; count++) {
      writeSync(file, block);
      fdatasyncSync(file);
    }
    return 200;
  });
}

function writeMiBPerSecond(path: string): number {
  const block = Buffer.alloc(2 ** 20, 1);
  return timed(path, (file) => {
    for (let count = 0; count < 512; count++) writeSync(file, block);
    fdatasyncSync(file);
    return 512;
  });
}

function timed(path: string, work: (file: number) => number): number {
  const file = openSync(path, 'w');
  const started = performance.now();
  const amount = work(file);
  const seconds = (performance.now() - started) / 1000;
  closeSync(file);
  return amount / seconds;
}

/**
 * Gives the memory back that holds what was written below the directory. Otherwise each large push fills fresh memory, and
 * a virtual machine gets that from its host at a quarter of the rate: the tenth push would be measured slower than the first.
 */
export function dropFromMemory(directory: string): void {
  // With a count of zero, `dd` writes nothing and tells the kernel to forget the file.
  const forget = ['dd', 'of={}', 'oflag=nocache', 'conv=notrunc,fdatasync', 'count=0', 'status=none'];
  spawnSync('find', [directory, '-type', 'f', '-size', '+1M', '-exec', ...forget, ';']);
}
