import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { checkBlobs, checkManifests, checkTags } from '../crash/audit.ts';
import { type Ledger, openLedger } from '../crash/ledger.ts';
import { digestOf, pushImage } from '../crash/push.ts';
import { pause } from '../servers/child.ts';
import { startHaproxy } from '../servers/haproxy.ts';
import { startNginx } from '../servers/nginx.ts';
import { locationOf, useReplicas } from './world.ts';

// An upgrade as an operator does it: one replica after the other is stopped and started while clients push and pull
// through HAProxy, which asks each replica whether it is ready. One that does not ask learns of a stop only when it is
// refused, and what comes in the moment in which a listener closes is reset by the kernel, whatever server it is.
// LADING_TEST_ROLLING_BALANCER=nginx counts how often.

const startBalancer = process.env.LADING_TEST_ROLLING_BALANCER === 'nginx' ? startNginx : startHaproxy;
const env = { LADING_SHUTDOWN_DELAY: '3s', LADING_LOG_LEVEL: 'info' };
const world = useReplicas(() => ({ env, startBalancer }));

const repository = 'default/rolling';
const faults: string[] = [];
const served = { pushes: 0, pulls: 0, slowUploads: 0 };

async function keepDoing(signal: AbortSignal, what: string, work: () => Promise<void>): Promise<void> {
  while (!signal.aborted) {
    try {
      await work();
    } catch (error) {
      const cause = error instanceof Error && error.cause instanceof Error ? `: ${error.cause.message}` : '';
      faults.push(`${new Date().toISOString()} ${what}: ${error}${cause}`);
    }
  }
}

function pusher(ledger: Ledger, index: number) {
  const client = {
    url: world.url,
    authorization: `Bearer ${world.key}`,
    signal: new AbortController().signal,
    ledger,
  };
  let push = 0;
  return async () => {
    await pushImage(client, repository, `${repository}/shared`, `c${index}-${push++}`, `moving-${index}`);
    served.pushes++;
  };
}

/** Of what was pushed the newest tag, with all its parts. */
function puller(ledger: Ledger) {
  return async () => {
    const id = [...ledger.manifests].findLast(([, { isAcknowledged }]) => isAcknowledged)?.[0];
    if (id === undefined) return pause(50);
    const manifest = await world.ask(world, 'GET', `/v2/${repository}/manifests/${id.split('@')[1]}`);
    assert.equal(manifest.status, 200, manifest.text);
    for (const { digest } of [manifest.json.config, ...manifest.json.layers]) {
      const { status, bytes, text } = await world.ask(world, 'GET', `/v2/${repository}/blobs/${digest}`);
      assert.equal(status, 200, text);
      assert.equal(digestOf(bytes), digest);
    }
    served.pulls++;
  };
}

/** Longer than the delay: it is in flight when its replica stops to listen. */
async function uploadSlowly(): Promise<void> {
  const pieces = Array.from({ length: 20 }, () => randomBytes(20_000));
  const digest = digestOf(Buffer.concat(pieces));
  const left = [...pieces];
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const piece = left.shift();
      await pause(250);
      if (piece) controller.enqueue(piece);
      else controller.close();
    },
  });
  const location = locationOf(await world.ask(world, 'POST', `/v2/${repository}/blobs/uploads/`));
  const headers = { authorization: `Bearer ${world.key}` };
  const answer = await fetch(new URL(location, world.url), {
    method: 'PATCH',
    headers,
    body,
    duplex: 'half',
  } as object);
  assert.equal(answer.status, 202, await answer.text());
  const end = await world.ask(world, 'PUT', `${location}?digest=${digest}`);
  assert.equal(end.status, 201, end.text);
  served.slowUploads++;
}

test('replicas are restarted one after the other, and no client hears of it', async (t) => {
  const ledger = openLedger();
  const stopping = new AbortController();
  const clients = [
    ...[0, 1, 2].map((index) => keepDoing(stopping.signal, 'push', pusher(ledger, index))),
    ...[0, 1].map(() => keepDoing(stopping.signal, 'pull', puller(ledger))),
    ...[0, 1, 2].map(() => keepDoing(stopping.signal, 'slow upload', uploadSlowly)),
  ];
  const rounds = Number(process.env.LADING_TEST_ROLLING_ROUNDS ?? 1);
  for (let round = 0; round < rounds; round++) {
    for (const replica of world.replicas) {
      await pause(500);
      assert.equal(await replica.stop(), 0);
      assert.match(replica.log(), /not ready any more; requests are served for another 3 s/);
      await replica.start();
    }
  }
  stopping.abort();
  await Promise.all(clients);
  const requests = [...world.replicas].map((replica) => replica.log().match(/"status":\d+/g)?.length ?? 0);
  t.diagnostic(`${JSON.stringify(served)}, requests per replica ${requests}, ${faults.length} failed`);
  if (faults.length > 0) t.diagnostic(world.balancer.child.output());
  assert.deepEqual(faults, []);
  assert.ok(served.pushes > 0 && served.pulls > 0 && served.slowUploads > 0);
  const reader = { url: world.url, authorization: `Bearer ${world.key}` };
  assert.deepEqual(await checkBlobs(reader, [...ledger.blobs.keys()], ledger), []);
  assert.deepEqual(await checkManifests(reader, [...ledger.manifests.keys()], ledger), []);
  assert.deepEqual(await checkTags(reader, [...ledger.tags.keys()], ledger), []);
});
