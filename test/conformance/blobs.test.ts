import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import {
  type Algorithm,
  digest,
  expectContent,
  expectStatus,
  location,
  openSession,
  pushBlob,
  useRegistry,
  withQuery,
} from './registry.ts';

const registry = useRegistry();
const { stringify } = JSON;

/** Sends the chunks in order with PATCH; the Location after the last. */
async function sendChunks(session: string, chunks: Buffer[]): Promise<string> {
  let at = session;
  let offset = 0;
  for (const body of chunks) {
    const headers = {
      'content-range': `${offset}-${offset + body.length - 1}`,
      'content-type': 'application/octet-stream',
    };
    const answer = expectStatus(await registry.ask('PATCH', at, { body, headers }), 202);
    offset += body.length;
    assert.equal(answer.headers.get('range'), `0-${offset - 1}`);
    at = location(answer);
  }
  return at;
}

function streamOf(...pieces: Buffer[]): ReadableStream<Uint8Array> {
  return ReadableStream.from(pieces) as ReadableStream<Uint8Array>;
}

const thirds = (bytes: Buffer) => {
  const size = Math.floor(bytes.length / 3) + 1;
  return [bytes.subarray(0, size), bytes.subarray(size, 2 * size), bytes.subarray(2 * size)];
};

for (const algorithm of ['sha256', 'sha512'] as Algorithm[]) {
  const ways: Record<string, (repository: string, bytes: Buffer, name: string) => Promise<string>> = {
    'one POST': async (repository, body, name) =>
      location(
        expectStatus(
          await registry.ask('POST', withQuery(`/v2/${repository}/blobs/uploads/`, 'digest', name), { body }),
          201,
        ),
      ),
    'POST and PUT': async (repository, body, name) =>
      location(
        expectStatus(
          await registry.ask('PUT', withQuery(await openSession(registry, repository), 'digest', name), { body }),
          201,
        ),
      ),
    'one chunk': async (repository, bytes, name) => {
      const at = await sendChunks(await openSession(registry, repository), [bytes]);
      return location(expectStatus(await registry.ask('PUT', withQuery(at, 'digest', name)), 201));
    },
    'three chunks': async (repository, bytes, name) => {
      const at = await sendChunks(await openSession(registry, repository), thirds(bytes));
      return location(expectStatus(await registry.ask('PUT', withQuery(at, 'digest', name)), 201));
    },
    'chunks, the last in the PUT': async (repository, bytes, name) => {
      const [a, b, c] = thirds(bytes) as [Buffer, Buffer, Buffer];
      const at = await sendChunks(await openSession(registry, repository), [a, b]);
      const headers = { 'content-range': `${a.length + b.length}-${bytes.length - 1}` };
      return location(
        expectStatus(await registry.ask('PUT', withQuery(at, 'digest', name), { body: c, headers }), 201),
      );
    },
    'a stream without a length': async (repository, bytes, name) => {
      const answer = await registry.ask('PATCH', await openSession(registry, repository), {
        body: streamOf(...thirds(bytes)),
      });
      const at = location(expectStatus(answer, 202));
      return location(expectStatus(await registry.ask('PUT', withQuery(at, 'digest', name)), 201));
    },
  };
  for (const [way, push] of Object.entries(ways)) {
    test(`a blob pushed by ${way} under ${algorithm} is there under its digest`, async () => {
      const repository = registry.repository();
      const bytes = randomBytes(3000);
      const name = digest(bytes, algorithm);
      expectStatus(await registry.ask('GET', `/v2/${repository}/blobs/${name}`), 404);
      await expectContent(registry, await push(repository, bytes, name), bytes, name);
      await expectContent(registry, `/v2/${repository}/blobs/${name}`, bytes, name);
    });
  }

  test(`bytes that do not have their ${algorithm} digest are refused however they come`, async () => {
    const repository = registry.repository();
    const bytes = randomBytes(500);
    const wrong = digest('something else', algorithm);
    const direct = await registry.ask('POST', withQuery(`/v2/${repository}/blobs/uploads/`, 'digest', wrong), {
      body: bytes,
    });
    expectStatus(direct, 400);
    const sessions = [
      await openSession(registry, repository),
      await sendChunks(await openSession(registry, repository), thirds(bytes)),
      location(await registry.ask('PATCH', await openSession(registry, repository), { body: streamOf(bytes) })),
    ];
    for (const [i, session] of sessions.entries()) {
      const sending = i === 0 ? { body: bytes } : {};
      expectStatus(await registry.ask('PUT', withQuery(session, 'digest', wrong), sending), 400);
    }
    for (const name of [wrong, digest(bytes, algorithm)]) {
      expectStatus(await registry.ask('HEAD', `/v2/${repository}/blobs/${name}`), 404);
    }
  });

  test(`the empty blob can be pushed under ${algorithm}`, async () => {
    const repository = registry.repository();
    const name = await pushBlob(registry, repository, Buffer.alloc(0), algorithm);
    await expectContent(registry, `/v2/${repository}/blobs/${name}`, Buffer.alloc(0), name);
  });
}

test('a chunk out of its order is refused on PATCH and on PUT, and the session goes on where it was', async () => {
  const repository = registry.repository();
  const bytes = randomBytes(3000);
  const name = digest(bytes);
  const chunks = thirds(bytes);
  let at = await openSession(registry, repository);
  let offset = 0;
  for (const [i, body] of chunks.entries()) {
    const isLast = i === chunks.length - 1;
    const wrongAt = offset === 0 ? body.length : 0;
    const wrong = { body, headers: { 'content-range': `${wrongAt}-${wrongAt + body.length - 1}` } };
    const target = isLast ? withQuery(at, 'digest', name) : at;
    expectStatus(await registry.ask(isLast ? 'PUT' : 'PATCH', target, wrong), 416);
    const state = expectStatus(await registry.ask('GET', target), 204);
    assert.equal(state.headers.get('range'), `0-${Math.max(0, offset - 1)}`);
    const right = { body, headers: { 'content-range': `${offset}-${offset + body.length - 1}` } };
    const next = isLast ? withQuery(location(state), 'digest', name) : location(state);
    at = location(expectStatus(await registry.ask(isLast ? 'PUT' : 'PATCH', next, right), isLast ? 201 : 202));
    offset += body.length;
  }
  await expectContent(registry, at, bytes, name);
});

test('the first Location of a session keeps answering, and takes no chunk twice', async () => {
  const repository = registry.repository();
  const session = await openSession(registry, repository);
  const body = randomBytes(100);
  const headers = { 'content-range': '0-99' };
  expectStatus(await registry.ask('PATCH', session, { body, headers }), 202);
  expectStatus(await registry.ask('PATCH', session, { body, headers }), 416);
  const state = expectStatus(await registry.ask('GET', session), 204);
  assert.equal(state.headers.get('range'), '0-99');
  location(state);
});

test('a cancelled upload is gone', async () => {
  const repository = registry.repository();
  const session = await openSession(registry, repository);
  expectStatus(await registry.ask('DELETE', session), 204);
  expectStatus(await registry.ask('GET', session), 404);
  expectStatus(await registry.ask('PUT', withQuery(session, 'digest', digest('x')), { body: 'x' }), 404);
  expectStatus(await registry.ask('DELETE', session), 404);
});

test('a blob is mounted from another repository, named or not; what is nowhere opens a session', async () => {
  const [from, to, third] = [registry.repository(), registry.repository(), registry.repository()];
  const bytes = randomBytes(700);
  const name = await pushBlob(registry, from, bytes);
  const mount = (repository: string, blob: string, source?: string) =>
    registry.ask(
      'POST',
      `/v2/${repository}/blobs/uploads/?mount=${blob}${source === undefined ? '' : `&from=${encodeURIComponent(source)}`}`,
    );
  expectStatus(await registry.ask('HEAD', `/v2/${to}/blobs/${name}`), 404);
  const mounted = expectStatus(await mount(to, name, from), 201);
  assert.equal(new URL(location(mounted), registry.lading.url).pathname, `/v2/${to}/blobs/${name}`);
  await expectContent(registry, `/v2/${to}/blobs/${name}`, bytes, name);
  expectStatus(await mount(third, name), 201);
  await expectContent(registry, `/v2/${third}/blobs/${name}`, bytes, name);
  for (const source of [from, 'default/nowhere', undefined]) {
    const answer = expectStatus(await mount(to, digest(randomBytes(9)), source), 202);
    expectStatus(await registry.ask('DELETE', location(answer)), 204);
  }
});

test('a deleted blob is gone at once, here only', async () => {
  const [here, there] = [registry.repository(), registry.repository()];
  const bytes = randomBytes(64);
  const name = await pushBlob(registry, here, bytes);
  await pushBlob(registry, there, bytes);
  expectStatus(await registry.ask('DELETE', `/v2/${here}/blobs/${name}`), 202);
  expectStatus(await registry.ask('HEAD', `/v2/${here}/blobs/${name}`), 404);
  expectStatus(await registry.ask('DELETE', `/v2/${here}/blobs/${name}`), 404);
  await expectContent(registry, `/v2/${there}/blobs/${name}`, bytes, name);
});

test('parts of a blob are served as asked', async () => {
  const repository = registry.repository();
  const bytes = randomBytes(2000);
  const path = `/v2/${repository}/blobs/${await pushBlob(registry, repository, bytes)}`;
  const parts: [range: string, start: number, end: number][] = [
    ['bytes=0-0', 0, 0],
    ['bytes=500-1499', 500, 1499],
    ['bytes=500-', 500, 1999],
    ['bytes=-500', 1500, 1999],
    ['bytes=1500-9999', 1500, 1999],
    ['bytes=-9999', 0, 1999],
  ];
  for (const [range, start, end] of parts) {
    const answer = expectStatus(await registry.ask('GET', path, { headers: { range } }), 206);
    assert.deepEqual(answer.bytes, bytes.subarray(start, end + 1), range);
    assert.equal(answer.headers.get('content-range'), `bytes ${start}-${end}/2000`);
    assert.equal(answer.headers.get('content-length'), String(end - start + 1));
  }
  for (const range of ['bytes=500-0', 'bytes=2000-', 'bytes=5000-6000']) {
    expectStatus(await registry.ask('GET', path, { headers: { range } }), 416);
  }
  const whole = expectStatus(await registry.ask('GET', path, { headers: { range: 'lines=1-2' } }), 200);
  assert.deepEqual(whole.bytes, bytes, stringify('lines=1-2'));
});
