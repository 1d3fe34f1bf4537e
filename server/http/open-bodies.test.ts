import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { listen, openRegistry, type Registry, startSession } from '#test/registry-client.ts';
import { openWire } from '#test/registry-socket.ts';
import { statesOf, usageOf } from '#test/registry-uploads.ts';

// Only the sweeper's timer is the test's own; connections and bodies are real.
async function openSwept(t: TestContext) {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const registry = await openRegistry(t);
  const sweep = (times: number) => {
    for (let i = 0; i < times; i++) t.mock.timers.tick(10_000);
  };
  const sockets: Socket[] = [];
  registry.app.server.on('connection', (socket) => sockets.push(socket));
  return { registry, port: await listen(registry), sweep, sockets };
}

/** Resolves when as many bodies are being written down. */
async function writing(registry: Registry, count: number): Promise<void> {
  while (((await statesOf(registry)).writing ?? 0) !== count) await new Promise((resolve) => setImmediate(resolve));
}

/** A body that nobody has begun to read is nobody's fault yet, so it may take some minutes of such time. */
async function sweepUntil(sweep: (times: number) => void, answered: Promise<unknown>): Promise<void> {
  let isAnswered = false;
  const note = () => {
    isAnswered = true;
  };
  answered.then(note, note);
  while (!isAnswered) {
    sweep(1);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const beginnings: readonly [string, string[], string][] = [
  ['PUT /v2/acme/app/manifests/v1', ['Content-Length: 100'], '{"a"'],
  ['POST /lading/v1/registries', ['Content-Length: 100', 'Content-Type: application/json'], '{"a"'],
  ['POST /lading/v1/registries', ['Transfer-Encoding: chunked', 'Content-Type: application/json'], '1\r\n{\r\n'],
];

test('a body that stops coming is refused after a minute, in the form of whose path it is', async (t) => {
  const { registry, port, sweep } = await openSwept(t);
  for (const [line, headers, bytes] of beginnings) {
    const wire = await openWire(registry, port);
    wire.head(line, headers);
    wire.write(bytes);
    const answered = wire.answer();
    await sweepUntil(sweep, answered);
    const { status, text, headers: said } = await answered;
    assert.equal(status, 408, `${line}: ${text}`);
    assert.match(text, /stopped coming/);
    assert.equal(said.connection, 'close');
  }
});

test('an upload that sends a few bytes a minute loses its connection and its reservation, not what it had sent', async (t) => {
  const { registry, port, sweep } = await openSwept(t);
  const location = await startSession(registry.owner, 'acme/app');
  const wire = await openWire(registry, port);
  wire.head(`PATCH ${location}`, ['Content-Length: 5000']);
  wire.write('x');
  await writing(registry, 1);
  sweep(3);
  wire.write('y');
  const answered = wire.answer();
  await sweepUntil(sweep, answered);
  const answer = await answered;
  assert.equal(answer.status, 408, answer.text);
  await writing(registry, 0);
  assert.equal((await usageOf(registry)).reserved, 0);
  const session = await registry.owner('GET', location);
  assert.deepEqual([session.status, session.headers.range], [204, '0-0']);
});

test('an upload at a kilobyte a minute goes on for as long as it likes', async (t) => {
  const { registry, port, sweep, sockets } = await openSwept(t);
  const location = await startSession(registry.owner, 'acme/app');
  const wire = await openWire(registry, port);
  const minutes = 100;
  wire.head(`PATCH ${location}`, [`Content-Length: ${minutes * 1024}`]);
  await writing(registry, 1);
  for (let i = 0; i < minutes; i++) {
    sweep(5);
    const received = sockets[0]?.bytesRead ?? 0;
    wire.write('x'.repeat(1024));
    while ((sockets[0]?.bytesRead ?? 0) < received + 1024) await new Promise((resolve) => setImmediate(resolve));
    sweep(1);
  }
  assert.equal((await wire.answer()).status, 202);
});
