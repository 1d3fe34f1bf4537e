import { spawnSync } from 'node:child_process';
import { connect as connectSocket } from 'node:net';
import { join } from 'node:path';
import type { Case, Row, Sample } from '../case.ts';
import { connect, requestHead } from '../connection.ts';
import { databaseOf } from '../databases.ts';
import { quantile, runLoad } from '../load.ts';
import { forgetPeak, peakResidentMiB } from '../processes.ts';
import type { Server } from '../servers.ts';

// Selectel's lists over a registry filled by `seed-database.ts`. The peers have nothing like them.

const pageSize = 100;
const imageCounts = [1_000, 100_000];
const repositoryCounts = [1_000, 50_000];
const listSeconds = 5;
/** The limits are for one client: with four, on one thread, three of them wait. */
const [page, crowd, scan] = [{ limit: 20, connections: 1 }, { connections: 4 }, { limit: 50, connections: 1 }];
const streams = 20;

type List = {
  name: string;
  limit?: number;
  connections: number;
  /** What is asked for the `count`th time of a list of `size`. */
  queryOf: (count: number, size: number) => string;
};

/** Scattered over the places that are left when nothing is skipped beyond `max`. */
const scattered = (count: number, size: number, max: number) => (count * 7919) % Math.min(size, max);
/** Two digits of the seeded names: one in four or so has them. */
const common = (count: number) => (count % 256).toString(16).padStart(2, '0');
/** Five digits: one in some thousands, and the beginning of hardly any digest. */
const rare = (count: number) => ((count * 7919) % 2 ** 20).toString(16).padStart(5, '0');

const plain: List[] = [
  { name: 'page, offset up to 10,000', ...page },
  { name: 'the same, four clients', ...crowd },
].map((list) => ({ ...list, queryOf: (count, size) => `offset=${scattered(count, size, 10_000)}` }));
const deep: List[] = [
  {
    name: 'page, offset near the end',
    ...scan,
    queryOf: (count, size) => `offset=${size - 1 - scattered(count, size, 1000)}`,
  },
  { name: 'search that finds much', ...scan, queryOf: (count) => `search=${common(count)}` },
  { name: 'search that finds little', ...scan, queryOf: (count) => `search=${rare(count)}` },
];
const sorted: List[] = ['updatedAt', 'size'].map((field) => ({
  name: `page by ${field}, offset up to 10,000`,
  ...page,
  queryOf: (count, size) => `sort_field=${field}&sort_type=desc&offset=${scattered(count, size, 10_000)}`,
}));

const firstByteName = `v1 images of ${imageCounts.at(-1)?.toLocaleString('en')}: first byte, p99 of ${streams}`;
const wholeName = `v1 images of ${imageCounts.at(-1)?.toLocaleString('en')}: the whole list`;
const memoryName = `v1 images of ${imageCounts.at(-1)?.toLocaleString('en')}: memory taken`;

const rowName = (what: string, size: number, list: List) =>
  `${what} of ${size.toLocaleString('en')}, ${list.name}: p99`;

function* eachList(): Generator<{ what: 'images' | 'repositories'; size: number; list: List }> {
  for (const [what, sizes, more] of [
    ['images', imageCounts, []],
    ['repositories', repositoryCounts, sorted],
  ] as const) {
    for (const size of sizes) {
      const lists = size === sizes.at(-1) ? [...plain, ...more, ...deep] : plain;
      for (const list of lists) yield { what, size, list };
    }
  }
}

const listRows: Row[] = [...eachList()].map(({ what, size, list }) => ({
  name: rowName(what, size, list),
  unit: 'ms',
  better: 'less',
  ...(list.limit !== undefined && { limit: list.limit }),
}));

export const selectelLists: Case = {
  id: 'selectel-lists',
  once: true,
  leaveOut: { 'docker-registry': 'it has no such lists', zot: 'it has no such lists' },
  rows: [
    ...listRows,
    { name: firstByteName, unit: 'ms', better: 'less', limit: scan.limit },
    { name: wholeName, unit: 's', better: 'less' },
    { name: memoryName, unit: 'MiB', better: 'less' },
  ],
  run: async (server, { seconds }, report) => {
    for (const size of ['small', 'large'] as const) seed(server, size);
    for (const { what, size, list } of eachList()) {
      const registry = size <= 1_000 ? 'small' : 'large';
      const path = await pathOf(server, registry, what);
      const load = await runLoad(server, {
        connections: list.connections,
        seconds: Math.min(seconds, listSeconds),
        next: (count) => {
          const query = `limit=${pageSize}&${list.queryOf(count, size)}`;
          return requestHead('GET', `/selectel/api/v2/${path}?${query}`, server.seedHeaders);
        },
      });
      report(rowName(what, size, list), {
        value: load.p99Ms,
        cpuMs: (load.serverCpuSeconds * 1000) / load.requests,
        note: `median ${load.p50Ms.toFixed(1)} ms`,
      });
    }
    await measureStreams(server, report);
  },
};

function seed(server: Server, registry: 'small' | 'large'): void {
  const at = registry === 'small' ? 0 : 1;
  const script = join(import.meta.dirname, '../seed-database.ts');
  const counts = [imageCounts[at], repositoryCounts[at]].map(String);
  const { url, dataDir } = databaseOf(server.dataDir);
  const { status, stderr } = spawnSync(process.execPath, [script, url ?? dataDir, registry, ...counts]);
  if (status !== 0) throw new Error(`the database could not be filled:\n${stderr}`);
}

async function pathOf(server: Server, registry: string, what: 'images' | 'repositories'): Promise<string> {
  const connection = await connect(server.port);
  const reply = await connection.send(
    requestHead('GET', `/lading/v1/registries/${registry}`, server.seedHeaders),
    'keep',
  );
  connection.close();
  const { id } = JSON.parse(reply.body.toString());
  return `registries/${id}/repositories${what === 'images' ? '/big/images' : ''}`;
}

async function measureStreams(server: Server, report: (row: string, sample: Sample) => void): Promise<void> {
  const path = `/selectel/api/v1/${await pathOf(server, 'large', 'images')}`;
  const request = requestHead('GET', path, { ...server.seedHeaders, Connection: 'close' });
  forgetPeak(server.pid);
  const before = peakResidentMiB(server.pid);
  const times: { firstByteMs: number; wholeMs: number; bytes: number }[] = [];
  for (let i = 0; i < streams; i++) times.push(await readStream(server.port, request));
  const firsts = times.map((one) => one.firstByteMs).sort((a, b) => a - b);
  report(firstByteName, { value: quantile(firsts, 0.99), note: `median ${quantile(firsts, 0.5).toFixed(1)} ms` });
  const wholes = times.map((one) => one.wholeMs).sort((a, b) => a - b);
  const mib = (times[0]?.bytes ?? 0) / 1024 ** 2;
  report(wholeName, { value: quantile(wholes, 0.5) / 1000, note: `${mib.toFixed(0)} MiB` });
  report(memoryName, { value: peakResidentMiB(server.pid) - before, note: `beside ${before.toFixed(0)} MiB` });
}

function readStream(port: number, request: Buffer): Promise<{ firstByteMs: number; wholeMs: number; bytes: number }> {
  return new Promise((resolve, reject) => {
    const socket = connectSocket({ port, host: '127.0.0.1', noDelay: true });
    let [started, firstByteMs, bytes] = [0, 0, 0];
    socket.on('connect', () => {
      started = performance.now();
      socket.write(request);
    });
    socket.on('data', (chunk) => {
      if (bytes === 0) {
        firstByteMs = performance.now() - started;
        if (!chunk.toString('latin1', 0, 12).endsWith(' 200'))
          return socket.destroy(new Error(chunk.toString('latin1')));
      }
      bytes += chunk.length;
    });
    socket.on('end', () => resolve({ firstByteMs, wholeMs: performance.now() - started, bytes }));
    socket.on('error', reject);
  });
}
