import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Case, lineups, onDisk, type Settings } from './case.ts';
import { blobPushes, blobReads } from './cases/blobs.ts';
import { collection, largeCollection } from './cases/collection.ts';
import { connectionLists, connectionTests } from './cases/connections.ts';
import { images } from './cases/images.ts';
import { repositoryListing, tagListing } from './cases/listings.ts';
import { manifests } from './cases/manifests.ts';
import { manyManifests, pushMemory } from './cases/memory.ts';
import { s3Memory } from './cases/s3-memory.ts';
import { s3Pushes } from './cases/s3-pushes.ts';
import { s3Manifests, s3Reads, s3Redirects } from './cases/s3-reads.ts';
import { s3Replicas } from './cases/s3-replicas.ts';
import { selectelLists } from './cases/selectel-lists.ts';
import { zb } from './cases/zb.ts';
import { kinds, type ServerName } from './launches.ts';
import { describeMachine } from './machine.ts';
import { saveCases } from './saved.ts';
import { startServer } from './servers.ts';
import { format, makeTables, type Results } from './table.ts';

const cases = [
  manifests,
  blobReads,
  blobPushes,
  images,
  zb,
  tagListing,
  repositoryListing,
  selectelLists,
  connectionLists,
  connectionTests,
  pushMemory,
  manyManifests,
  collection,
  largeCollection,
  s3Manifests,
  s3Reads,
  s3Redirects,
  s3Pushes,
  s3Memory,
  s3Replicas,
];

const { values: options } = parseArgs({
  options: {
    case: { type: 'string', multiple: true },
    server: { type: 'string', multiple: true },
    seconds: { type: 'string', default: '10' },
    runs: { type: 'string', default: '3' },
    write: { type: 'boolean', default: false },
  },
});
const settings: Settings = { seconds: Number(options.seconds), runs: Number(options.runs) };
const isNamed = (id: string) => options.case?.some((name) => id === name || id.startsWith(`${name}-`));
const chosen = cases.filter(({ id }) => isNamed(id) ?? isPossible(id));
const compared = lineups.filter((lineup) => chosen.some((each) => (each.lineup ?? onDisk) === lineup));
const servers = [...new Set(compared.flat())].filter(
  (name) => (options.server?.includes(name) ?? true) && isThere(name),
);
if (chosen.length === 0) throw new Error(`no such case; there are ${cases.map(({ id }) => id).join(', ')}`);

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
process.setMaxListeners(0);
const machine = describeMachine();
console.log(machine);
const results: Results = new Map();
for (let run = 1; run <= settings.runs; run++) {
  // Round by round, not server by server: if the machine drifts, it drifts for all of them.
  for (const name of servers)
    await runServer(
      name,
      chosen.filter(({ once, lineup = onDisk }) => (run === 1 || !once) && lineup.includes(name)),
    );
}
console.log(`\n${makeTables(chosen, results, (name) => servers.includes(name))}\n`);
if (options.write) writeResults();

async function runServer(name: ServerName, list: Case[]): Promise<void> {
  for (const each of list) {
    const reason = each.leaveOut?.[name];
    if (reason !== undefined) {
      console.log(`${name}: ${each.id} is left out: ${reason}`);
      continue;
    }
    // A fresh server and an empty store for each case, so that no case pays for another's data.
    const server = await startServer(name, { redirects: each.redirects ?? false });
    try {
      await each.run(server, settings, (row, sample) => {
        const byServer = results.get(row) ?? new Map();
        results.set(row, byServer.set(name, [...(byServer.get(name) ?? []), sample]));
        const cpu = sample.cpuMs === undefined ? '' : `, CPU ${format(sample.cpuMs)} ms each`;
        const p99 = sample.p99Ms === undefined ? '' : `, p99 ${format(sample.p99Ms)} ms`;
        console.log(`${name}: ${row}: ${format(sample.value)}${cpu}${p99}${sample.note ? ` (${sample.note})` : ''}`);
      });
    } finally {
      await server.stop();
    }
  }
}

function isThere(name: ServerName): boolean {
  if (kinds[name].program !== undefined) return true;
  console.log(`${name} is left out: no variable names its program (bench/README.md says how)`);
  return false;
}

function isPossible(id: string): boolean {
  if (id !== 'zb' || process.env.BENCH_ZB !== undefined) return true;
  console.log('zb is left out: BENCH_ZB names no binary (bench/README.md says how)');
  return false;
}

/** Into `results.json`, where each case keeps its last run, and from there into the README. */
function writeResults(): void {
  const when = new Date().toISOString().slice(0, 10);
  const saved = saveCases(
    chosen,
    results,
    `${when}, ${settings.runs} ${settings.runs === 1 ? 'round' : 'rounds'} of ${settings.seconds} s. ${machine}.`,
  );
  const path = join(import.meta.dirname, 'README.md');
  const [before, rest] = readFileSync(path, 'utf8').split('<!-- results -->\n');
  const after = rest?.split('<!-- end -->')[1];
  const tables = makeTables(cases, saved.results, () => true);
  writeFileSync(path, `${before}<!-- results -->\n${saved.heading}\n\n${tables}\n<!-- end -->${after}`);
  spawnSync('biome', ['format', '--write', path, join(import.meta.dirname, 'results.json')]);
}
