import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Case } from '../case.ts';
import { repositoryOf } from '../push.ts';
import type { Server } from '../servers.ts';

/** zb's own names. A test of big blobs gets fewer requests, so that the disk and not the cache ends it. */
const groups = [
  { names: ['Get Catalog', 'Push Monolith 1MB', 'Push Chunk Streamed 1MB', 'Pull 1MB'], requests: 200 },
  { names: ['Push Monolith 10MB', 'Push Chunk Streamed 10MB', 'Pull 10MB'], requests: 100 },
  { names: ['Push Monolith 100MB', 'Push Chunk Streamed 100MB', 'Pull 100MB'], requests: 20 },
];
const concurrency = 10;
const rowName = (name: string) => `zb: ${name}, ${concurrency} clients`;

export const zb: Case = {
  id: 'zb',
  // It drops the query of a Location, where docker-registry keeps the state of an upload.
  leaveOut: { 'docker-registry': 'zb cannot push to it' },
  rows: groups.flatMap(({ names }) => names.map((name) => ({ name: rowName(name), unit: 'req/s', better: 'more' }))),
  run: async (server, _settings, report) => {
    for (const { names, requests } of groups) {
      for (const { name, value } of await runZb(server, names, requests)) report(rowName(name), { value });
    }
  },
};

async function runZb(server: Server, names: string[], requests: number): Promise<{ name: string; value: number }[]> {
  const program = process.env.BENCH_ZB;
  if (program === undefined) throw new Error('BENCH_ZB does not name a zb binary: see bench/README.md');
  const directory = mkdtempSync(join(process.env.BENCH_DIR ?? tmpdir(), 'lading-zb-'));
  // zb empties its working directory at the end: it gets one of its own, inside the one that holds its report.
  const args = ['-d', join(directory, 'work'), '-o', 'ci-cd', '-c', String(concurrency), '-n', String(requests)];
  args.push('-t', `^(${names.join('|')})$`, '-r', repositoryOf(server, 'zb'));
  // zb speaks Basic only, so here Lading checks a secret where it otherwise checks an access token.
  if (server.basic !== undefined) args.push('-A', server.basic);
  const child = spawn(program, [...args, `http://127.0.0.1:${server.port}`], { cwd: directory });
  let output = '';
  child.stdout.on('data', (text) => (output += text));
  child.stderr.on('data', (text) => (output += text));
  const [code] = await once(child, 'exit');
  if (code !== 0) throw new Error(`zb on ${server.name} ended with ${code}:\n${output.slice(-3000)}`);
  const results = JSON.parse(readFileSync(join(directory, 'ci-cd.json'), 'utf8'));
  rmSync(directory, { recursive: true, force: true });
  return results;
}
