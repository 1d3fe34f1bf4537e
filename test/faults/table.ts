import type { Fault } from './catalog.ts';
import type { Tally } from './clients.ts';

/** All rounds of one fault, summed up. */
export type Row = {
  fault: Fault;
  /** How long it lasted, each time. */
  seconds: number;
  rounds: number;
  acknowledged: number;
  pulled: number;
  refused: Map<number, number>;
  broken: number;
  lost: number;
  faults: number;
  /** From the end of the fault until the last replica works and the last client is served; undefined: never. */
  recoveryMs: number | undefined;
  slowestMs: number;
  /** Until the first replica said that it is not ready; undefined: none did. */
  redMs: number | undefined;
};

export function newRow(fault: Fault, seconds: number): Row {
  const counts = { rounds: 0, acknowledged: 0, pulled: 0, broken: 0, lost: 0, faults: 0, slowestMs: 0 };
  return { fault, seconds, ...counts, refused: new Map(), recoveryMs: 0, redMs: undefined };
}

export type Round = {
  tally: Tally;
  acknowledged: number;
  recoveryMs: number | undefined;
  redMs: number | undefined;
  faults: readonly string[];
};

export function addRound(row: Row, { tally, acknowledged, recoveryMs, redMs, faults }: Round): void {
  if (redMs !== undefined) row.redMs = Math.max(row.redMs ?? 0, redMs);
  row.rounds++;
  row.acknowledged += acknowledged;
  row.pulled += tally.pulled;
  row.broken += tally.broken;
  row.lost += faults.filter((fault) => fault.startsWith('LOST')).length;
  row.faults += faults.filter((fault) => !fault.startsWith('LOST')).length;
  row.slowestMs = Math.max(row.slowestMs, tally.slowestMs);
  row.recoveryMs =
    row.recoveryMs === undefined || recoveryMs === undefined ? undefined : Math.max(row.recoveryMs, recoveryMs);
  for (const [status, count] of tally.refused) row.refused.set(status, (row.refused.get(status) ?? 0) + count);
}

const head = [
  'fault',
  'seconds',
  'times',
  'acknowledged',
  'pulled',
  'refused (status)',
  'cut off',
  'lost',
  'not ready after (s)',
  'recovered after (s)',
  'longest request (s)',
];

/** In Markdown, as in docs/operations.md. */
export function toTable(rows: readonly Row[]): string {
  const cells = rows.map((row) => [
    row.fault.what,
    row.seconds,
    row.rounds,
    row.acknowledged,
    row.pulled,
    [...row.refused]
      .toSorted(([a], [b]) => a - b)
      .map(([status, count]) => `${count} (${status})`)
      .join(', ') || 0,
    row.broken,
    row.lost,
    row.redMs === undefined ? '' : (row.redMs / 1000).toFixed(1),
    row.recoveryMs === undefined ? 'never' : (row.recoveryMs / 1000).toFixed(1),
    (row.slowestMs / 1000).toFixed(1),
  ]);
  const lines = [head, ['---', ...head.slice(1).map(() => '---:')], ...cells];
  return lines.map((line) => `| ${line.join(' | ')} |`).join('\n');
}
