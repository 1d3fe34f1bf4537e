import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import type { Replica } from '../servers/replicas.ts';
import {
  digestOf,
  locationOf,
  makeRegistry,
  manifestType,
  newName,
  openRequest,
  type Place,
  pushBlob,
  pushImage,
  until,
  useReplicas,
} from './world.ts';

// Who may do what, where one replica is told and another is asked.

const hourly = 240;
const world = useReplicas(() => ({ env: { LADING_API_RATE_LIMIT: String(hourly) } }));

/** The management API is asked for few things here, and never in a loop: its requests are counted. */
const api = (place: Place, method: string, path: string, body?: object) =>
  world.ask(place, method, `/lading/v1${path}`, body ? { body } : {});

async function newToken(place: Place, scope = 'rw'): Promise<{ id: string; secret: string }> {
  const made = await api(place, 'POST', '/tokens', { name: newName('t'), scope, registryIds: null });
  assert.equal(made.status, 201, made.text);
  return { id: made.json.token?.id ?? made.json.id, secret: made.json.secret };
}

async function newKey(place: Place, permissions: string[]): Promise<{ id: string; secret: string }> {
  const made = await api(place, 'POST', '/api-keys', { name: newName('k'), permissions });
  assert.equal(made.status, 201, made.text);
  return { id: made.json.apiKey?.id ?? made.json.id, secret: made.json.secret };
}

async function accessToken(place: Place, secret: string, scope: string): Promise<string> {
  const basic = `Basic ${Buffer.from(`ci:${secret}`).toString('base64')}`;
  const service = new URL(world.url).host;
  const path = `/token?service=${service}&scope=${encodeURIComponent(scope)}`;
  const answer = await world.ask(place, 'GET', path, { headers: { authorization: basic } });
  assert.equal(answer.status, 200, answer.text);
  return answer.json.token;
}

const pull = (place: Place, secret: string, repository: string) =>
  world.ask(place, 'GET', `/v2/${repository}/manifests/v1`, { secret, headers: { accept: manifestType } });
const startUpload = (place: Place, secret: string, repository: string) =>
  world.ask(place, 'POST', `/v2/${repository}/blobs/uploads/`, { secret });

const kidOf = (token: string) => JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString()).kid;

test('a token made at one replica is good at the others with the next request', async () => {
  const { a, b, c } = world;
  const repository = `default/${newName('app')}`;
  await pushImage(world, c, repository, 'v1');
  for (const [maker, ...users] of [
    [a, b, c],
    [b, c, a],
    [c, a, b],
  ] as [Replica, Replica, Replica][]) {
    const { secret } = await newToken(maker);
    for (const user of users) {
      assert.equal((await pull(user, secret, repository)).status, 200);
      assert.equal((await startUpload(user, secret, repository)).status, 202);
    }
  }
});

test('an access token of one replica opens the others', async () => {
  const repository = `default/${newName('app')}`;
  await pushImage(world, world.a, repository, 'v1');
  for (const signer of world.replicas) {
    const token = await accessToken(signer, world.key, `repository:${repository}:pull,push`);
    for (const place of [world, ...world.replicas]) {
      assert.equal((await pull(place, token, repository)).status, 200);
      assert.equal((await startUpload(place, token, repository)).status, 202);
    }
  }
});

type Way = {
  /** Who asks until it is refused, and what is changed at the first replica. */
  begin: () => Promise<{ secret: string; repository: string; end: () => Promise<number> }>;
  /** What a pull, and what a push, is answered when the change is seen. */
  pull: number;
  push: number;
};

const ways: Record<string, Way> = {
  'a revoked token': {
    pull: 401,
    push: 401,
    begin: async () => {
      const token = await newToken(world.b);
      const end = async () => (await api(world.a, 'POST', `/tokens/${token.id}/revoke`)).status;
      return { secret: token.secret, repository: `default/${newName('app')}`, end };
    },
  },
  'a regenerated token': {
    pull: 401,
    push: 401,
    begin: async () => {
      const token = await newToken(world.b);
      const end = async () => (await api(world.a, 'POST', `/tokens/${token.id}/regenerate`, {})).status;
      return { secret: token.secret, repository: `default/${newName('app')}`, end };
    },
  },
  'a deleted API key': {
    pull: 401,
    push: 401,
    begin: async () => {
      const key = await newKey(world.c, ['images:pull', 'images:push']);
      const end = async () => (await api(world.a, 'DELETE', `/api-keys/${key.id}`)).status;
      return { secret: key.secret, repository: `default/${newName('app')}`, end };
    },
  },
  'a token narrowed to reading': {
    pull: 200,
    push: 403,
    begin: async () => {
      const token = await newToken(world.c);
      const end = async () => (await api(world.a, 'PATCH', `/tokens/${token.id}`, { scope: 'ro' })).status;
      return { secret: token.secret, repository: `default/${newName('app')}`, end };
    },
  },
  'a deleted registry': {
    pull: 404,
    push: 404,
    begin: async () => {
      const name = newName('gone');
      await makeRegistry(world, world.b, name);
      const { secret } = await newToken(world.b);
      const end = async () => (await api(world.a, 'DELETE', `/registries/${name}`)).status;
      return { secret, repository: `${name}/app`, end };
    },
  },
};

/** After a revocation on another replica; see `actors.ts`. */
const seenWithinMs = 2000;

for (const [name, way] of Object.entries(ways)) {
  test(`${name} is refused at the other replicas within two seconds, by itself and by its access token`, async (t) => {
    const { secret, repository, end } = await way.begin();
    await pushImage(world, world.c, repository, 'v1');
    const jwt = await accessToken(world.c, secret, `repository:${repository}:pull,push`);
    const others = [world.b, world.c];
    const asks = others.flatMap((place) => [secret, jwt].map((shown) => ({ place, shown })));
    // Known to the others, and used by them a moment ago.
    for (const { place, shown } of asks) {
      assert.equal((await pull(place, shown, repository)).status, 200);
      assert.equal((await startUpload(place, shown, repository)).status, 202);
    }
    const status = await end();
    assert.ok(status < 300, String(status));
    const endedAt = performance.now();
    const late = await Promise.all(
      asks.map(async ({ place, shown }) => {
        await until('refusal', async () => (await startUpload(place, shown, repository)).status === way.push, 10_000);
        return performance.now() - endedAt;
      }),
    );
    t.diagnostic(`${name}: refused after ${late.map((ms) => Math.round(ms)).join(', ')} ms`);
    assert.ok(Math.max(...late) < seenWithinMs, late.join());
    for (const { place, shown } of asks) {
      assert.equal((await startUpload(place, shown, repository)).status, way.push);
      assert.equal((await pull(place, shown, repository)).status, way.pull);
    }
    // The one that made the change never lags behind itself.
    assert.equal((await startUpload(world.a, secret, repository)).status, way.push);
  });

  test(`what ${name} was still sending to other replicas is refused at its commit`, async () => {
    const { secret, repository, end } = await way.begin();
    await pushImage(world, world.c, repository, 'v1');
    const sending = await Promise.all([sendBlob(world.b, secret, repository), sendChunks(secret, repository)]);
    await until('both are being written', async () => (await writing()) >= 2);
    assert.ok((await end()) < 300);
    for (const { finish, digest } of sending) {
      const { status, text } = await finish();
      // A registry whose repositories are being emptied says so before it is gone.
      const isGoing = status === 503 && /is being deleted/.test(text);
      assert.ok(status === way.push || (isGoing && way.push === 404), `${status} ${text}`);
      const blob = await world.ask(world.a, 'HEAD', `/v2/${repository}/blobs/${digest}`);
      assert.equal(blob.status, 404, 'it is there all the same');
    }
  });
}

const writing = async () => (await world.rows(`select key from objects where state = 'writing'`)).length;

type Sending = { digest: string; finish: () => Promise<{ status: number; text: string }> };

/** Half of a whole blob. */
async function sendBlob(place: Place, secret: string, repository: string): Promise<Sending> {
  const [first, second] = [randomBytes(4000), randomBytes(4000)];
  const digest = digestOf(Buffer.concat([first, second]));
  const path = `/v2/${repository}/blobs/uploads/?digest=${digest}`;
  const headers = { authorization: `Bearer ${secret}`, 'content-length': '8000' };
  const { sent, answer } = openRequest(place, 'POST', path, headers);
  sent.write(first);
  return {
    digest,
    finish: () => {
      sent.end(second);
      return answer;
    },
  };
}

/** A chunk at one replica, and half of the last at another. */
async function sendChunks(secret: string, repository: string): Promise<Sending> {
  const [first, second, third] = [randomBytes(3000), randomBytes(3000), randomBytes(3000)];
  const digest = digestOf(Buffer.concat([first, second, third]));
  const location = locationOf(await startUpload(world.b, secret, repository));
  assert.equal((await world.ask(world.b, 'PATCH', location, { secret, body: first })).status, 202);
  const headers = { authorization: `Bearer ${secret}`, 'content-length': '6000' };
  const { sent, answer } = openRequest(world.c, 'PUT', `${location}?digest=${digest}`, headers);
  sent.write(second);
  return {
    digest,
    finish: () => {
      sent.end(third);
      return answer;
    },
  };
}

test('a manifest that a revoked token was still sending is not there', async () => {
  const repository = `default/${newName('app')}`;
  const { bytes } = await pushImage(world, world.a, repository, 'v1');
  const token = await newToken(world.b);
  assert.equal((await pull(world.b, token.secret, repository)).status, 200);
  const headers = {
    authorization: `Bearer ${token.secret}`,
    'content-type': manifestType,
    'content-length': String(bytes.length),
    expect: '100-continue',
  };
  const { sent, answer } = openRequest(world.b, 'PUT', `/v2/${repository}/manifests/v2`, headers);
  sent.flushHeaders();
  await new Promise<void>((resolve) => sent.once('continue', resolve));
  sent.write(bytes.subarray(0, 100));
  assert.equal((await api(world.a, 'POST', `/tokens/${token.id}/revoke`)).status, 200);
  sent.end(bytes.subarray(100));
  assert.equal((await answer).status, 401);
  assert.equal((await world.ask(world.c, 'GET', `/v2/${repository}/manifests/v2`)).status, 404);
});

test('while keys rotate, what any replica signs is good at all of them', async () => {
  const { a, b, c } = world;
  const repository = `default/${newName('app')}`;
  await pushBlob(world, a, repository, randomBytes(10));
  await pushImage(world, a, repository, 'v1');
  const scope = `repository:${repository}:pull`;
  const old = await accessToken(b, world.key, scope);
  const minuteMs = 60_000;
  const age = (ms: number) => world.rows(`update signing_keys set created_at = created_at - ${ms}`);
  const restart = async (replica: Replica) => {
    assert.equal(await replica.stop(), 0);
    await replica.start();
  };
  // A month later one of them, restarted, finds the key due. The new one does not sign before all have read it.
  await age(31 * 24 * 60 * minuteMs);
  await restart(a);
  const keys = await world.rows('select id from signing_keys order by created_at');
  assert.equal(keys.length, 2);
  const during = await accessToken(a, world.key, scope);
  assert.equal(kidOf(during), kidOf(old));
  // Three minutes later it does, and those that have not read it yet look it up.
  await age(3 * minuteMs);
  await restart(a);
  const young = await accessToken(a, world.key, scope);
  assert.equal(kidOf(young), keys[1]?.id);
  for (const token of [old, during, young]) {
    for (const place of [a, b, c]) assert.equal((await pull(place, token, repository)).status, 200);
  }
  // Two that find the same key due make one.
  await age(31 * 24 * 60 * minuteMs);
  await Promise.all([restart(b), restart(c)]);
  const later = await world.rows('select id from signing_keys order by created_at');
  assert.equal(later.length, 2, 'one more, and the oldest, long replaced, is gone');
});

test('the hourly limit of a key holds over all replicas, to the request', async () => {
  const { secret } = await newKey(world.a, ['registries:read']);
  const statuses = new Map<number, number>();
  const asked = hourly + 160;
  let left = asked;
  const client = async () => {
    while (left-- > 0) {
      const { status } = await world.ask(world, 'GET', '/lading/v1/registries?limit=1', { secret });
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
    }
  };
  await Promise.all(Array.from({ length: 12 }, client));
  assert.deepEqual(Object.fromEntries(statuses), { 200: hourly, 429: asked - hourly });
});
