import type { Progress } from '#transfer/copy-installation.ts';

/** On a terminal a bar that stays on its line, else a line every few seconds. */
export type ProgressLine = { report(progress: Progress): void; end(): void };

const lineEveryMs = 5_000;
const redrawEveryMs = 100;
const barWidth = 24;

export function newProgressLine(stream: NodeJS.WriteStream, now: () => number = () => performance.now()): ProgressLine {
  const isTerminal = stream.isTTY === true;
  let writtenAt = now();
  let phase = '';
  let phaseAt = now();
  let isShown = false;
  return {
    report(progress) {
      const at = now();
      const isNew = progress.phase !== phase;
      if (isNew) {
        phase = progress.phase;
        phaseAt = at;
      }
      const isLast = progress.done === progress.total;
      if (isTerminal ? !isNew && !isLast && at - writtenAt < redrawEveryMs : at - writtenAt < lineEveryMs) return;
      writtenAt = at;
      const text = describe(progress, at - phaseAt);
      // To the end of the line: what was there before may have been longer.
      stream.write(isTerminal ? `\r${fit(progress, text, stream.columns)}\u001b[K` : `${text}\n`);
      isShown = true;
    },
    end() {
      if (isTerminal && isShown) stream.write('\n');
    },
  };
}

/** A line that is broken by the terminal is not overwritten by the next one: first the bar goes, then the end. */
function fit(progress: Progress, text: string, columns = 80): string {
  const withBar = `${bar(progress)} ${text}`;
  return withBar.length < columns ? withBar : text.slice(0, Math.max(0, columns - 1));
}

function describe(progress: Progress, elapsedMs: number): string {
  const share = `${Math.floor(shareOf(progress) * 100)} %`;
  if (progress.phase === 'rows') return `${share} of ${progress.total} rows`;
  const { done, total, doneBytes, totalBytes } = progress;
  const rate = elapsedMs > 0 ? (doneBytes / elapsedMs) * 1000 : 0;
  const left = rate > 0 ? `, ${formatSeconds((totalBytes - doneBytes) / rate)} left` : '';
  return `${share}: ${done} of ${total} objects, ${formatBytes(doneBytes)} of ${formatBytes(totalBytes)}${left}`;
}

function shareOf(progress: Progress): number {
  if (progress.phase === 'objects' && progress.totalBytes > 0) return progress.doneBytes / progress.totalBytes;
  return progress.total === 0 ? 1 : progress.done / progress.total;
}

function bar(progress: Progress): string {
  const full = Math.round(Math.min(1, shareOf(progress)) * barWidth);
  return `[${'#'.repeat(full)}${' '.repeat(barWidth - full)}]`;
}

function formatSeconds(seconds: number): string {
  if (seconds < 60) return `${Math.ceil(seconds)} s`;
  return seconds < 5400 ? `${Math.ceil(seconds / 60)} min` : `${Math.round(seconds / 360) / 10} h`;
}

const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];

export function formatBytes(bytes: number): string {
  const power = bytes < 1024 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 1024 ** power;
  return `${power === 0 ? value : value.toFixed(1)} ${units[power]}`;
}
