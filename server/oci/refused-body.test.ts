import assert from 'node:assert/strict';
import { test } from 'node:test';
import { updateRegistry } from '#core/registries.ts';
import { openRegistry, startSession } from '#test/registry-client.ts';
import { openWire } from '#test/registry-socket.ts';

const mebibyte = Buffer.alloc(1024 * 1024, 1);

test('a body that is refused in its middle leaves the connection ready for the next request', async (t) => {
  const registry = await openRegistry(t);
  await updateRegistry(registry.platform, registry.team.owner, { registry: 'acme', sizeLimitBytes: mebibyte.length });
  const location = await startSession(registry.owner, 'acme/app');
  const wire = await openWire(registry);
  // Not `cut`: a reset of what the server has ended keeps this process from ending (Node 26.10).
  t.after(() => void wire.socket.destroy());
  wire.head(`PATCH ${location}`, ['Transfer-Encoding: chunked']);
  for (let i = 0; i < 16; i++) wire.chunk(mebibyte);
  wire.chunk('');
  wire.head('GET /v2/');
  assert.equal((await wire.answer()).status, 403);
  assert.equal((await wire.answer()).status, 200);
});

test('who goes on sending a refused body without end is cut off', async (t) => {
  const registry = await openRegistry(t);
  await updateRegistry(registry.platform, registry.team.owner, { registry: 'acme', sizeLimitBytes: mebibyte.length });
  const location = await startSession(registry.owner, 'acme/app');
  const wire = await openWire(registry);
  wire.head(`PATCH ${location}`, ['Transfer-Encoding: chunked']);
  wire.chunk(mebibyte);
  wire.chunk(mebibyte);
  assert.equal((await wire.answer()).status, 403);
  // Not `once` of node:events: being cut off is an error of the socket, and that is what is wanted.
  const happens = (event: string) => new Promise((resolve) => wire.socket.once(event, resolve));
  const closed = happens('close');
  for (let sent = 0; sent < 256 && wire.isOpen(); sent++) {
    wire.chunk(mebibyte);
    if (wire.socket.writableNeedDrain) await Promise.race([happens('drain'), closed]);
  }
  await closed;
});
