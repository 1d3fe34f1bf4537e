import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as delay } from 'node:timers/promises';
import type { Case } from '../case.ts';
import { connect, requestHead } from '../connection.ts';
import { configOf, kinds } from '../launches.ts';
import { eachOf, expect, imageManifest, makeBlob, pushBlob, pushManifest, repositoryOf } from '../push.ts';
import { pushFor } from '../push-latency.ts';
import { type Server, scopeOf } from '../servers.ts';

const images = 2000;
const took = `collection among ${images.toLocaleString('en')} images, every second one deleted`;
const down = 'of that, nobody can push';

/** The same content on both; docker-registry collects while it is stopped, because pushes meanwhile would lose layers. */
export const collection: Case = {
  id: 'collection',
  once: true,
  leaveOut: { zot: 'it collects by its own clock and cannot be asked to' },
  rows: [took, down].map((name) => ({ name, unit: 's', better: 'less' })),
  run: async (server, _settings, report) => {
    await seedAndDelete(server);
    const started = performance.now();
    if (server.name === 'lading') {
      await collect(server);
      report(took, { value: secondsSince(started) });
      report(down, { value: 0, note: 'it goes on serving' });
      return;
    }
    const again = await server.restart(async () => {
      const command = kinds['docker-registry'].program ?? '';
      execFileSync(command, ['garbage-collect', configOf(server.dataDir)], { stdio: 'ignore' });
    });
    report(took, { value: secondsSince(started) });
    report(down, { value: secondsSince(started) });
    await again.stop();
  },
};

const secondsSince = (started: number) => (performance.now() - started) / 1000;

async function seedAndDelete(server: Server): Promise<void> {
  const workers = await Promise.all(Array.from({ length: 8 }, () => connect(server.port)));
  const name = repositoryOf(server, 'collected');
  const headers = server.seedHeaders;
  const unwanted: string[] = [];
  await eachOf(Array.from({ length: images }).keys(), workers, async (index, worker) => {
    const blobs = [1000, 4000, 16_000].map(makeBlob);
    for (const blob of blobs) await pushBlob(worker, name, blob, headers);
    const [config, ...layers] = blobs;
    if (config === undefined) throw new Error('an image needs a config');
    const digest = await pushManifest(worker, name, `v${index}`, imageManifest(config, layers), headers);
    if (index % 2 === 1) unwanted.push(digest);
  });
  // One after the other: docker-registry answers 500 where another deletion takes away a folder that it reads.
  await eachOf(unwanted, workers.slice(0, 1), async (digest, worker) => {
    expect(await worker.send(requestHead('DELETE', `/v2/${name}/manifests/${digest}`, headers)), 202, 'DELETE');
  });
  for (const worker of workers) worker.close();
}

type Operation = { id: string; state: string; error: string | null; progress: { links?: number } };

/** Starts a collection on Lading and waits for its end. Answers what the operation says. */
async function collect(server: Server): Promise<Operation> {
  const { id } = await startCollection(server);
  for (;;) {
    const operation = await getOperation(server, id);
    if (operation.state === 'done') return operation;
    await delay(100);
  }
}

async function startCollection(server: Server): Promise<Operation> {
  const connection = await connect(server.port);
  const body = Buffer.from('{}');
  const headers = { ...server.seedHeaders, 'Content-Type': 'application/json', 'Content-Length': body.length };
  const head = requestHead('POST', '/lading/v1/registries/default/garbage-collection', headers);
  const started = expect(await connection.send(Buffer.concat([head, body]), 'keep'), 202, 'start of a collection');
  connection.close();
  return JSON.parse(started.body.toString());
}

async function getOperation(server: Server, id: string): Promise<Operation> {
  const connection = await connect(server.port);
  const ask = requestHead('GET', `/lading/v1/operations/${id}`, server.seedHeaders);
  const answer = expect(await connection.send(ask, 'keep'), 200, 'operation');
  connection.close();
  const operation: Operation = JSON.parse(answer.body.toString());
  if (operation.state === 'failed') throw new Error(`the collection failed: ${operation.error}`);
  return operation;
}

const links = Number(process.env.BENCH_LINKS ?? 1_000_000);
const clients = 10;
const idle = `${clients} clients push 10 KiB blobs, nothing else: p99`;
const busy = `the same beside a collection: p99`;
const alone = `collection of ${links.toLocaleString('en')} links with their blobs, idle server`;
const beside = `collection beside those ${clients} clients`;

export const largeCollection: Case = {
  id: 'large-collection',
  once: true,
  leaveOut: { 'docker-registry': 'it has no links and collects offline', zot: 'it cannot be asked to collect' },
  rows: [
    { name: alone, unit: 'links/s', better: 'more' },
    { name: idle, unit: 'ms', better: 'less' },
    { name: busy, unit: 'ms', better: 'less' },
    { name: beside, unit: 'links/s', better: 'more' },
  ],
  run: async (server, { seconds }, report) => {
    const seeded = await withGarbage(server);
    const started = performance.now();
    const { progress } = await collect(seeded);
    report(alone, { value: (progress.links ?? 0) / secondsSince(started) });
    const again = await withGarbage(seeded);
    const quiet = await pushFor(again, clients, async () => delay(seconds * 1000));
    report(idle, { value: quiet.p99Ms, note: `${quiet.pushes} pushes` });
    let rate = 0;
    const both = await pushFor(again, clients, async () => {
      const started = performance.now();
      const { id } = await startCollection(again);
      await delay(seconds * 1000);
      rate = ((await getOperation(again, id)).progress.links ?? 0) / secondsSince(started);
    });
    report(busy, { value: both.p99Ms, note: `${both.pushes} pushes` });
    report(beside, { value: rate });
    await again.stop();
  },
};

/** A million blobs in one repository that nothing refers to, put into the stopped server's database. */
async function withGarbage(server: Server): Promise<Server> {
  const connection = await connect(server.port);
  const headers = await server.authorize([scopeOf(server, 'garbage')]);
  await pushBlob(connection, repositoryOf(server, 'garbage'), makeBlob(100), headers);
  connection.close();
  return server.restart(async () => {
    const database = new DatabaseSync(join(server.dataDir, 'store', 'lading.db'));
    database.exec(`begin;
      create temp table garbage as with recursive c(n) as (select 1 union all select n + 1 from c where n < ${links})
        select 'sha256:' || lower(hex(randomblob(32))) as digest, lower(hex(randomblob(20))) as key from c;
      insert into objects (key, state, size, refs, attempts)
        select substr(key, 1, 2) || '/' || key, 'stored', 1000, 1, 0 from garbage order by key;
      create temp table place as select r.id, r.registry_id from repositories as r where r.name = 'garbage';
      insert into blobs (registry_id, digest, object_key, size, links, lost)
        select p.registry_id, g.digest, substr(g.key, 1, 2) || '/' || g.key, 1000, 1, 0 from garbage g, place p order by g.digest;
      insert into repository_blobs (repository_id, digest, registry_id, leased_until, leased_by)
        select p.id, g.digest, p.registry_id, 0, '' from garbage g, place p order by g.digest;
      update registries set size = size + 1000 * ${links} where id in (select registry_id from place);
      update repositories set size = size + 1000 * ${links} where id in (select id from place);
      commit`);
    database.close();
  });
}
