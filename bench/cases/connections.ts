import { spawnSync } from 'node:child_process';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Case } from '../case.ts';
import { connect, requestHead } from '../connection.ts';
import { databaseOf } from '../databases.ts';
import { runLoad } from '../load.ts';
import { expect } from '../push.ts';
import { pushFor } from '../push-latency.ts';
import type { Server } from '../servers.ts';

const count = 10_000;
const pageSize = 100;
const listSeconds = 5;
const northflank = '/northflank/v1/integrations/registries';
const native = '/lading/v1/connections';

const lists = [
  { name: 'Northflank, by cursor', queriesOf: async (server: Server) => cursorsOf(server, northflank, 'per_page') },
  {
    name: 'Northflank, by number',
    queriesOf: async () =>
      Array.from({ length: count / pageSize }, (_, i) => `${northflank}?per_page=${pageSize}&page=${i + 1}`),
  },
  { name: 'native API, by cursor', queriesOf: async (server: Server) => cursorsOf(server, native, 'limit') },
];
const rowName = (name: string) => `page of ${count.toLocaleString('en')} connections, ${name}: p99`;

/** The limit is for one client, as with the other lists. */
export const connectionLists: Case = {
  id: 'connection-lists',
  once: true,
  leaveOut: { 'docker-registry': 'it has no such lists', zot: 'it has no such lists' },
  rows: lists.map(({ name }) => ({ name: rowName(name), unit: 'ms', better: 'less', limit: 10 })),
  run: async (server, { seconds }, report) => {
    seed(server);
    for (const { name, queriesOf } of lists) {
      const requests = (await queriesOf(server)).map((path) => requestHead('GET', path, server.seedHeaders));
      const load = await runLoad(server, {
        connections: 1,
        seconds: Math.min(seconds, listSeconds),
        next: (sent) => requests[(sent * 7919) % requests.length] ?? Buffer.alloc(0),
      });
      report(rowName(name), {
        value: load.p99Ms,
        cpuMs: (load.serverCpuSeconds * 1000) / load.requests,
        note: `median ${load.p50Ms.toFixed(1)} ms`,
      });
    }
  },
};

function seed(server: Server): void {
  const script = join(import.meta.dirname, '../seed-connections.ts');
  const { url, dataDir } = databaseOf(server.dataDir);
  const { status, stderr } = spawnSync(process.execPath, [script, url ?? dataDir, String(count)]);
  if (status !== 0) throw new Error(`the database could not be filled:\n${stderr}`);
}

/** The paths of all pages, each with the cursor of the one before. */
async function cursorsOf(server: Server, list: string, sizeName: string): Promise<string[]> {
  const connection = await connect(server.port);
  const paths = [`${list}?${sizeName}=${pageSize}`];
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const path = paths.at(-1) ?? '';
    const reply = expect(await connection.send(requestHead('GET', path, server.seedHeaders), 'keep'), 200, path);
    const page = JSON.parse(reply.body.toString());
    cursor = page.pagination?.cursor ?? page.nextCursor ?? null;
    if (cursor !== null) paths.push(`${list}?${sizeName}=${pageSize}&cursor=${encodeURIComponent(cursor ?? '')}`);
  }
  connection.close();
  if (paths.length !== count / pageSize) throw new Error(`${list} has ${paths.length} pages`);
  return paths;
}

const tests = 200;
const clients = 10;
/** What the slow registry takes for each answer. */
const slownessMs = 2000;
const alone = `${clients} clients push 10 KiB blobs, no connection tests: p99`;
const beside = `the same beside ${tests} tests of a slow registry: p99`;
const took = `those ${tests} tests, asked for at once`;

export const connectionTests: Case = {
  id: 'connection-tests',
  once: true,
  leaveOut: { 'docker-registry': 'it tests nothing', zot: 'it tests nothing' },
  rows: [
    { name: alone, unit: 'ms', better: 'less' },
    { name: beside, unit: 'ms', better: 'less' },
    { name: took, unit: 's', better: 'less' },
  ],
  run: async (server, { seconds }, report) => {
    const quiet = await pushFor(server, clients, () => delay(seconds * 1000));
    report(alone, { value: quiet.p99Ms, note: `${quiet.pushes} pushes` });
    const registry = await startSlowRegistry();
    const started = performance.now();
    const both = await pushFor(server, clients, async () => {
      const ids = await addConnections(server, registry.url);
      await Promise.all(ids.map((id) => testOne(server, id)));
    });
    report(took, { value: (performance.now() - started) / 1000, note: `each answer after ${slownessMs} ms` });
    report(beside, { value: both.p99Ms, note: `${both.pushes} pushes` });
    registry.close();
  },
};

/** Takes Basic, and its time. */
async function startSlowRegistry(): Promise<{ url: string; close: () => void }> {
  const server = createServer(async (request, response) => {
    await delay(slownessMs);
    const isKnown = request.headers.authorization !== undefined;
    response.writeHead(isKnown ? 200 : 401, {
      'content-type': 'application/json',
      'docker-distribution-api-version': 'registry/2.0',
      ...(!isKnown && { 'www-authenticate': 'Basic realm="slow"' }),
    });
    response.end('{}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const close = () => {
    server.closeAllConnections();
    server.close();
  };
  return { url: `http://127.0.0.1:${port}`, close };
}

async function addConnections(server: Server, registryUrl: string): Promise<string[]> {
  const ids: string[] = [];
  for (let i = 0; i < tests; i++) {
    const body = { name: `slow ${i}`, provider: 'custom', registryUrl, username: 'bob', password: 'a password' };
    ids.push((await post(server, northflank, body)).data.id);
  }
  return ids;
}

async function testOne(server: Server, id: string): Promise<void> {
  const { passed, message } = await post(server, `${native}/${id}/test`);
  if (!passed) throw new Error(`the test of ${id} failed: ${message}`);
}

async function post(server: Server, path: string, body?: object) {
  const connection = await connect(server.port);
  const bytes = Buffer.from(body === undefined ? '' : JSON.stringify(body));
  const headers = { ...server.seedHeaders, 'Content-Type': 'application/json', 'Content-Length': bytes.length };
  const request = Buffer.concat([requestHead('POST', path, headers), bytes]);
  const reply = expect(await connection.send(request, 'keep'), 200, path);
  connection.close();
  return JSON.parse(reply.body.toString());
}
