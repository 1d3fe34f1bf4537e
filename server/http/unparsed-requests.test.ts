import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { listen, openRegistry, sha256, startSession } from '#test/registry-client.ts';
import { openWire } from '#test/registry-socket.ts';

const isOci = (body: string) => JSON.parse(body).errors[0].message;
const forms: readonly [string, RegExp, (body: string) => string][] = [
  ['/v2/acme/app/manifests/v1', /^application\/json$/, isOci],
  ['/token', /^application\/json$/, isOci],
  ['/lading/v1/registries', /^application\/problem\+json/, (body) => JSON.parse(body).detail],
  ['/api/v1/registries', /^application\/json/, (body) => JSON.parse(body).error],
  ['/v1/integrations/registries', /^application\/json/, (body) => JSON.parse(body).error.message],
  ['/v1/container-registries', /^application\/json/, (body) => JSON.parse(body).message],
  ['/v1/container_registries', /^application\/json/, (body) => JSON.parse(body).errors?.[0] ?? JSON.parse(body).error],
  ['/nowhere', /^application\/json/, (body) => JSON.parse(body).error],
];

const heads: readonly [string, string, number, RegExp][] = [
  ['a NUL in a header', 'Host: x\r\nx: a\0b', 400, /a header has a character/],
  ['two lengths', 'Host: x\r\nContent-Length: 1\r\nContent-Length: 2', 400, /length twice/],
  ['a length and chunks', 'Host: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked', 400, /proper HTTP/],
  ['large headers', `Host: x\r\nx: ${'y'.repeat(100_000)}`, 431, /at most 16 KiB/],
];

test('what the parser refuses is answered in the form of whose path it is, and ends the connection', async (t) => {
  const registry = await openRegistry(t);
  const port = await listen(registry);
  for (const [path, type, sentenceOf] of forms) {
    for (const [what, head, status, sentence] of heads) {
      const wire = await openWire(registry, port);
      wire.write(`GET ${path} HTTP/1.1\r\n${head}\r\n\r\n`);
      const answer = await wire.answer();
      // Paperspace's client knows one status for each of its codes.
      const expected = path === '/v1/container-registries' && status === 431 ? 413 : status;
      assert.equal(answer.status, expected, `${what} ${path}: ${answer.text}`);
      assert.match(answer.headers['content-type'] ?? '', type, path);
      assert.match(sentenceOf(answer.text), sentence, `${what} ${path}`);
      assert.equal(answer.headers.connection, 'close');
      assert.doesNotMatch(answer.text, /HPE_|FST_|Client Error/);
      await ended(wire);
    }
  }
});

test('a request line that is none is refused with one sentence, and the next connection is served', async (t) => {
  const registry = await openRegistry(t);
  const port = await listen(registry);
  for (const line of ['GET', 'FETCH /v2/ HTTP/1.1', 'GET /v2/ HTTP/9.9', 'GET /v2/\0 HTTP/1.1', '\x16\x03\x01\x02']) {
    const wire = await openWire(registry, port);
    wire.write(`${line}\r\nHost: x\r\n\r\n`);
    const { status, text } = await wire.answer();
    assert.equal(status, 400, line);
    assert.match(JSON.parse(text).error ?? isOci(text), /^The request is not proper HTTP/, line);
    await ended(wire);
  }
  const wire = await openWire(registry, port);
  wire.head('GET /v2/');
  assert.equal((await wire.answer()).status, 200);
});

test('a body whose chunks are none is refused as what it was to be, and nothing of it is kept', async (t) => {
  const registry = await openRegistry(t);
  const port = await listen(registry);
  const location = await startSession(registry.owner, 'acme/app');
  for (const [line, code] of [
    [`PATCH ${location}`, 400],
    [`PUT /v2/acme/app/manifests/v1`, 400],
    ['POST /lading/v1/registries', 400],
  ] as const) {
    const wire = await openWire(registry, port);
    wire.head(line, ['Transfer-Encoding: chunked', 'Content-Type: application/json']);
    wire.write('3\r\n{"a\r\nzz\r\n');
    const answer = await wire.answer();
    assert.equal(answer.status, code, `${line}: ${answer.text}`);
    assert.match(answer.text, /a chunk of its body has no proper size/, line);
    await ended(wire);
  }
  assert.equal((await registry.owner('GET', location)).headers.range, '0-0');
});

test('garbage behind a request is not answered in place of the request', async (t) => {
  const registry = await openRegistry(t);
  const port = await listen(registry);
  const wire = await openWire(registry, port);
  const digest = sha256('x');
  wire.head(`POST /v2/acme/app/blobs/uploads/?digest=${digest}`, ['Content-Length: 1']);
  wire.write('xGARBAGE\0\r\n\r\n');
  const answer = await wire.answer().catch(() => undefined);
  assert.ok(answer === undefined || answer.status === 201, `${answer?.text}`);
  await ended(wire);
});

async function ended(wire: Awaited<ReturnType<typeof openWire>>): Promise<void> {
  if (!wire.isOpen()) return;
  await new Promise<void>((resolve) => {
    wire.socket.once('end', resolve);
    wire.socket.once('close', resolve);
  });
}

test('headers that do not come are a matter of a minute, and whole requests have no limit', async (t) => {
  const registry = await openRegistry(t);
  const { server } = registry.app;
  assert.deepEqual([server.headersTimeout, server.requestTimeout], [60_000, 0]);
  const port = await listen(registry);
  const [[socket], wire] = await Promise.all([once(server, 'connection'), openWire(registry, port)]);
  wire.write('GET /v2/ HTTP/1.1\r\nHost:');
  // What Node does when it next looks, every thirty seconds.
  server.emit('clientError', Object.assign(new Error(), { code: 'ERR_HTTP_REQUEST_TIMEOUT' }), socket);
  const { status, text } = await wire.answer();
  assert.deepEqual([status, JSON.parse(text).error], [408, 'The headers of the request did not come within a minute.']);
  await ended(wire);
});
