import assert from 'node:assert/strict';
import { test } from 'node:test';
import { doomLateWriters, renewWriters } from '#core/objects.ts';
import { createRegistry, deleteRegistry, updateRegistry } from '#core/registries.ts';
import { regenerateToken, revokeToken, updateToken } from '#core/token-changes.ts';
import { createToken, type TokenInput } from '#core/tokens.ts';
import { type Answer, bearer, pushBlob, pushImage, withAuthorization } from '#test/oci-client.ts';
import {
  assertHeaders,
  errorsOf,
  imageOf,
  listen,
  openRegistry,
  outcomeOf,
  pushManifest,
  putManifest,
  type Registry,
  sha256,
  startSession,
} from '#test/registry-client.ts';
import { openWire, type Wire } from '#test/registry-socket.ts';
import { usageOf } from '#test/registry-uploads.ts';

// What ends an upload against the client's will: the registry's limit, its deletion, the end of the secret.

const setLimit = ({ platform, team }: Registry, sizeLimitBytes: number) =>
  updateRegistry(platform, team.owner, { registry: 'acme', sizeLimitBytes });

/** Used, limit and requested, which stand in the detail and in the sentence. */
function limitOf(answer: Answer): [number, number, number] {
  const [error] = errorsOf(answer);
  assert.equal(`${answer.status} ${error?.code}`, '403 DENIED');
  const { used, limit, requested } = (error?.detail ?? {}) as Record<string, number>;
  for (const number of [used, limit, requested]) assert.match(error?.message ?? '', new RegExp(`\\b${number}\\b`));
  return [used ?? -1, limit ?? -1, requested ?? -1];
}

test('a body of known length is refused before it is sent, with used, limit and requested', async (t) => {
  const registry = await openRegistry(t);
  const { owner } = registry;
  await pushBlob(owner, 'acme/app', 'x'.repeat(40));
  await setLimit(registry, 100);
  const location = await startSession(owner, 'acme/app');
  const body = 'y'.repeat(61);
  const digest = sha256(body);
  for (const [method, url] of [
    ['POST', `/v2/acme/app/blobs/uploads/?digest=${digest}`],
    ['PATCH', location],
    ['PUT', `${location}?digest=${digest}`],
  ] as const) {
    assert.deepEqual(limitOf(await owner(method, url, { body })), [40, 100, 61], method);
    assert.deepEqual(await usageOf(registry), { size: 40, reserved: 0 });
  }
  const fits = body.slice(1);
  assert.equal((await owner('PUT', `${location}?digest=${sha256(fits)}`, { body: fits })).status, 201, 'to the byte');
  assert.deepEqual(await usageOf(registry), { size: 100, reserved: 0 });
});

test('what is being uploaded counts: sessions side by side cannot pass the limit together', async (t) => {
  const registry = await openRegistry(t);
  const { owner } = registry;
  await setLimit(registry, 100);
  const sessions = await Promise.all([1, 2, 3].map(() => startSession(owner, 'acme/app')));
  const answers = await Promise.all(sessions.map((url) => owner('PATCH', url, { body: 'z'.repeat(40) })));
  assert.deepEqual(answers.map(({ status }) => status).sort(), [202, 202, 403]);
  assert.deepEqual(await usageOf(registry), { size: 0, reserved: 80 });
  const first = sessions[answers.findIndex(({ status }) => status === 202)] ?? '';
  assert.deepEqual(limitOf(await owner('PATCH', first, { body: 'z'.repeat(21) })), [80, 100, 21]);
  assert.equal((await owner('DELETE', first)).status, 204);
  assert.deepEqual(await usageOf(registry), { size: 0, reserved: 40 }, 'a cancelled upload gives its room back');
});

test('each step of a session counts, and a session that hit the limit goes on where there is room again', async (t) => {
  const registry = await openRegistry(t);
  const { owner } = registry;
  const old = await pushBlob(owner, 'acme/app', 'x'.repeat(50));
  await setLimit(registry, 100);
  const location = await startSession(owner, 'acme/app');
  for (let i = 0; i < 2; i++) assert.equal((await owner('PATCH', location, { body: '0123456789' })).status, 202);
  assert.deepEqual(limitOf(await owner('PATCH', location, { body: 'z'.repeat(31) })), [70, 100, 31]);
  assertHeaders(await owner('GET', location), { Range: '0-19' });
  await owner('DELETE', `/v2/acme/app/blobs/${old}`);
  const body = 'z'.repeat(31);
  const put = await owner('PUT', `${location}?digest=${sha256(`01234567890123456789${body}`)}`, { body });
  assert.equal(put.status, 201);
  assert.deepEqual(await usageOf(registry), { size: 51, reserved: 0 });
});

test('a manifest counts too, and is refused whole: neither it nor its tag is there', async (t) => {
  const registry = await openRegistry(t);
  const { owner } = registry;
  const layers = ['one'];
  await pushImage(owner, 'acme/app', 'v1', layers);
  const { size } = await usageOf(registry);
  const body = imageOf(layers, { annotations: { a: 'b' } });
  await setLimit(registry, (size ?? 0) + body.length - 1);
  assert.deepEqual(limitOf(await putManifest(owner, 'acme/app', 'v2', body)), [
    size,
    (size ?? 0) + body.length - 1,
    body.length,
  ]);
  assert.equal((await owner('GET', '/v2/acme/app/manifests/v2')).status, 404);
  assert.equal((await owner('GET', `/v2/acme/app/manifests/${sha256(body)}`)).status, 404);
  await setLimit(registry, (size ?? 0) + body.length);
  await pushManifest(owner, 'acme/app', 'v2', body);
  await pushManifest(owner, 'acme/app', 'v3', body);
  assert.deepEqual(await usageOf(registry), { size: (size ?? 0) + body.length, reserved: 0 }, 'counted once');
});

test('a blob that the registry has already costs nothing, in whichever repository', async (t) => {
  const registry = await openRegistry(t);
  const { owner } = registry;
  const digest = await pushBlob(owner, 'acme/a', 'x'.repeat(60));
  await setLimit(registry, 120);
  await pushBlob(owner, 'acme/b', 'x'.repeat(60));
  assert.equal((await owner('POST', `/v2/acme/c/blobs/uploads/?mount=${digest}&from=acme/a`)).status, 201);
  assert.deepEqual(await usageOf(registry), { size: 60, reserved: 0 });
  for (const repository of ['acme/a', 'acme/b']) await owner('DELETE', `/v2/${repository}/blobs/${digest}`);
  assert.deepEqual(await usageOf(registry), { size: 60, reserved: 0 });
  await owner('DELETE', `/v2/acme/c/blobs/${digest}`);
  assert.deepEqual(await usageOf(registry), { size: 0, reserved: 0 });
});

test('a mount into another registry is charged there, and refused where it does not fit', async (t) => {
  const registry = await openRegistry(t);
  const { owner, platform, team } = registry;
  await createRegistry(platform, team.owner, { name: 'small', sizeLimitBytes: 59 });
  const digest = await pushBlob(owner, 'acme/a', 'x'.repeat(60));
  const mount = () => owner('POST', `/v2/small/b/blobs/uploads/?mount=${digest}&from=acme/a`);
  assert.deepEqual(limitOf(await mount()), [0, 59, 60]);
  assert.equal((await owner('HEAD', `/v2/small/b/blobs/${digest}`)).status, 404);
  await updateRegistry(platform, team.owner, { registry: 'small', sizeLimitBytes: 60 });
  assert.equal((await mount()).status, 201);
});

/** A PUT whose last byte, or bytes, are still to come. */
async function beginPut(registry: Registry, port: number, secret: string, repository: string, body: string, left = 1) {
  const { platform, ask } = registry;
  const asker = withAuthorization(ask, bearer(secret));
  const location = await startSession(asker, repository);
  const wire = await openWire({ ...registry, team: { ...registry.team, secret } }, port);
  wire.head(`PUT ${location}?digest=${sha256(body)}`, [`Content-Length: ${body.length}`]);
  wire.write(body.slice(0, -left));
  for (;;) {
    const rows = await platform.db.selectFrom('objects').select('key').where('state', '=', 'writing').execute();
    if (rows.length > 0 && platform.local.writers.size > 0) break;
    await new Promise((resolve) => setImmediate(resolve));
  }
  return { wire, end: () => wire.write(body.slice(-left)) };
}

async function newToken({ platform, team }: Registry, input: Partial<TokenInput> = {}) {
  return createToken(platform, team.owner, { mode: 'rw', registryIds: null, ...input });
}

// Invariant 9 of the protocols. What would break without this: whoever stole a token finishes what they began.
test('what a revoked or regenerated token is still sending is refused at its end, and nothing of it is kept', async (t) => {
  const registry = await openRegistry(t);
  const { owner, platform, team } = registry;
  const port = await listen(registry);
  for (const [name, end] of Object.entries({ revokeToken, regenerateToken })) {
    const { token, secret } = await newToken(registry);
    const body = `still sending while ${name}`;
    const { wire, end: sendRest } = await beginPut(registry, port, secret, 'acme/app', body);
    await end(platform, team.owner, { token: token.id });
    sendRest();
    const answer = await wire.answer();
    assert.equal(outcomeOf(answer), '401 UNAUTHORIZED', name);
    assert.match(answer.headers['www-authenticate'] ?? '', /^Bearer .*error="invalid_token"/);
    assert.equal((await owner('HEAD', `/v2/acme/app/blobs/${sha256(body)}`)).status, 404);
  }
  assert.equal((await usageOf(registry)).size, 0);
});

test('an upload of parts, a manifest and a single POST of a token that was revoked meanwhile are refused too', async (t) => {
  const registry = await openRegistry(t);
  const { owner, platform, team, ask } = registry;
  const port = await listen(registry);
  await pushBlob(owner, 'acme/app', '{}');
  const { token, secret } = await newToken(registry);
  const asker = withAuthorization(ask, bearer(secret));
  const session = await startSession(asker, 'acme/app');
  await asker('PATCH', session, { body: 'one ' });
  await asker('PATCH', session, { body: 'two ' });
  const manifest = imageOf([]);
  const open = (line: string, body: string): Promise<[Wire, string]> =>
    openWire({ ...registry, team: { ...team, secret } }, port).then((wire) => {
      wire.head(line, [
        `Content-Length: ${body.length}`,
        'Content-Type: application/octet-stream',
        'Expect: 100-continue',
      ]);
      return [wire, body];
    });
  const wires = [
    await open(`PUT ${session}?digest=${sha256('one two three')}`, 'three'),
    await open(`POST /v2/acme/app/blobs/uploads/?digest=${sha256('posted')}`, 'posted'),
    await open('PUT /v2/acme/app/manifests/v1', manifest),
  ];
  // Each has signed in by the time it is told to go on; a byte more shows that it is inside its body.
  for (const [wire, body] of wires) {
    assert.equal((await wire.answer()).status, 100);
    wire.write(body.slice(0, 1));
  }
  const writing = async () =>
    (await platform.db.selectFrom('objects').select('key').where('state', '=', 'writing').execute()).length;
  while ((await writing()) < 2) await new Promise((resolve) => setImmediate(resolve));
  await revokeToken(platform, team.owner, { token: token.id });
  for (const [wire, body] of wires) {
    wire.write(body.slice(1));
    assert.equal(outcomeOf(await wire.answer()), '401 UNAUTHORIZED', body);
  }
  for (const content of ['one two three', 'posted']) {
    assert.equal((await owner('HEAD', `/v2/acme/app/blobs/${sha256(content)}`)).status, 404);
  }
  assert.equal((await owner('HEAD', '/v2/acme/app/manifests/v1')).status, 404);
});

test('what a token was still sending when it was narrowed is refused at its end, and nothing of it is kept', async (t) => {
  const registry = await openRegistry(t);
  const { owner, platform, team } = registry;
  const port = await listen(registry);
  const depot = await createRegistry(platform, team.owner, { name: 'depot' });
  const changes = { 'to reading': { mode: 'ro' }, 'to another registry': { registryIds: [depot.id] } } as const;
  for (const [name, change] of Object.entries(changes)) {
    const { token, secret } = await newToken(registry);
    const body = `still sending while narrowed ${name}`;
    const { wire, end } = await beginPut(registry, port, secret, 'acme/app', body);
    await updateToken(platform, team.owner, { token: token.id, ...change });
    end();
    assert.equal(outcomeOf(await wire.answer()), '403 DENIED', name);
    assert.equal((await owner('HEAD', `/v2/acme/app/blobs/${sha256(body)}`)).status, 404);
  }
  assert.equal((await usageOf(registry)).size, 0);
});

test('a token narrowed to reading cannot go on with its session', async (t) => {
  const registry = await openRegistry(t);
  const { platform, team, ask } = registry;
  const { token, secret } = await newToken(registry);
  const asker = withAuthorization(ask, bearer(secret));
  const session = await startSession(asker, 'acme/app');
  await updateToken(platform, team.owner, { token: token.id, mode: 'ro' });
  assert.equal(outcomeOf(await asker('PATCH', session, { body: 'x' })), '403 DENIED');
  assert.equal(outcomeOf(await asker('PUT', `${session}?digest=${sha256('')}`)), '403 DENIED');
});

test('a registry that is deleted while a push runs: what was begun ends in a 404 that says so', async (t) => {
  const registry = await openRegistry(t);
  const { owner, platform, team } = registry;
  const port = await listen(registry);
  const idle = await startSession(owner, 'acme/app');
  await owner('PATCH', idle, { body: 'begun' });
  const running = await beginPut(registry, port, team.secret, 'acme/app', 'running while it goes');
  await deleteRegistry(platform, team.owner, { registry: 'acme' });
  running.end();
  assert.equal(outcomeOf(await running.wire.answer()), '404 NAME_UNKNOWN');
  for (const [method, url] of [
    ['GET', idle],
    ['PATCH', idle],
    ['PUT', `${idle}?digest=${sha256('begun')}`],
    ['POST', '/v2/acme/app/blobs/uploads/'],
    ['POST', `/v2/acme/new/blobs/uploads/?digest=${sha256('')}`],
    ['PUT', '/v2/acme/app/manifests/v1'],
    ['GET', '/v2/acme/app/tags/list'],
  ] as const) {
    assert.equal(outcomeOf(await owner(method, url)), '404 NAME_UNKNOWN', `${method} ${url}`);
  }
  assert.deepEqual(JSON.parse((await owner('GET', '/v2/_catalog')).text), { repositories: [] });
});

// Protocol B 5.1. What would break without this: the bytes of a writer that was given up would become a blob without them.
test('a writer that the janitor gave up is told so, and its bytes become nothing', async (t) => {
  const registry = await openRegistry(t);
  const { owner, platform, team } = registry;
  const port = await listen(registry);
  const giveUp = async () => {
    platform.clock.advance(6 * 60_000);
    assert.equal(await doomLateWriters(platform), 1);
  };
  const unaware = await beginPut(registry, port, team.secret, 'acme/app', 'stalled for too long');
  await giveUp();
  unaware.end();
  assert.equal((await unaware.wire.answer()).status, 503);
  const aware = await beginPut(registry, port, team.secret, 'acme/app', 'stalled, and still far from its end', 10);
  await giveUp();
  await renewWriters(platform);
  // One more byte is enough: the rest need not even be sent.
  aware.wire.write('x');
  assert.equal((await aware.wire.answer()).status, 503);
  for (const content of ['stalled for too long', 'stalled, and still far from its end']) {
    assert.equal((await owner('HEAD', `/v2/acme/app/blobs/${sha256(content)}`)).status, 404);
  }
  assert.deepEqual(await usageOf(registry), { size: 0, reserved: 0 });
});
