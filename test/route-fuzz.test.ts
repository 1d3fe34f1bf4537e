// Hostile requests to every route of every management surface: whatever is sent, the answer is a refusal in the form of
// the surface, or a success, never a fault; and the server goes on as before.

import assert from 'node:assert/strict';
import { METHODS } from 'node:http';
import { connect } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import type { DialectAnswer } from './dialect-client.ts';
import { assertRefused, bodyFor, type ManagementWorld, openManagementWorld, valuesOf } from './management-world.ts';
import { type Route, requestOf } from './route-list.ts';

const segments = [
  ...['..', '%2e%2e', '%2f', '%2F..%2F', '%00', 'a%00b', '%ff%fe', '%c0%ae', '%c0%af', '%ed%a0%80', '%', '%zz', '%25'],
  ...[
    '%5c',
    '%0d%0a',
    '%F0%9F%92%A9',
    '%E2%80%AE',
    "'",
    '"',
    '<x>',
    '*',
    '__proto__',
    'constructor',
    'null',
    '-1',
    ' ',
  ],
  ...['x'.repeat(300), 'x'.repeat(5000), '01a00000-0000-7000-8000-000000000000', ';', ':', '@', '~', '+'],
];
const words = [
  ...['', '0', '-1', '1.5', '1e999', '9007199254740993', 'NaN', 'true', '%00', '%ff', '%', '[]', "'", '%25', '_', '\\'],
  ...['null', 'name', '-name', 'desc', '%F0%9F%92%A9', 'x'.repeat(2000), '__proto__', 'AAAAAAAAAAAAAAAAAAAAAAAA'],
];
const queries = [
  ...['limit', 'cursor', 'after', 'page', 'per_page', 'offset', 'search', 'sort', 'order', 'orderBy', 'project'],
  ...['provider', 'status', 'kind', 'force', 'format', 'docker-config', 'action', 'since', '__proto__', 'constructor'],
];
const values: readonly unknown[] = [
  ...[
    null,
    true,
    0,
    -1,
    1.5,
    1e308,
    2 ** 53,
    '',
    ' ',
    'x',
    {},
    [],
    [[]],
    [null],
    [{}],
    { toString: 1 },
    { length: -1 },
  ],
  ...['a\0b', '\ud800', '\u202e', 'a\nb', 'é', '..', '%2f', 'x'.repeat(70_000), { $ne: null }],
  ...[{ constructor: { prototype: { x: 1 } } }, 'http://127.0.0.1', 'javascript:1', '1'.repeat(400)],
];
const fields = [
  'constructor',
  'prototype',
  'toString',
  'hasOwnProperty',
  'id',
  'teamId',
  'team_id',
  '',
  'a.b',
  '$where',
];

const value = fc.oneof(fc.constantFrom(...values), fc.jsonValue({ maxDepth: 3 }));
const segment = fc.oneof(fc.constantFrom(...segments), fc.string({ maxLength: 20 }).map(encodeSafely));
/** What is wrong everywhere is refused for the first fault. */
const rarely = <T>(arbitrary: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 4, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary });
const asked = fc.record({
  route: fc.nat(),
  /** Undefined: the right one. */
  segments: fc.array(rarely(segment), { minLength: 3, maxLength: 3 }),
  query: rarely(fc.array(fc.tuple(fc.constantFrom(...queries), fc.constantFrom(...words)), { maxLength: 2 })),
  changes: fc.array(fc.tuple(fc.oneof(fc.nat(), fc.constantFrom(...fields)), value), { maxLength: 3 }),
  document: rarely(fc.oneof(fc.json({ maxDepth: 4 }), fc.string())),
  headers: fc.constantFrom({}, { 'if-match': '"x"' }, { 'if-match': '*' }, { 'x-nodion-project': '%00' }),
});
type Asked = typeof asked extends fc.Arbitrary<infer T> ? T : never;

function encodeSafely(text: string): string {
  return text.isWellFormed() ? encodeURIComponent(text) : '%ed%a0%80';
}

function toRequest(world: ManagementWorld, { route: index, ...given }: Asked) {
  const { mine } = world;
  const routes = world.routes.filter(({ method }) => /^(?:GET|HEAD|POST|PUT|PATCH|DELETE)$/.test(method));
  const route = routes[index % routes.length] as Route;
  const own = valuesOf(route, mine);
  let i = 0;
  const path = route.url.replaceAll(
    /:(\w+)/g,
    (_, name: string) => given.segments[i++] ?? encodeURIComponent(own[name] ?? ''),
  );
  const query = (given.query ?? []).map((pair) => pair.join('=')).join('&');
  const body: Record<string, unknown> = { ...bodyFor(world, route, mine) };
  for (const [field, changed] of given.changes) {
    const names = Object.keys(body);
    body[typeof field === 'string' ? field : (names[field % names.length] ?? 'name')] = changed;
  }
  const hasBody = /^(?:POST|PUT|PATCH|DELETE)$/.test(route.method);
  return {
    route,
    path: query === '' ? path : `${path}?${query}`,
    body: hasBody ? (given.document ?? body) : undefined,
  };
}

test('whatever is asked of any route, no answer is a fault, and each refusal is in its form', async (t) => {
  const world = await openManagementWorld(t);
  const statuses = new Map<number, number>();
  await fc.assert(
    fc.asyncProperty(asked, async (given) => {
      const { route, path, body } = toRequest(world, given);
      const answer = await world.call(`${route.method} ${path.replaceAll(' ', '%20')}`, {
        body,
        headers: given.headers,
      });
      statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
      assert.ok(answer.status < 500, `${answer.status} ${answer.text}`);
      const climbs = /\/(?:\.|%2e){1,2}(?:\/|$|\?)/i.test(path);
      if (answer.status >= 400 && route.method !== 'HEAD' && !climbs) assertRefused(answer, route.url, path);
    }),
    { numRuns: Number(process.env.LADING_TEST_RUNS ?? 400), endOnFailure: true },
  );
  assert.ok((statuses.get(400) ?? 0) > 20 && (statuses.get(200) ?? 0) > 20, `${[...statuses]}`);
});

const documents = [
  ...['null', '[]', '"x"', '{', '{"name":', '{"a":1}{', '{"__proto__":{"admin":true}}', '{"name":"\\ud800"}'],
  ...['{"constructor":{"prototype":{"admin":true}}}', '{"name":"a","name":"b"}', '\ufeff{}', '['.repeat(100_000)],
];

// Nearly as much as fits into a body. To describe all that is wrong with such a list once took a minute.
const repeated = Array(20_000).fill('x');
const lists = ['projectIds', 'registryIds', 'permissions', 'namespaces', 'tags', 'digests'];
const names = Array.from({ length: 10_000 }, (_, i) => `x${i}.example.com`);
const large: readonly object[] = [
  {
    ...Object.fromEntries(lists.map((field) => [field, repeated])),
    restrictions: { restricted: true, projects: repeated },
    scope: { allRegistries: false, modeRW: false, registryIds: repeated },
  },
  { auths: Object.fromEntries(names.map((name) => [name, { auth: 'YTpi' }])), [names.join('')]: 1 },
];

test('no document in any body is more than refused, nor does it keep the process busy', async (t) => {
  const world = await openManagementWorld(t);
  const { routes, mine, call } = world;
  for (const route of routes.filter(({ method, url }) => /^P/.test(method) && !otherBases.test(url))) {
    const own = bodyFor(world, route, mine);
    if (own === undefined) continue;
    const ask = (body: string) => call(requestOf(route, valuesOf(route, mine)), { body });
    // One surface has routes that say which other methods there are.
    if ((await ask('{')).status === 405) continue;
    for (const body of [...documents, ...large.map((one) => JSON.stringify({ ...own, ...one }))]) {
      const started = performance.now();
      const answer = await ask(body);
      const what = `${route.method} ${route.url} ${body.slice(0, 80)}`;
      assert.ok(performance.now() - started < 2000, `${what} took ${performance.now() - started} ms`);
      assert.ok(answer.status < 500, `${what}: ${answer.status} ${answer.text}`);
      if (answer.status >= 400) assertRefused(answer, route.url, what);
    }
  }
});

/** The same APIs once more. */
const otherBases = /^\/(?:selectel|northflank|paperspace|nodion)\//;

test('no method on any path is more than refused', async (t) => {
  const world = await openManagementWorld(t);
  const { routes, mine, call } = world;
  const paths = new Map(routes.map((route) => [route.url, route]));
  for (const route of paths.values()) {
    const known = routes
      .filter(({ url }) => url.replace(/\/$/, '') === route.url.replace(/\/$/, ''))
      .map(({ method }) => method);
    for (const method of METHODS) {
      const isServed = known.includes(method) && /^(?:GET|HEAD|POST|PUT|PATCH|DELETE)$/.test(method);
      if (method === 'CONNECT' || isServed) continue;
      const answer = await call(requestOf({ ...route, method }, valuesOf(route, mine)));
      assert.ok([400, 404, 405].includes(answer.status), `${method} ${route.url}: ${answer.status} ${answer.text}`);
      if (method !== 'HEAD') assertRefused(answer, route.url, `${method} ${route.url}`);
    }
  }
});

type Exchange = (bytes: string | Buffer) => Promise<DialectAnswer>;

/** The server's first answer to these bytes. */
async function openWire(world: ManagementWorld): Promise<Exchange> {
  const { port, hostname: host } = new URL(await world.app.listen({ host: '127.0.0.1', port: 0 }));
  return async (bytes) => {
    const socket = connect({ host, port: Number(port) });
    const { promise, resolve } = Promise.withResolvers<void>();
    let said = '';
    socket.on('data', (data) => {
      said += data.toString('latin1');
      const length = /^content-length: (\d+)$/im.exec(said)?.[1];
      if (length !== undefined && (said.split('\r\n\r\n')[1] ?? '').length >= Number(length)) socket.destroy();
    });
    // A refusal may come, and the connection end, before all is written.
    socket.on('error', () => {});
    socket.on('close', () => resolve());
    socket.write(bytes);
    await promise;
    return toAnswer(said);
  };
}

function toAnswer(said: string): DialectAnswer {
  const [head = '', ...rest] = said.split('\r\n\r\n');
  const text = rest.join('\r\n\r\n');
  const type = /^content-type: (.*)$/im.exec(head)?.[1]?.trim();
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1] ?? 0);
  return { status, headers: { 'content-type': type }, text, json: text === '' ? undefined : JSON.parse(text) };
}

test('what is no proper HTTP, or no proper text, is refused, and the next request is answered', async (t) => {
  const world = await openManagementWorld(t);
  const { mine, theirs } = world;
  const say = await openWire(world);
  const collections = [
    '/lading/v1/connections',
    '/v1/integrations/registries',
    '/v1/container-registries',
    '/v1/container_registries',
    '/api/v1/registries',
  ];
  const head = (path: string, ...headers: string[]) =>
    [`POST ${path} HTTP/1.1`, 'host: x', `authorization: Bearer ${mine.key}`, ...headers, '', ''].join('\r\n');
  const json = 'content-type: application/json';
  const sized = (path: string, body: Buffer | string, ...headers: string[]) =>
    Buffer.concat([
      Buffer.from(head(path, json, `content-length: ${Buffer.byteLength(body)}`, ...headers)),
      Buffer.from(body),
    ]);
  const chunk = `${(64 * 1024).toString(16)}\r\n${' '.repeat(64 * 1024)}\r\n`;
  for (const path of collections) {
    const cases: [string, string | Buffer, number[]][] = [
      ['chunks without end', head(path, json, 'transfer-encoding: chunked') + chunk.repeat(20), [413]],
      ['a chunked document', `${head(path, json, 'transfer-encoding: chunked')}2\r\n{}\r\n0\r\n\r\n`, [400]],
      ['10 MB', `${head(path, json, 'content-length: 10000000')}${' '.repeat(100_000)}`, [413]],
      ['two lengths', `${head(path, json, 'content-length: 2', 'content-length: 3')}{}`, [400]],
      ['a length and chunks', `${head(path, json, 'content-length: 2', 'transfer-encoding: chunked')}0\r\n\r\n`, [400]],
      ['a length that is none', `${head(path, json, 'content-length: -1')}{}`, [400]],
      ['two media types', sized(path, '{}', 'content-type: text/plain'), [400]],
      ['two keys', sized(path, '{}', `authorization: Bearer ${theirs.key}`), [400, 401]],
      [
        'bytes that are no UTF-8',
        sized(path, Buffer.from([0x7b, 0x22, 0xc0, 0xaf, 0x22, 0x3a, 0x31, 0x7d])),
        [400, 403],
      ],
      ['UTF-16', sized(path, Buffer.from('{"name":"x"}', 'utf16le')), [400]],
      ['compressed', sized(path, Buffer.from([0x1f, 0x8b, 8, 0]), 'content-encoding: gzip'), [400]],
      ['NUL in the path', head(`${path}/a\0b`), [400]],
      ['overlong UTF-8 in the path', head(`${path}/%c0%ae%c0%ae%c0%af`), [400, 404]],
      ['a path in Latin-1', Buffer.from(head(`${path}/\xff`), 'latin1'), [400, 404]],
      ['large headers', head(path, `x: ${'y'.repeat(100_000)}`), [413, 431]],
      ['a header of two lines', head(path, 'x: y\r\n z'), [400]],
      ['a URL for a proxy', head(`http://169.254.169.254${path}`), [400, 404]],
    ];
    for (const [what, bytes, statuses] of cases) {
      const answer = await say(bytes);
      assert.ok(statuses.includes(answer.status), `${what} at ${path}: ${answer.status} ${answer.text}`);
      assert.ok(!answer.text.includes(mine.key) && !answer.text.includes(theirs.team), what);
      // What is no HTTP at all has no path, so that it belongs to no surface.
      if (!/"statusCode":/.test(answer.text)) assertRefused(answer, path, `${what} at ${path}`);
    }
  }
  const started = performance.now();
  assert.equal((await world.call('GET /v1/login')).status, 200);
  assert.ok(performance.now() - started < 500);
});
