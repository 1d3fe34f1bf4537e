import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pushBlob } from '#test/oci-client.ts';
import {
  assertHeaders,
  imageOf,
  listen,
  openRegistry,
  outcomeOf,
  putManifest,
  type Registry,
  sha256,
  startSession,
} from '#test/registry-client.ts';
import { openWire } from '#test/registry-socket.ts';
import { usageOf } from '#test/registry-uploads.ts';

// Bodies as they come over a real connection: chunked, cut, refused before they were sent, larger than anyone may send.

const mebibyte = 2 ** 20;

/** Resolves once nothing is being written any more: what a cut connection left is then cleaned away. */
async function settled({ platform }: Registry): Promise<void> {
  for (;;) {
    const rows = await platform.db.selectFrom('objects').select('key').where('state', '=', 'writing').execute();
    if (rows.length === 0) return;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

async function beginsToWrite({ platform }: Registry): Promise<void> {
  for (;;) {
    const rows = await platform.db.selectFrom('objects').select('key').where('state', '=', 'writing').execute();
    if (rows.length > 0) return;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

// Edge case 4: what docker's daemon does with every layer.
test('64 MiB in one chunked PATCH without a length, then an empty PUT', async (t) => {
  const registry = await openRegistry(t);
  const wire = await openWire(registry);
  const location = await startSession(registry.owner, 'acme/app');
  const piece = Buffer.alloc(mebibyte, 'layer ');
  wire.head(`PATCH ${location}`, ['Transfer-Encoding: chunked']);
  for (let i = 0; i < 64; i++) wire.chunk(piece);
  wire.chunk('');
  const patched = await wire.answer();
  assert.equal(patched.status, 202, patched.text);
  assertHeaders(patched, { Range: '0-67108863', 'Content-Length': '0', Location: location });
  const digest = sha256(Buffer.concat(Array(64).fill(piece)));
  wire.head(`PUT ${patched.headers.location}?digest=${encodeURIComponent(digest)}`, ['Content-Length: 0']);
  assert.equal((await wire.answer()).status, 201);
  wire.head(`GET /v2/acme/app/blobs/${digest}`);
  assert.equal(sha256((await wire.answer()).bytes), digest);
  assert.deepEqual(await usageOf(registry), { size: 64 * mebibyte, reserved: 0 });
});

test('a chunked body works on every way in: POST, PATCH with a range, PUT, and as nothing at all', async (t) => {
  const registry = await openRegistry(t);
  const port = await listen(registry);
  const wire = await openWire(registry, port);
  const chunked = async (line: string, body: string, headers: string[] = []) => {
    wire.head(line, ['Transfer-Encoding: chunked', ...headers]);
    for (const letter of body) wire.chunk(letter);
    wire.chunk('');
    return wire.answer();
  };
  const posted = await chunked(`POST /v2/acme/app/blobs/uploads/?digest=${sha256('posted')}`, 'posted');
  assert.equal(posted.status, 201, posted.text);
  const location = await startSession(registry.owner, 'acme/app');
  assert.equal((await chunked(`PATCH ${location}`, 'abc', ['Content-Range: 0-2'])).status, 202);
  assert.equal(outcomeOf(await chunked(`PATCH ${location}`, 'def', ['Content-Range: 3-4'])), '400 SIZE_INVALID');
  assert.equal(outcomeOf(await chunked(`PATCH ${location}`, 'def', ['Content-Range: 3-9'])), '400 SIZE_INVALID');
  const nothing = await chunked(`PATCH ${location}`, '');
  assertHeaders(nothing, { Range: '0-2' });
  assert.equal((await chunked(`PUT ${location}?digest=${sha256('abcdef')}`, 'def')).status, 201);
  const second = await startSession(registry.owner, 'acme/app');
  assert.equal((await chunked(`PUT ${second}?digest=${sha256('')}`, '')).status, 201);
  assert.equal((await registry.owner('GET', `/v2/acme/app/blobs/${sha256('abcdef')}`)).text, 'abcdef');
  assert.equal((await usageOf(registry)).reserved, 0);
});

// Edge case 11. What would break without this: half a layer would be stored as a whole one.
test('cut in the middle of a PATCH: the offset told is the truth, and the upload is finished from there', async (t) => {
  const registry = await openRegistry(t);
  const { owner } = registry;
  const port = await listen(registry);
  for (const lengthHeader of ['Content-Length: 1000000', 'Transfer-Encoding: chunked']) {
    const location = await startSession(owner, 'acme/app');
    await owner('PATCH', location, { body: 'begun ' });
    const wire = await openWire(registry, port);
    wire.head(`PATCH ${location}`, [lengthHeader]);
    if (lengthHeader.startsWith('Content')) wire.write('x'.repeat(500_000));
    else wire.chunk('x'.repeat(500_000));
    await beginsToWrite(registry);
    wire.cut();
    await settled(registry);
    assertHeaders(await owner('GET', location), { Range: '0-5' });
    const headers = { 'content-range': '6-14' };
    const rest = await owner('PATCH', location, { body: 'and ended', headers });
    assert.equal(rest.status, 202);
    const digest = sha256('begun and ended');
    assert.equal((await owner('PUT', `${location}?digest=${digest}`)).status, 201);
    assert.equal((await owner('GET', `/v2/acme/app/blobs/${digest}`)).text, 'begun and ended');
  }
  assert.equal((await usageOf(registry)).reserved, 0);
});

test('cut in the middle of a PUT or a POST: no blob, nothing reserved, and the PUT can be sent again', async (t) => {
  const registry = await openRegistry(t);
  const { owner } = registry;
  const port = await listen(registry);
  const body = 'whole '.repeat(1000);
  // The digest is that of the part sent: a server that took it for the whole body would find nothing wrong.
  const part = body.slice(0, 3000);
  for (const begun of ['', 'begun ']) {
    const location = await startSession(owner, 'acme/app');
    if (begun !== '') await owner('PATCH', location, { body: begun });
    for (const digest of [sha256(begun + part), sha256(begun + body)]) {
      const wire = await openWire(registry, port);
      wire.head(`PUT ${location}?digest=${digest}`, [`Content-Length: ${body.length}`]);
      wire.write(part);
      await beginsToWrite(registry);
      wire.cut();
      await settled(registry);
      assert.equal((await owner('HEAD', `/v2/acme/app/blobs/${digest}`)).status, 404);
      assertHeaders(await owner('GET', location), { Range: `0-${Math.max(begun.length - 1, 0)}` });
    }
    const again = await owner('PUT', `${location}?digest=${sha256(begun + body)}`, { body });
    assert.equal(again.status, 201, again.text);
  }
  const wire = await openWire(registry, port);
  wire.head(`POST /v2/acme/app/blobs/uploads/?digest=${sha256('half')}`, ['Transfer-Encoding: chunked']);
  wire.chunk('half');
  await beginsToWrite(registry);
  wire.cut();
  await settled(registry);
  assert.equal((await owner('HEAD', `/v2/acme/app/blobs/${sha256('half')}`)).status, 404);
  assert.equal((await usageOf(registry)).reserved, 0);
});

test('a manifest that is cut off is not stored, not even where what came is a manifest', async (t) => {
  const registry = await openRegistry(t);
  const { owner } = registry;
  await pushBlob(owner, 'acme/app', '{}');
  const wire = await openWire(registry);
  const body = imageOf([]);
  wire.head('PUT /v2/acme/app/manifests/v1', ['Transfer-Encoding: chunked']);
  wire.chunk(body);
  wire.cut();
  // A request that comes to its end after the cut one shows that the server has gone on.
  assert.equal((await putManifest(owner, 'acme/app', 'v2', body)).status, 201);
  assert.deepEqual(JSON.parse((await owner('GET', '/v2/acme/app/tags/list')).text).tags, ['v2']);
});

test('Expect: 100-continue is answered before the body is sent', async (t) => {
  const registry = await openRegistry(t);
  const location = await startSession(registry.owner, 'acme/app');
  const wire = await openWire(registry);
  wire.head(`PUT ${location}?digest=${sha256('expected')}`, ['Content-Length: 8', 'Expect: 100-continue']);
  assert.equal((await wire.answer()).status, 100);
  wire.write('expected');
  assert.equal((await wire.answer()).status, 201);
});

// Contract 1.10: a client that is still sending must read the refusal, not a broken connection.
test('a refusal before the end of the body is read by a client that sends on', async (t) => {
  const registry = await openRegistry(t);
  const { owner, platform, team } = registry;
  const port = await listen(registry);
  const session = await startSession(owner, 'acme/app');
  await owner('PATCH', session, { body: 'begun' });
  await platform.db
    .updateTable('registries')
    .set({ size_limit: 3 * mebibyte })
    .where('id', '=', team.registryId)
    .execute();
  const unfinished = '/v2/acme/app/blobs/uploads/none';
  const cases: [string, string, string[]?][] = [
    [`PATCH ${unfinished}`, '404 BLOB_UPLOAD_UNKNOWN'],
    [`PUT ${unfinished}?digest=${sha256('')}`, '404 BLOB_UPLOAD_UNKNOWN'],
    [`PATCH ${session}`, '416 BLOB_UPLOAD_INVALID', ['Content-Range: 0-8388607']],
    [`PATCH ${session}`, '403 DENIED'],
    [`PUT ${session}?digest=bad`, '400 DIGEST_INVALID'],
    [`PUT ${session}?digest=${sha256('')}`, '403 DENIED'],
    [`POST /v2/acme/app/blobs/uploads/?digest=${sha256('')}`, '403 DENIED'],
    ['POST /v2/nobody/app/blobs/uploads/', '404 NAME_UNKNOWN'],
    ['PUT /v2/acme/app/manifests/v1', '413 MANIFEST_INVALID'],
    ['PUT /v2/acme/app/manifests/-', '400 NAME_INVALID'],
    ['PUT /v2/acme/app/tags/list', '405 UNSUPPORTED'],
    ['PUT /v2/nothing', '404 NAME_UNKNOWN'],
  ];
  const piece = Buffer.alloc(mebibyte);
  for (const [line, outcome, headers = []] of cases) {
    for (const kind of ['Content-Length: 8388608', 'Transfer-Encoding: chunked']) {
      const isChunked = kind.startsWith('T');
      const wire = await openWire(registry, port);
      wire.head(line, [kind, ...headers]);
      for (let i = 0; i < 8; i++) isChunked ? wire.chunk(piece) : wire.write(piece);
      if (isChunked) wire.chunk('');
      assert.equal(outcomeOf(await wire.answer()), outcome, `${line} ${kind}`);
      wire.socket.destroy();
    }
  }
  assertHeaders(await owner('GET', session), { Range: '0-4' });
  await settled(registry);
  assert.equal((await usageOf(registry)).reserved, 5);
});

test('after a refusal the connection is either good for the next request or said to be closed', async (t) => {
  const registry = await openRegistry(t);
  const port = await listen(registry);
  const digest = await pushBlob(registry.owner, 'acme/app', 'next');
  for (const line of [
    'PATCH /v2/acme/app/blobs/uploads/none',
    'PUT /v2/acme/app/manifests/v1',
    'PUT /v2/acme/app/tags/list',
  ]) {
    const wire = await openWire(registry, port);
    wire.head(line, [`Content-Length: ${5 * mebibyte}`]);
    const refused = await wire.answer();
    assert.ok(refused.status >= 400);
    // Sent only now: what the server thought of a body it has not seen must not be wrong afterwards.
    wire.write(Buffer.alloc(5 * mebibyte));
    if (refused.headers.connection === 'close') continue;
    wire.head(`GET /v2/acme/app/blobs/${digest}`);
    assert.equal((await wire.answer()).text, 'next', line);
  }
});

test('a body cut off by a limit in its middle is refused while the client still sends', async (t) => {
  const registry = await openRegistry(t);
  const { platform, team, owner } = registry;
  await platform.db
    .updateTable('registries')
    .set({ size_limit: 2 * mebibyte })
    .where('id', '=', team.registryId)
    .execute();
  const location = await startSession(owner, 'acme/app');
  const wire = await openWire(registry);
  wire.head(`PATCH ${location}`, ['Transfer-Encoding: chunked']);
  for (let i = 0; i < 6; i++) wire.chunk(Buffer.alloc(mebibyte / 2));
  const refused = await wire.answer();
  assert.equal(outcomeOf(refused), '403 DENIED');
  await settled(registry);
  assertHeaders(await owner('GET', location), { Range: '0-0' });
  assert.deepEqual(await usageOf(registry), { size: 0, reserved: 0 });
});

// Edge case 21, security test 2.
test('a manifest announced as 1 GiB is refused before its first byte, without memory for it', async (t) => {
  const registry = await openRegistry(t);
  const wire = await openWire(registry);
  const before = process.memoryUsage().arrayBuffers;
  wire.head('PUT /v2/acme/app/manifests/v1', ['Content-Length: 1073741824']);
  const refused = await wire.answer();
  assert.equal(outcomeOf(refused), '413 MANIFEST_INVALID');
  assert.ok(process.memoryUsage().arrayBuffers - before < 16 * mebibyte);
});

test('a manifest in chunks is refused as soon as it is too long, while the client goes on', async (t) => {
  const registry = await openRegistry(t);
  const wire = await openWire(registry);
  wire.head('PUT /v2/acme/app/manifests/v1', ['Transfer-Encoding: chunked']);
  const piece = Buffer.alloc(mebibyte / 4, ' ');
  for (let i = 0; i < 17; i++) wire.chunk(piece);
  // The end of the body is never sent.
  assert.equal(outcomeOf(await wire.answer()), '413 MANIFEST_INVALID');
});

test('an upload announced as more than the registry may hold is refused before its first byte', async (t) => {
  const registry = await openRegistry(t);
  const location = await startSession(registry.owner, 'acme/app');
  const port = await listen(registry);
  for (const line of [`PATCH ${location}`, `PUT ${location}?digest=${sha256('')}`]) {
    const wire = await openWire(registry, port);
    wire.head(line, ['Content-Length: 109951162777600']);
    assert.equal(outcomeOf(await wire.answer()), '403 DENIED');
  }
  assert.equal((await usageOf(registry)).reserved, 0);
});

test('header lines come as HTTP has them: one Location, one challenge, no second Content-Type', async (t) => {
  const registry = await openRegistry(t);
  const wire = await openWire(registry);
  wire.socket.write('GET /v2/ HTTP/1.1\r\nHost: localhost:8080\r\n\r\n');
  const challenge = await wire.answer();
  assert.equal(challenge.status, 401);
  assert.equal(challenge.head.match(/^www-authenticate:/gim)?.length, 1);
  assert.equal(challenge.head.match(/^content-type: application\/json\r$/gim)?.length, 1);
  wire.head('POST /v2/acme/app/blobs/uploads/', ['Content-Type: application/json', 'Content-Length: 0']);
  const started = await wire.answer();
  assert.equal(started.status, 202);
  for (const name of ['location', 'range', 'docker-upload-uuid', 'content-length', 'docker-distribution-api-version']) {
    assert.equal(started.head.match(new RegExp(`^${name}:`, 'gim'))?.length, 1, name);
  }
  assert.doesNotMatch(started.head, /^(?:content-type|etag|transfer-encoding|set-cookie|server|x-powered-by):/im);
  wire.head(`GET ${started.headers.location}`);
  const status = await wire.answer();
  assert.equal(status.status, 204);
  assert.doesNotMatch(status.head, /^(?:content-length|transfer-encoding|content-type):/im);
  wire.head(`DELETE ${started.headers.location}`, ['Content-Type: application/json']);
  assert.equal((await wire.answer()).status, 204);
});
