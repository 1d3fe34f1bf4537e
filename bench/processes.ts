import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';

const ticksPerSecond = Number(spawnSync('getconf', ['CLK_TCK']).stdout.toString()) || 100;

/** The process and everything it started: `bin/lading` may be a shell that waits for Node. */
function family(pid: number): number[] {
  const children = readText(`/proc/${pid}/task/${pid}/children`).split(' ').filter(Boolean).map(Number);
  return [pid, ...children.flatMap(family)];
}

/** User and system time of the server so far, all threads. Robust where the rate is not: others may use the machine. */
export function cpuSeconds(pid: number): number {
  const ticks = family(pid).map((member) => {
    // The command name may hold spaces and brackets; the fields after its last bracket are plain.
    const fields = readText(`/proc/${member}/stat`).split(') ').at(-1)?.split(' ') ?? [];
    return Number(fields[11] ?? 0) + Number(fields[12] ?? 0);
  });
  return sum(ticks) / ticksPerSecond;
}

export function residentMiB(pid: number): number {
  return sum(family(pid).map((member) => statusKiB(member, 'VmRSS'))) / 1024;
}

export function peakResidentMiB(pid: number): number {
  return sum(family(pid).map((member) => statusKiB(member, 'VmHWM'))) / 1024;
}

/** What these processes made the kernel write to disks so far, their page cache included. */
export function writtenKiB(pid: number): number {
  return (
    sum(family(pid).map((member) => Number(/^write_bytes: (\d+)/m.exec(readText(`/proc/${member}/io`))?.[1] ?? 0))) /
    1024
  );
}

/** Starts the kernel's high-water mark again at what is resident now. */
export function forgetPeak(pid: number): void {
  for (const member of family(pid)) writeFileSync(`/proc/${member}/clear_refs`, '5');
}

function statusKiB(pid: number, field: string): number {
  return Number(new RegExp(`${field}:\\s*(\\d+)`).exec(readText(`/proc/${pid}/status`))?.[1] ?? 0);
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function sum(values: number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
