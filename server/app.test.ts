import assert from 'node:assert/strict';
import { type AddressInfo, connect } from 'node:net';
import { test } from 'node:test';
import type { FastifyInstance } from 'fastify';
import type { Log } from '#core/platform.ts';
import type { Scope } from '#test/database.ts';
import { basic, openOci, withAuthorization } from '#test/oci-client.ts';
import { openTestPlatform, seedTeam } from '#test/platform.ts';
import { buildApp } from './app.ts';

type Line = [level: string, fields: Record<string, unknown>, message: string];

test('a path that is nobody’s is 404, with a sentence', async (t) => {
  const { ask } = await openOci(t);
  for (const method of ['GET', 'POST', 'DELETE']) {
    const { status, text } = await ask(method, '/nothing/here?secret=1');
    assert.equal(status, 404);
    assert.deepEqual(JSON.parse(text), { error: `There is no ${method} /nothing/here here.` });
  }
});

test('the address alone says to strangers what this is and where to look', async (t) => {
  const { ask } = await openOci(t);
  const { status, headers, text } = await ask('GET', '/');
  assert.deepEqual([status, headers['content-type']], [200, 'text/plain; charset=utf-8']);
  for (const path of text.match(/\/(?:lading\/v1\/openapi\.json|healthz|readyz)/g) ?? []) {
    assert.equal((await ask('GET', path)).status, 200, path);
  }
  assert.match(text, /openapi\.json[\s\S]*healthz[\s\S]*docs\/api\.md/);
  assert.equal((await ask('POST', '/')).status, 404);
});

// These are answered before any surface's own handler: a client must still find the form it knows.
const early: readonly [string, string][] = [
  ['/v2/%zz', 'application/json'],
  ['/lading/v1/%zz', 'application/problem+json'],
];
for (const [url, type] of early) {
  test(`the malformed ${url} is refused in its surface’s form`, async (t) => {
    const { ask } = await openOci(t);
    const { status, headers, text } = await ask('GET', url);
    assert.deepEqual([status, headers['content-type']], [400, type]);
    assert.doesNotMatch(text, /FST_/);
  });
}

test('a name of 2,000 characters reaches its handler', async (t) => {
  const { ask } = await openOci(t);
  const { status } = await ask('GET', `/lading/v1/registries/${'x'.repeat(2000)}`);
  assert.equal(status, 401);
});

test('a bug is answered without a word of it, and logged once with the request’s id', async (t) => {
  const lines: Line[] = [];
  const platform = await openTestPlatform(t, { log: logInto(lines) });
  const team = await seedTeam(platform, 'acme');
  const blobs = { ...platform.blobs, write: () => Promise.reject(new Error('secret path /srv/x')) };
  const app = await buildApp({ ...platform, blobs });
  t.after(() => app.close());
  const url = `/v2/acme/app/blobs/uploads/?digest=sha256:${'a'.repeat(64)}`;
  const headers = { authorization: basic(team.secret) };
  const answer = await app.inject({ method: 'POST', url, headers, payload: 'x' });
  assert.equal(answer.statusCode, 500);
  assert.doesNotMatch(answer.body, /secret path/);
  const bugs = lines.filter(([, fields]) => fields.err !== undefined);
  assert.equal(bugs.length, 1);
  const ended = lines.filter(([level, , message]) => level === 'error' && message.startsWith('POST'));
  assert.equal(bugs[0]?.[1].id, ended[0]?.[1].id);
});

test('each request has one line with who, where, what and how long, and nothing secret in it', async (t) => {
  const lines: Line[] = [];
  const platform = await openTestPlatform(t, { log: logInto(lines) });
  const team = await seedTeam(platform, 'acme');
  const address = await listen(t, await buildApp(platform));
  const headers = { authorization: `Bearer ${team.secret}`, 'x-auth-token': team.secret };
  await fetch(`${address}/v2/acme/app/manifests/v1?secret=${team.secret}`, { headers });
  await fetch(`${address}/token?account=x&scope=repository:acme/app:pull`, {
    headers: { authorization: basic(team.secret) },
  });
  await ended(() => lines.length >= 2);
  const [, fields, message] = lines.find(([, , text]) => text.includes('manifests')) ?? [];
  assert.equal(message, 'GET /v2/acme/app/manifests/v1');
  assert.deepEqual([fields?.actor, fields?.repository, fields?.status], ['key owner', 'acme/app', 404]);
  assert.match(String(fields?.id), /^[0-9a-f-]{36}$/);
  assert.equal(typeof fields?.ms, 'number');
  assert.ok(!JSON.stringify(lines).includes(team.secret));
});

test('a secret that strays into a path that is nobody’s is not logged', async (t) => {
  const lines: Line[] = [];
  const platform = await openTestPlatform(t, { log: logInto(lines) });
  const team = await seedTeam(platform, 'acme');
  const address = await listen(t, await buildApp(platform));
  for (const path of [`/lost/${team.secret}`, `/lost/${team.secret}/again`]) {
    await fetch(address + path);
  }
  const logged = () => lines.map(([, , message]) => message).filter((message) => message.startsWith('GET'));
  await ended(() => logged().length >= 2);
  assert.deepEqual(logged(), ['GET /lost/ldg_key_…', 'GET /lost/ldg_key_…/again']);
  assert.ok(!JSON.stringify(lines).includes(team.secret));
});

test('probes leave no line while all is well', async (t) => {
  const lines: Line[] = [];
  const platform = await openTestPlatform(t, { log: logInto(lines) });
  const address = await listen(t, await buildApp(platform, { checks: {} }));
  for (const path of ['/healthz', '/readyz', '/metrics', '/nothing']) await fetch(address + path);
  await ended(() => lines.some(([, , text]) => text.endsWith('/nothing')));
  const logged = lines.filter(([level, , text]) => level !== 'debug' && text.startsWith('GET'));
  assert.deepEqual(
    logged.map(([level, , text]) => [level, text]),
    [['info', 'GET /nothing']],
  );
});

test('a client that goes away in the middle still has its line', async (t) => {
  const lines: Line[] = [];
  const platform = await openTestPlatform(t, { log: logInto(lines) });
  const team = await seedTeam(platform, 'acme');
  const app = await buildApp(platform);
  const client = withAuthorization(async (method, url, { headers = {} } = {}) => {
    const {
      statusCode,
      headers: answered,
      body,
      rawPayload,
    } = await app.inject({ method: method as 'POST', url, headers });
    return {
      status: statusCode,
      headers: answered as Record<string, string>,
      text: body,
      bytes: rawPayload,
      code: undefined,
    };
  }, basic(team.secret));
  const { headers } = await client('POST', '/v2/acme/app/blobs/uploads/');
  const { port } = new URL(await listen(t, app));
  const socket = connect(Number(port), '127.0.0.1');
  const lead = [
    `PATCH ${headers.location} HTTP/1.1`,
    'Host: x',
    'Content-Length: 100',
    `Authorization: ${basic(team.secret)}`,
  ];
  socket.write(`${lead.join('\r\n')}\r\n\r\nhalf`);
  await ended(() => platform.local.writers.size > 0);
  socket.destroy();
  await ended(() => lines.some(([, , text]) => text.startsWith('PATCH')));
  const [, fields] = lines.find(([, , text]) => text.startsWith('PATCH')) ?? [];
  assert.equal(fields?.cutOff, true);
  assert.ok(!lines.some(([level]) => level === 'error'), 'a client that goes away is no fault of ours');
});

test('connections are kept longer than Go keeps them, and uploads may take any time', async (t) => {
  const { app } = await openOci(t);
  assert.ok(app.server.keepAliveTimeout > 90_000);
  assert.equal(app.server.requestTimeout, 0);
  assert.ok(app.server.headersTimeout > 0 && app.server.headersTimeout <= 60_000);
});

function logInto(lines: Line[]): Log {
  const at = (level: string) => (fields: object, message: string) => {
    lines.push([level, fields as Record<string, unknown>, message]);
  };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

async function listen(t: Scope, app: FastifyInstance): Promise<string> {
  t.after(() => app.close());
  await app.listen({ host: '127.0.0.1', port: 0, listenTextResolver: () => 'listening' });
  return `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`;
}

async function ended(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!condition()) {
    assert.ok(Date.now() < deadline, 'it never came');
    await new Promise((resolve) => setImmediate(resolve));
  }
}
