import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { type Kubernetes, startKubernetes } from '../servers/kubernetes.ts';
import { type ScriptedRegistry, startRegistry } from '../servers/registry.ts';
import { pushImage, until, useReplicas } from './world.ts';

// Every replica runs every timer, and the rows say who does what: what is due once is done once, however many look.

let kubernetes: Kubernetes;
let registry: ScriptedRegistry;
// A hook that is made inside another one would run at the end of that one.
const ends: (() => unknown)[] = [];
after(async () => {
  for (const end of ends) await end();
});
const world = useReplicas(async () => {
  const scope = { after: (end: () => unknown) => void ends.push(end) };
  kubernetes = await startKubernetes(scope);
  registry = await startRegistry(scope);
  const env = {
    LADING_GC_SCHEDULE: '* * * * *',
    LADING_CONNECTION_CHECK_INTERVAL: '1m',
    LADING_UPSTREAM_ALLOW: '127.0.0.1/32',
  };
  return { env };
});

const count = 12;

test('over more than a minute, collections, tests of connections and Secrets in clusters are made once each', async (t) => {
  await pushImage(world, world, 'default/app', 'v1');
  await Promise.all(Array.from({ length: count }, (_, i) => connect(`elsewhere-${i}`)));
  await supply();

  await until('the Secrets', async () => kubernetes.secrets.size === 2, 90_000);
  await until('a test of each', async () => (await testsOf('changed')).length === count, 90_000);
  await until('a second test of each', async () => (await testsOf('scheduled')).length === count, 150_000);
  await until('a collection', async () => (await collections()).some(({ state }) => state === 'done'), 90_000);

  const changed = await testsOf('changed');
  assert.deepEqual([...new Set(changed.map(({ tests }) => tests))], [1]);
  const scheduled = await world.rows(
    `select connection_id, created_at::float8 as at from connection_tests order by connection_id, created_at`,
  );
  const gaps = scheduled.flatMap((one, i) => {
    const before = scheduled[i - 1];
    return before?.connection_id === one.connection_id ? [one.at - before.at] : [];
  });
  t.diagnostic(`seconds between two tests of a connection: from ${Math.round(Math.min(...gaps) / 1000)}`);
  assert.ok(Math.min(...gaps) > 30_000, 'two replicas have tested the same at once');

  const writes = kubernetes.requests.filter((line) => /^(POST|PUT) .*\/secrets/.test(line) && !line.includes('dryRun'));
  assert.equal(writes.length, 2, writes.join('\n'));

  const runs = await collections();
  t.diagnostic(`${runs.length} collections`);
  const minutes = runs.map(({ at }) => Math.floor(at / 60_000));
  assert.equal(new Set(minutes).size, runs.length, 'one minute was served twice');
  assert.deepEqual([...new Set(runs.map(({ again }) => again))], [0]);
});

async function connect(name: string): Promise<void> {
  const body = { name, provider: 'oci', url: registry.url, username: 'alice', password: 'correct horse' };
  const made = await world.ask(world, 'POST', '/lading/v1/connections', { body });
  assert.equal(made.status, 201, made.text);
}

async function supply(): Promise<void> {
  const { url: server, authority, token } = kubernetes;
  const cluster = { name: 'prod', pool: 'main', server, caPem: authority.caPem, token };
  const made = await world.ask(world, 'POST', '/lading/v1/clusters', { body: cluster });
  assert.equal(made.status, 201, made.text);
  const body = { namespaces: ['default', 'apps'], secretName: 'pull' };
  const path = `/lading/v1/registries/default/clusters/${made.json.id}`;
  const connected = await world.ask(world, 'PUT', path, { body });
  assert.ok(connected.status < 300, connected.text);
}

/** How often each connection was tested for that cause. */
const testsOf = (cause: string): Promise<{ tests: number }[]> =>
  world.rows(
    `select connection_id, count(*)::int as tests from connection_tests where cause = $1 group by connection_id`,
    [cause],
  );

const collections = (): Promise<{ state: string; at: number; again: number }[]> =>
  world.rows(
    `select state, created_at::float8 as at, again from operations where kind = 'garbage_collection' order by id`,
  );
