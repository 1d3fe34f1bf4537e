import assert from 'node:assert/strict';
import { test } from 'node:test';
import { supplyNextCluster } from '#core/cluster-supply.ts';
import { openClusterWorld } from '#test/cluster-world.ts';

test('two workers do not supply one integration at the same time, and one that stalled changes nothing', async (t) => {
  const { kubernetes, connect, integration, platform } = await openClusterWorld(t);
  await connect(['default', 'apps']);
  const [reached, released] = [Promise.withResolvers<void>(), Promise.withResolvers<{ status: number }>()];
  kubernetes.before = (request) => {
    if (!request.startsWith('POST')) return undefined;
    kubernetes.before = undefined;
    reached.resolve();
    return released.promise;
  };
  const stalled = supplyNextCluster(platform, 'stalled');
  await reached.promise;
  assert.equal(await supplyNextCluster(platform, 'second'), false, 'the first one has it');
  platform.clock.advance(61_000);
  assert.equal(await supplyNextCluster(platform, 'second'), true, 'for a minute');
  assert.equal((await integration()).status, 'supplied');
  const asSupplied = structuredClone([...kubernetes.secrets]);
  released.resolve({ status: 500 });
  assert.equal(await stalled, true);
  assert.deepEqual([...kubernetes.secrets], asSupplied);
  assert.equal((await integration()).status, 'supplied', 'what the stalled one met is no longer true');
  const made = await platform.db.selectFrom('actors').select('id').where('kind', '=', 'pull').execute();
  assert.equal(made.length, 1);
});

test('of many workers that come at once one makes the token and the Secret', async (t) => {
  const { kubernetes, connect, platform } = await openClusterWorld(t);
  await connect();
  const took = await Promise.all([1, 2, 3, 4, 5].map((i) => supplyNextCluster(platform, `worker ${i}`)));
  assert.ok(took.includes(true));
  assert.deepEqual(
    kubernetes.requests.map((one) => one.split(' ')[0]),
    ['GET', 'POST'],
  );
  const made = await platform.db.selectFrom('actors').select('id').where('kind', '=', 'pull').execute();
  assert.equal(made.length, 1);
});

test('a crash between noting a place and writing there, or before the note of success, loses no Secret', async (t) => {
  const { call, kubernetes, connect, supply, clusterId, platform } = await openClusterWorld(t);
  await connect(['default', 'apps']);
  const crash = Promise.withResolvers<void>();
  const reached = Promise.withResolvers<void>();
  kubernetes.before = (request) => {
    if (!request.startsWith('GET /api/v1/namespaces/apps')) return undefined;
    reached.resolve();
    return crash.promise.then(() => undefined);
  };
  const crashed = supplyNextCluster(platform, 'crashed');
  await reached.promise;
  kubernetes.before = undefined;
  assert.deepEqual([...kubernetes.secrets.keys()], ['default/pull']);
  await call(`DELETE /registries/acme/clusters/${clusterId}`);
  platform.clock.advance(61_000);
  await supply();
  assert.equal(kubernetes.secrets.size, 0);
  crash.resolve();
  await crashed;
  assert.equal(kubernetes.secrets.size, 0, 'who wakes up makes nothing any more');
});

test('what is asked for while a worker is at it is done right after', async (t) => {
  const { call, kubernetes, connect, supply, clusterId } = await openClusterWorld(t);
  await connect(['default', 'apps']);
  let asked: Promise<unknown> | undefined;
  kubernetes.before = (request) => {
    if (request.startsWith('POST') && !asked) asked = call(`DELETE /registries/acme/clusters/${clusterId}`);
    return undefined;
  };
  await supply();
  await asked;
  await supply();
  assert.equal(kubernetes.secrets.size, 0);
});
