import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import {
  digestOf,
  locationOf,
  manifestType,
  newName,
  openRequest,
  type Place,
  pushBlob,
  pushImage,
  until,
  useReplicas,
} from './world.ts';

// One upload is anybody's: each request of a push may reach another replica, and none of them keeps anything that counts.

const world = useReplicas();

const repositoryOf = () => `default/${newName('app')}`;

async function open(place: Place, repository: string): Promise<string> {
  const answer = await world.ask(place, 'POST', `/v2/${repository}/blobs/uploads/`);
  assert.equal(answer.status, 202, answer.text);
  return locationOf(answer);
}

const append = (place: Place, location: string, body: Buffer, at: number) =>
  world.ask(place, 'PATCH', location, { body, headers: { 'content-range': `${at}-${at + body.length - 1}` } });
const finish = (place: Place, location: string, digest: string, body?: Buffer) =>
  world.ask(place, 'PUT', `${location}?digest=${digest}`, body ? { body } : {});

/** Sends the pieces one after the other, each where `placeOf` says. */
async function send(location: string, pieces: readonly Buffer[], placeOf: (index: number) => Place): Promise<string[]> {
  const seen: string[] = [];
  let at = 0;
  for (const [index, piece] of pieces.entries()) {
    const answer = await append(placeOf(index), location, piece, at);
    at += piece.length;
    assert.deepEqual([answer.status, answer.headers.get('range')], [202, `0-${at - 1}`], answer.text);
    seen.push(answer.headers.get('x-served-by') ?? '');
  }
  return seen;
}

const piecesOf = (count: number, size = 3000) => Array.from({ length: count }, () => randomBytes(size));

async function assertEverywhere(repository: string, bytes: Buffer): Promise<void> {
  for (const place of [world, ...world.replicas]) {
    const answer = await world.ask(place, 'GET', `/v2/${repository}/blobs/${digestOf(bytes)}`);
    assert.equal(answer.status, 200, answer.text);
    assert.ok(answer.bytes.equals(bytes), place.url);
  }
}

/** No object is owned by nobody, and none is still being written. */
const writing = () => world.rows(`select key from objects where state = 'writing'`);

test('replicas that start together on an empty database make one of everything', async () => {
  const [counts] = await world.rows(`select
    (select count(*)::int from teams) as teams, (select count(*)::int from projects) as projects,
    (select count(*)::int from registries) as registries, (select count(*)::int from regions) as regions,
    (select count(*)::int from actors) as actors, (select count(*)::int from signing_keys) as signing_keys`);
  assert.deepEqual(counts, {
    teams: 1,
    projects: 1,
    registries: 1,
    regions: 1,
    actors: 1,
    signing_keys: 1,
  });
});

test('an upload in 40 chunks through the load balancer, each chunk wherever it comes to', async () => {
  const repository = repositoryOf();
  const pieces = piecesOf(40);
  const whole = Buffer.concat(pieces);
  const location = await open(world, repository);
  const served = await send(location, pieces, () => world);
  assert.equal(new Set(served).size, 3, 'all replicas had a share');
  const end = await finish(world, location, digestOf(whole));
  assert.equal(end.status, 201, end.text);
  await assertEverywhere(repository, whole);
  assert.deepEqual(await writing(), []);
});

test('an upload whose every chunk comes to another replica, ended where no running hash is or an old one', async () => {
  const { a, b, c } = world;
  // Who takes which chunk, and who ends it. The one who ends has seen nothing, the beginning, or all but one chunk.
  const courses: [string, Place[], Place][] = [
    ['never seen by the third', [a, b, a, b, a, b], c],
    ['begun here, continued there', [a, a, a, b], a],
    ['one chunk went elsewhere in the middle', [a, a, b, a, a], a],
    ['round and round', Array.from({ length: 40 }, (_, i) => [c, b, a][i % 3] as Place), b],
  ];
  for (const [name, places, last] of courses) {
    for (const lastPiece of [undefined, randomBytes(500)]) {
      const repository = repositoryOf();
      const pieces = piecesOf(places.length);
      const whole = Buffer.concat([...pieces, ...(lastPiece ? [lastPiece] : [])]);
      const location = await open(b, repository);
      await send(location, pieces, (index) => places[index] ?? a);
      const end = await finish(last, location, digestOf(whole), lastPiece);
      assert.equal(end.status, 201, `${name}: ${end.text}`);
      await assertEverywhere(repository, whole);
    }
  }
});

test('bytes with another digest than announced are refused wherever the upload ends', async () => {
  const { a, b, c } = world;
  const repository = repositoryOf();
  const location = await open(a, repository);
  await send(location, piecesOf(3), (index) => [a, b, a][index] ?? a);
  const end = await finish(c, location, digestOf('something else'));
  assert.equal(end.status, 400);
  assert.equal(end.json.errors[0].code, 'DIGEST_INVALID');
  for (const place of [a, b, c]) assert.equal((await world.ask(place, 'GET', location)).status, 404);
});

test('each replica says where an upload stands, and refuses the chunk that another has', async () => {
  const { a, b, c } = world;
  const repository = repositoryOf();
  const location = await open(a, repository);
  const [first, second] = piecesOf(2) as [Buffer, Buffer];
  await send(location, [first], () => a);
  for (const place of [a, b, c]) {
    const { status, headers } = await world.ask(place, 'GET', location);
    assert.deepEqual([status, headers.get('range')], [204, '0-2999']);
  }
  const again = await append(b, location, first, 0);
  assert.deepEqual([again.status, again.headers.get('range')], [416, '0-2999']);
  const both = await Promise.all([a, b, c].map((place) => append(place, location, second, 3000)));
  assert.deepEqual(both.map(({ status }) => status).sort(), [202, 416, 416], 'one of three at once has it');
  assert.equal((await finish(c, location, digestOf(Buffer.concat([first, second])))).status, 201);
  assert.deepEqual(await writing(), []);
});

test('an upload cancelled at one replica is over at the others, also for the chunk that is on its way', async () => {
  const { a, b, c } = world;
  const repository = repositoryOf();
  const location = await open(a, repository);
  await send(location, piecesOf(2), (index) => [b, c][index] ?? b);
  const { sent, answer } = openRequest(b, 'PATCH', location, { authorization: `Bearer ${world.key}` });
  sent.write(randomBytes(1000));
  await until('the chunk is being written', async () => (await writing()).length > 0);
  assert.equal((await world.ask(a, 'DELETE', location)).status, 204);
  const next = await append(c, location, randomBytes(10), 6000);
  assert.equal(next.status, 404);
  assert.equal(next.json.errors[0].code, 'BLOB_UPLOAD_UNKNOWN');
  sent.end(randomBytes(1000));
  assert.equal((await answer).status, 404);
  assert.deepEqual(await writing(), []);
  const [registry] = await world.rows(`select reserved from registries where name = 'default'`);
  assert.equal(Number(registry.reserved), 0);
});

test('what one replica has answered, the next request to another sees: a blob, a tag, where it moved, that it is gone', async () => {
  const { a, b, c } = world;
  const repository = repositoryOf();
  const layer = await pushBlob(world, a, repository, randomBytes(100));
  assert.equal((await world.ask(b, 'HEAD', `/v2/${repository}/blobs/${layer}`)).status, 200);
  const other = repositoryOf();
  const mounted = await world.ask(c, 'POST', `/v2/${other}/blobs/uploads/?mount=${layer}&from=${repository}`);
  assert.equal(mounted.status, 201);
  assert.equal((await world.ask(a, 'GET', `/v2/${other}/blobs/${layer}`)).status, 200);
  const pull = (place: Place) =>
    world.ask(place, 'GET', `/v2/${repository}/manifests/latest`, { headers: { accept: manifestType } });
  for (let round = 0; round < 5; round++) {
    const places = [a, b, c].map((_, index) => [a, b, c][(index + round) % 3] as Place);
    const [pusher, ...others] = places as [Place, ...Place[]];
    const { digest } = await pushImage(world, pusher, repository, 'latest');
    for (const place of others) {
      assert.equal((await pull(place)).headers.get('docker-content-digest'), digest, `round ${round}`);
    }
  }
  assert.equal((await world.ask(b, 'DELETE', `/v2/${repository}/manifests/latest`)).status, 202);
  for (const place of [a, b, c]) assert.equal((await pull(place)).status, 404);
});
