import { Failure, sentenceForOperator } from '#core/failure.ts';
import { openLog } from '#server/log.ts';
import { awaitStopSignal } from '#server/stop-signal.ts';
import { type Copied, copyInstallation, type Source, type Target } from '#transfer/copy-installation.ts';
import { formatBytes, newProgressLine } from './copy-progress.ts';

// What `copy-store`, `backup` and `restore` have in common: one copy, seen by an operator.

export type CopyReport = Copied & { seconds: number; serversAtWork: boolean };

/** Until it is complete, fails, or is told to stop. Errors say that the next run goes on. */
export async function runCopy(source: Source, target: Target): Promise<Copied & { seconds: number }> {
  const startedAt = performance.now();
  const stopping = new AbortController();
  void awaitStopSignal().then(() => stopping.abort(new Failure('unavailable', 'The copy was told to stop.')));
  const progress = newProgressLine(process.stderr);
  try {
    const copied = await copyInstallation({
      source,
      target,
      log: openLog({ level: 'warn', stream: process.stderr }),
      report: progress.report,
      signal: stopping.signal,
    });
    return { ...copied, seconds: Math.round((performance.now() - startedAt) / 100) / 10 };
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    throw new Failure(error.reason, `${sentenceForOperator(error)} ${goesOn}`);
  } finally {
    progress.end();
  }
}

const goesOn = 'What is there is not complete; run the same command again, and it goes on where it stopped.';

/** Prints the summary with what to do next; answers the exit code. */
export function printCopy(report: CopyReport, json: boolean, more: object, next: readonly string[]): number {
  const { lost, isComplete } = report;
  console.log(
    json
      ? JSON.stringify({ ...report, ...toTimes(report), ...more }, null, 2)
      : [...toSummary(report), ...next].join('\n'),
  );
  if (!isComplete) return 2;
  return lost.length > 0 ? 1 : 0;
}

const toTimes = ({ snapshotAt }: CopyReport) => ({ snapshotAt: new Date(snapshotAt).toISOString() });

const linesMax = 20;

function toSummary({ snapshotAt, rows, objects, lost, inDoubt, isComplete, removed, ...rest }: CopyReport): string[] {
  const { copied, copiedBytes, kept, keptBytes } = objects;
  const { seconds, serversAtWork, changesSince } = rest;
  const whole = lost.length > 0 ? `Complete but for ${countObjects(lost.length, 'lost ')}` : 'Complete';
  const headline = isComplete ? whole : 'Not complete';
  const lines = [
    `${headline}: the source as it was at ${new Date(snapshotAt).toISOString()}, in ${seconds} s.`,
    `  ${rows} rows`,
    `  ${countObjects(copied)} copied (${formatBytes(copiedBytes)}), ${kept} there already (${formatBytes(keptBytes)}), ${removed} removed that are no longer needed`,
  ];
  if (lost.length > 0) {
    lines.push(
      `${countObjects(lost.length)} missing or damaged in the source, and marked as lost in the copy until pushed again:`,
    );
    lines.push(...shorten(lost.map(({ what, why }) => `  ${what}: ${why}`)));
  }
  if (inDoubt.length > 0) {
    lines.push(`${countObjects(inDoubt.length)} could not be copied now:`);
    lines.push(...shorten(inDoubt.map(({ key, digest, why }) => `  ${digest ?? key}: ${why}`)));
    lines.push('Nothing may be served from this copy yet. Run the same command again.');
  }
  if (changesSince > 0) lines.push(`${changesSince} changes came after that moment and are not in the copy.`);
  else if (serversAtWork) lines.push('A server was at work: what it takes from now on is not in the copy.');
  return lines;
}

/** Instead of an invitation to go on. */
export const afterLoss =
  'Before anything is served from this copy: look for them in the source, and run this again. If they are really gone, bin/lading verify --repair on the source says so for good.';

const countObjects = (count: number, kind = '') => `${count} ${kind}${count === 1 ? 'object' : 'objects'}`;

function shorten(lines: readonly string[]): string[] {
  const more = lines.length - linesMax;
  return more > 0 ? [...lines.slice(0, linesMax), `  and ${more} more (--json names all).`] : [...lines];
}
