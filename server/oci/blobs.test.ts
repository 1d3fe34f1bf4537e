import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openBlob } from '#core/blobs.ts';
import { parseDigest } from '#core/digest.ts';
import { newObjectKey } from '#core/ids.ts';
import { pushBlob, pushImage } from '#test/oci-client.ts';
import {
  assertHeaders,
  errorsOf,
  listen,
  openRegistry,
  outcomeOf,
  type Registry,
  sha256,
  sha512,
  uploadBlob,
} from '#test/registry-client.ts';
import { openWire, type Wire } from '#test/registry-socket.ts';

const blobHeaders = (digest: string, size: number) => ({
  'Docker-Content-Digest': digest,
  'Docker-Distribution-Api-Version': 'registry/2.0',
  ETag: `"${digest}"`,
  'Accept-Ranges': 'bytes',
  'Cache-Control': 'private, max-age=31536000, immutable',
  'Content-Type': 'application/octet-stream',
  'Content-Length': `${size}`,
  'X-Content-Type-Options': 'nosniff',
  'Content-Encoding': undefined,
  'Transfer-Encoding': undefined,
  'Content-Range': undefined,
  'OCI-Namespace': undefined,
});

// Edge case 18. Clients compare the length of the HEAD with what they get, and oras seeks only where ranges are offered.
test('HEAD and GET of a blob say the same, in full, and are never compressed', async (t) => {
  const { owner } = await openRegistry(t);
  const bytes = 'x'.repeat(5000);
  const digest = await pushBlob(owner, 'acme/app', bytes);
  for (const headers of [{}, { 'accept-encoding': 'zstd;q=1.0, gzip;q=0.8, deflate;q=0.5' }, { accept: 'text/html' }]) {
    const url = `/v2/acme/app/blobs/${digest}?ns=docker.io`;
    const get = await owner('GET', url, { headers });
    assert.equal(get.status, 200);
    assert.equal(get.text, bytes);
    assertHeaders(get, blobHeaders(digest, 5000));
    const head = await owner('HEAD', url, { headers });
    assert.equal(head.status, 200);
    assert.equal(head.text, '');
    const { date: _, ...got } = get.headers;
    const { date: __, ...headed } = head.headers;
    assert.deepEqual(headed, got);
  }
});

test('a HEAD on the wire ends with its headers, and the connection goes on', async (t) => {
  const registry = await openRegistry(t);
  const digest = await pushBlob(registry.owner, 'acme/app', 'on the wire');
  const wire = await openWire(registry);
  wire.head(`HEAD /v2/acme/app/blobs/${digest}`);
  const head = await wire.answer({ isHead: true });
  assertHeaders(head, { ...blobHeaders(digest, 11), 'Transfer-Encoding': undefined });
  wire.head(`HEAD /v2/acme/app/blobs/${sha256('none')}`);
  const missing = await wire.answer({ isHead: true });
  assert.equal(missing.status, 404);
  assertHeaders(missing, { 'Transfer-Encoding': undefined, ETag: undefined, 'Docker-Content-Digest': undefined });
  wire.head(`GET /v2/acme/app/blobs/${digest}`);
  assert.equal((await wire.answer()).text, 'on the wire');
});

test('a blob pushed under sha512 is read under it, and under nothing else', async (t) => {
  const { owner } = await openRegistry(t);
  const digest = await uploadBlob(owner, 'acme/app', 'strong', sha512('strong'));
  const get = await owner('GET', `/v2/acme/app/blobs/${digest}`);
  assert.equal(get.text, 'strong');
  assertHeaders(get, blobHeaders(digest, 6));
  assert.equal(outcomeOf(await owner('GET', `/v2/acme/app/blobs/${sha256('strong')}`)), '404 BLOB_UNKNOWN');
});

test('what a client has already is 304, in whichever form it says so', async (t) => {
  const { owner } = await openRegistry(t);
  const digest = await pushBlob(owner, 'acme/app', 'known');
  const url = `/v2/acme/app/blobs/${digest}`;
  const other = sha256('other');
  const known = [`"${digest}"`, digest, `W/"${digest}"`, `"${other}", "${digest}"`, `"${other}",W/"${digest}"`, '*'];
  for (const method of ['GET', 'HEAD']) {
    for (const tag of known) {
      const answer = await owner(method, url, { headers: { 'if-none-match': tag } });
      assert.equal(answer.status, 304, tag);
      assert.equal(answer.text, '');
      assertHeaders(answer, { ETag: `"${digest}"`, 'Docker-Content-Digest': digest, 'Transfer-Encoding': undefined });
    }
    for (const tag of [`"${other}"`, '""', `"${digest}x"`, 'sha256:']) {
      assert.equal((await owner(method, url, { headers: { 'if-none-match': tag } })).status, 200, tag);
    }
  }
});

// Edge case 19. What would break without this: knowing a digest would be enough to read it.
test('a blob of one repository is 404 through another until it is mounted or uploaded there', async (t) => {
  const { owner } = await openRegistry(t);
  const digest = await pushBlob(owner, 'acme/a', 'shared layer');
  await pushBlob(owner, 'acme/b', 'something else');
  for (const repository of ['acme/b', 'acme/never', 'acme/a/b']) {
    for (const [method, outcome] of [
      ['GET', '404 BLOB_UNKNOWN'],
      ['HEAD', '404'],
    ] as const) {
      assert.equal(
        outcomeOf(await owner(method, `/v2/${repository}/blobs/${digest}`)),
        outcome,
        `${method} ${repository}`,
      );
    }
  }
  assert.equal((await owner('POST', `/v2/acme/b/blobs/uploads/?mount=${digest}&from=acme/a`)).status, 201);
  assert.equal((await owner('GET', `/v2/acme/b/blobs/${digest}`)).text, 'shared layer');
});

test('a missing blob says so without any header of a blob', async (t) => {
  const { owner } = await openRegistry(t);
  const missing = await owner('GET', `/v2/acme/app/blobs/${sha256('x')}`, { headers: { range: 'bytes=0-1' } });
  assert.equal(outcomeOf(missing), '404 BLOB_UNKNOWN');
  assertHeaders(missing, {
    'Docker-Distribution-Api-Version': 'registry/2.0',
    'Docker-Content-Digest': undefined,
    ETag: undefined,
    'Accept-Ranges': undefined,
    'Cache-Control': undefined,
  });
});

// Distribution spec end-10, and security test 25.
test('a deleted blob is gone at once here and stays elsewhere; the second time it is 404', async (t) => {
  const { owner } = await openRegistry(t);
  const digest = await pushBlob(owner, 'acme/a', 'layer');
  await pushBlob(owner, 'acme/b', 'layer');
  const url = `/v2/acme/a/blobs/${digest}`;
  const deleted = await owner('DELETE', url);
  assert.equal(deleted.status, 202);
  assert.equal(deleted.text, '');
  assertHeaders(deleted, { 'Content-Length': '0', 'Content-Type': undefined });
  assert.equal((await owner('HEAD', url)).status, 404);
  assert.equal(outcomeOf(await owner('GET', url)), '404 BLOB_UNKNOWN');
  assert.equal(outcomeOf(await owner('DELETE', url)), '404 BLOB_UNKNOWN');
  assert.equal((await owner('GET', `/v2/acme/b/blobs/${digest}`)).text, 'layer');
  assert.equal(outcomeOf(await owner('DELETE', `/v2/acme/never/blobs/${digest}`)), '404 NAME_UNKNOWN');
  await pushBlob(owner, 'acme/a', 'layer');
  assert.equal((await owner('GET', url)).text, 'layer', 'and it can be pushed again');
});

test('a blob that an image needs is 405 to delete, and stays; after its image it goes', async (t) => {
  const { owner } = await openRegistry(t);
  const image = await pushImage(owner, 'acme/app', 'v1', ['needed']);
  for (const needed of ['needed', '{}']) {
    const url = `/v2/acme/app/blobs/${sha256(needed)}`;
    assert.equal(outcomeOf(await owner('DELETE', url)), '405 UNSUPPORTED');
    assert.equal((await owner('GET', url)).text, needed);
  }
  assert.equal((await owner('DELETE', `/v2/acme/app/manifests/${image}`)).status, 202);
  for (const needed of ['needed', '{}']) {
    assert.equal((await owner('DELETE', `/v2/acme/app/blobs/${sha256(needed)}`)).status, 202);
  }
});

async function loseObjects({ platform: { storeView } }: Registry): Promise<void> {
  for (const key of (await storeView.listObjects()).keys()) await storeView.loseObject(key);
}

async function cutObjects({ platform: { storeView } }: Registry, size: number): Promise<void> {
  for (const key of (await storeView.listObjects()).keys()) {
    await storeView.replaceObject(key, (await storeView.readObject(key)).subarray(0, size));
  }
}

// What would break without this: an error's body would be cut at, or padded to, the blob's length, and be cached for a year.
test('bytes that are gone from the store are a 500 that nobody caches, not a short blob', async (t) => {
  const registry = await openRegistry(t);
  const digest = await pushBlob(registry.owner, 'acme/app', 'soon gone');
  await loseObjects(registry);
  const wire = await openWire(registry);
  for (const headers of [[], ['Range: bytes=0-3']]) {
    wire.head(`GET /v2/acme/app/blobs/${digest}`, headers);
    const answer = await wire.answer();
    assert.equal(answer.status, 500);
    assert.deepEqual(Object.keys(JSON.parse(answer.text)), ['errors']);
    assert.doesNotMatch(answer.text, /object|verify|missing/);
    assertHeaders(answer, {
      'Content-Type': 'application/json',
      'Cache-Control': undefined,
      ETag: undefined,
      'Docker-Content-Digest': undefined,
      'Content-Range': undefined,
      'Accept-Ranges': undefined,
    });
  }
});

test('a blob whose bytes were replaced while it was read is read at its new place', async (t) => {
  const { owner, platform } = await openRegistry(t);
  const digest = parseDigest(await pushBlob(owner, 'acme/app', 'moved'));
  const { id } = await platform.db.selectFrom('repositories').select('id').executeTakeFirstOrThrow();
  // What a reader holds that read the row a moment before the bytes were replaced and removed.
  const held = { digest, size: 5, objectKey: newObjectKey(), repositoryId: id };
  const stream = await openBlob(platform, held);
  assert.equal(Buffer.concat(await stream.toArray()).toString(), 'moved');
  await owner('DELETE', `/v2/acme/app/blobs/${digest}`);
  await assert.rejects(openBlob(platform, held), { reason: 'not_found' });
});

test('a client that leaves in the middle of a blob takes nothing down', async (t) => {
  const registry = await openRegistry(t);
  const port = await listen(registry);
  const bytes = Buffer.alloc(8 * 2 ** 20, 'x');
  const digest = await uploadBlob(registry.owner, 'acme/app', bytes);
  for (const range of [[], ['Range: bytes=0-4000000,4000001-8000000']]) {
    const wire = await openWire(registry, port);
    wire.socket.pause();
    wire.head(`GET /v2/acme/app/blobs/${digest}`, range);
    wire.cut();
  }
  const again = await openWire(registry, port);
  again.head(`GET /v2/acme/app/blobs/${digest}`);
  assert.equal(sha256((await again.answer()).bytes), digest);
});

// What would break without this: a client that does not check the digest would take a damaged layer for a whole one.
test('a blob that turns out too short on the way ends in a cut connection, never in fewer bytes that look whole', async (t) => {
  const registry = await openRegistry(t);
  const digest = await uploadBlob(registry.owner, 'acme/app', Buffer.alloc(4 * 2 ** 20, 'x'));
  await cutObjects(registry, 3 * 2 ** 20);
  const port = await listen(registry);
  for (const range of [[], ['Range: bytes=1-'], ['Range: bytes=0-9,3000000-4000000']]) {
    const wire = await openWire(registry, port);
    wire.head(`GET /v2/acme/app/blobs/${digest}`, range);
    await assertNoBlob(wire);
  }
});

/** A disk notices in the middle, when the answer has begun; a bucket says so before the first byte. */
async function assertNoBlob(wire: Wire): Promise<void> {
  const answer = await wire.answer().catch((error: Error) => error);
  if (answer instanceof Error) assert.match(answer.message, /the connection ended after/);
  else assert.equal(answer.status, 500);
}

test('a refusal has the one form that clients read, in each of its kinds', async (t) => {
  const { owner, ask } = await openRegistry(t);
  await pushImage(owner, 'acme/app', 'v1');
  const refusals = await Promise.all([
    owner('GET', `/v2/acme/app/blobs/${sha256('none')}`),
    owner('GET', '/v2/acme/app/blobs/latest'),
    owner('GET', '/v2/nobody/app/tags/list'),
    owner('DELETE', `/v2/acme/app/blobs/${sha256('layer')}`),
    owner('GET', `/v2/acme/app/blobs/${sha256('layer')}`, { headers: { range: 'bytes=99-' } }),
    ask('GET', '/v2/acme/app/tags/list'),
  ]);
  for (const answer of refusals) {
    for (const { code, message, detail } of errorsOf(answer)) {
      assert.deepEqual(Object.keys({ code, message, detail }), ['code', 'message', 'detail']);
      assert.equal(answer.headers['docker-distribution-api-version'], 'registry/2.0');
      assert.equal(answer.headers['content-length'], `${answer.bytes.length}`);
    }
  }
});
