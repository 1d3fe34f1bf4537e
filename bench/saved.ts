import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Case, Sample } from './case.ts';
import type { ServerName } from './launches.ts';
import type { Results } from './table.ts';

/** What a case measured last: how, and the samples of each row and server. */
type SavedCase = { run: string; rows: Record<string, Partial<Record<ServerName, (Sample | { value: null })[]>>> };

const path = join(import.meta.dirname, 'results.json');

/**
 * Keeps what was measured now beside what other cases measured before, so that a case can be run again by itself. All
 * servers of a case are always of one run.
 */
export function saveCases(chosen: readonly Case[], results: Results, run: string) {
  const saved: Record<string, SavedCase> = existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : {};
  for (const { id, rows } of chosen) {
    const measured = rows.flatMap(({ name }) => {
      const samples = results.get(name);
      return samples ? [[name, Object.fromEntries(samples)] as const] : [];
    });
    saved[id] = { run, rows: Object.fromEntries(measured) };
  }
  writeFileSync(path, `${JSON.stringify(saved, null, 1)}\n`);
  return { results: toResults(saved), heading: toHeading(saved) };
}

/** JSON has no NaN: a server that could not be measured is null there. */
function toResults(saved: Readonly<Record<string, SavedCase>>): Results {
  const all = Object.values(saved).flatMap(({ rows }) => Object.entries(rows));
  return new Map(
    all.map(([name, byServer]) => [
      name,
      new Map(
        Object.entries(byServer).map(([server, samples]) => [
          server as ServerName,
          samples.map((sample) => ({ ...sample, value: sample.value ?? Number.NaN })),
        ]),
      ),
    ]),
  );
}

/** Cases of the same run together. */
function toHeading(saved: Readonly<Record<string, SavedCase>>): string {
  const byRun = Map.groupBy(Object.entries(saved), ([, { run }]) => run);
  return [...byRun]
    .map(([run, cases]) => (byRun.size === 1 ? run : `${cases.map(([id]) => `\`${id}\``).join(', ')}: ${run}`))
    .join('\n\n');
}
