import { type Case, type Lineup, lineups, onDisk, type Row, type Sample } from './case.ts';
import type { ServerName } from './launches.ts';
import { median } from './load.ts';

/** Samples by row, then by server. */
export type Results = Map<string, Map<ServerName, Sample[]>>;

/** For each lineup that has results two tables: what was measured, and what it costs. */
export function makeTables(cases: Case[], results: Results, isShown: (name: ServerName) => boolean): string {
  return lineups
    .flatMap((lineup) => {
      const mine = cases.filter((each) => (each.lineup ?? onDisk) === lineup);
      if (!mine.some(({ rows }) => rows.some(({ name }) => results.has(name)))) return [];
      const servers = lineup.filter(isShown);
      return [makeTable(mine, results, servers), makeCpuTable(mine, results, servers)];
    })
    .join('\n\n');
}

function makeTable(cases: Case[], results: Results, servers: Lineup): string {
  const peers = servers.slice(0, -1);
  const head = [
    'case',
    'unit',
    ...servers.map((name) => `${name}`),
    ...peers.map((name) => `ratio to ${name}`),
    'target',
    '',
  ];
  const rows = cases.flatMap((each) => each.rows).filter((row) => results.has(row.name));
  const lines = rows.map((row) => lineOf(row, results.get(row.name) ?? new Map(), servers));
  const rule = head.map((_, index) => (index < 2 ? '---' : '---:'));
  return [head, rule, ...lines].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

/** Where the rate of one is held by the other core's guest, the CPU time of the server is the fairer number. */
function makeCpuTable(cases: Case[], results: Results, servers: Lineup): string {
  const rows = cases
    .flatMap((each) => each.rows)
    .filter((row) => servers.some((name) => cpuOf(results.get(row.name)?.get(name)) !== undefined));
  const lines = rows.map((row) => {
    const cells = servers.map((name) => format(cpuOf(results.get(row.name)?.get(name))));
    const delays = servers.map((name) => format(p99Of(results.get(row.name)?.get(name))));
    return `| ${[row.name, ...cells, ...delays].join(' | ')} |`;
  });
  const head = ['case', ...servers.map((name) => `${name} CPU ms`), ...servers.map((name) => `${name} p99 ms`)];
  return [`| ${head.join(' | ')} |`, `| --- |${' ---: |'.repeat(head.length - 1)}`, ...lines].join('\n');
}

function lineOf(row: Row, samples: Map<ServerName, Sample[]>, servers: Lineup): string[] {
  const values = new Map(servers.map((name) => [name, middleOf(samples.get(name))]));
  const peers = servers.slice(0, -1);
  const ours = values.get(servers.at(-1) ?? 'lading');
  const ratio = (peer: ServerName) => ratioOf(row, ours, values.get(peer));
  const ratios = peers.map((peer) => {
    const times = ratio(peer);
    return times === undefined ? '–' : `${times.toFixed(2)}×`;
  });
  const cells = servers.map((name) => format(values.get(name)));
  return [row.name, row.unit, ...cells, ...ratios, targetOf(row), verdictOf(row, ours, values, peers)];
}

/** Above 1 is better than the peer, whichever way the number counts. */
function ratioOf(row: Row, ours: number | undefined, theirs: number | undefined): number | undefined {
  if (ours === undefined || theirs === undefined) return undefined;
  return row.better === 'more' ? ours / theirs : theirs / ours;
}

function verdictOf(
  row: Row,
  ours: number | undefined,
  values: Map<ServerName, number | undefined>,
  peers: Lineup,
): string {
  if (ours === undefined || targetOf(row) === '') return '';
  if (row.limit !== undefined) return ours <= row.limit ? 'met' : 'missed';
  const asked = Object.entries(row.target ?? {}).flatMap(([name, times]) => {
    const against = name === 'best' ? peers : peers.filter((peer) => peer === name);
    return against.map((peer) => ({ times, ratio: ratioOf(row, ours, values.get(peer)) }));
  });
  if (asked.some(({ ratio }) => ratio === undefined) || asked.length === 0) return 'not compared';
  return asked.every(({ ratio, times }) => (ratio ?? 0) >= times) ? 'met' : 'missed';
}

function targetOf({ limit, target, unit }: Row): string {
  if (limit !== undefined) return `≤ ${limit} ${unit}`;
  const parts = Object.entries(target ?? {}).map(([name, times]) => `≥ ${times}× ${name}`);
  return parts.join(', ');
}

function middleOf(samples: Sample[] | undefined): number | undefined {
  const values = (samples ?? []).map(({ value }) => value).filter((value) => !Number.isNaN(value));
  return values.length === 0 ? undefined : median(values);
}

function cpuOf(samples: Sample[] | undefined): number | undefined {
  const values = (samples ?? []).flatMap(({ cpuMs }) => (cpuMs === undefined ? [] : [cpuMs]));
  return values.length === 0 ? undefined : median(values);
}

function p99Of(samples: Sample[] | undefined): number | undefined {
  const values = (samples ?? []).flatMap(({ p99Ms }) => (p99Ms === undefined ? [] : [p99Ms]));
  return values.length === 0 ? undefined : median(values);
}

export function format(value: number | undefined): string {
  if (value === undefined || Number.isNaN(value)) return '–';
  if (value >= 100) return Math.round(value).toLocaleString('en');
  return value >= 10 ? value.toFixed(1) : value.toFixed(value >= 1 ? 2 : 3);
}
