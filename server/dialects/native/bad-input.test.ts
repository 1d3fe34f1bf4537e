// Generated from the published document: hostile text in every path, query, header and body, over a real socket, because
// clients in between would tidy it up. Whatever comes, the answer is a refusal that names the fault, never a 500.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Json, nativeBase, openNative } from '#test/native-client.ts';
import {
  bodyFor,
  type Endpoint,
  endpointsOf,
  openWorld,
  parametersOf,
  requestFor,
  type World,
} from '#test/native-world.ts';
import { openSocket, wrongWords } from '#test/raw-requests.ts';

const openSocketFor = ({ app, mine }: World) => openSocket(app, nativeBase, { authorization: `Bearer ${mine.key}` });

function assertRefused(answer: { status: number; json: Json; text: string }, what: string): void {
  assert.ok(answer.status >= 400 && answer.status < 500, `${what}: ${answer.status} ${answer.text}`);
  assert.equal(answer.json?.status, answer.status, `${what}: ${answer.text}`);
  assert.ok(answer.json.detail.length > 10 && answer.json.requestId, what);
}

const segments = [
  '..',
  '%2e%2e',
  '%2e%2e%2f%2e%2e%2fetc%2fpasswd',
  '%2f',
  '%00',
  'a%00b',
  '%ff%fe',
  '%',
  '%zz',
  '%F0%9F%92%A9',
  '%CE%B1',
  "'%20or%20'1'='1",
  '%22',
  '%5c',
  '%25',
  '_',
  '-1',
  'null',
  '__proto__',
  'constructor',
  'undefined',
  '%ED%A0%80',
  'x'.repeat(300),
  'x'.repeat(5000),
];

test('no path segment is more than not found', async (t) => {
  const world = await openWorld(t);
  const raw = await openSocketFor(world);
  for (const endpoint of endpointsOf(world.document)) {
    const body = JSON.stringify(bodyFor(endpoint, world.mine));
    for (const name of parametersOf(endpoint)) {
      for (const segment of segments) {
        const asked = requestFor(endpoint, world.mine, { [name]: segment });
        assertRefused(await raw(asked, { body }), asked);
      }
    }
  }
  assertRefused(await raw('GET /'), 'the root');
  assertRefused(await raw('GET /registries/'), 'a trailing slash');
  assertRefused(await raw('PUT /registries'), 'a method that is not there');
  assertRefused(await raw(`GET /registries/${'a/'.repeat(200)}`), 'a deep path');
});

const words = [...wrongWords, '', '{}'];

test('no query parameter is more than invalid, and limits are kept', async (t) => {
  const world = await openWorld(t);
  const raw = await openSocketFor(world);
  const lists = endpointsOf(world.document).filter((one) => one.method === 'GET' && one.query.length > 0);
  for (const list of lists) {
    const asked = requestFor(list, world.mine);
    for (const { name, schema } of list.query) {
      for (const word of [...words, 'x'.repeat(3000)]) {
        const answer = await raw(`${asked}?${name}=${word}`);
        const what = `${asked}?${name}=${word.slice(0, 50)}`;
        if (schema.type === 'string' && !schema.enum && !schema.format && answer.status === 200) continue;
        if (schema.type === 'boolean' && word === 'true') continue;
        assertRefused(answer, what);
      }
      assertRefused(await raw(`${asked}?${name}=1&${name}=1`), `${name} twice`);
    }
    assertRefused(await raw(`${asked}?limits=5`), 'an unknown parameter');
    if (!list.query.some(({ name }) => name === 'limit')) continue;
    for (const limit of ['0', '-1', '-9223372036854775808']) assertRefused(await raw(`${asked}?limit=${limit}`), limit);
    for (const limit of ['201', '9223372036854775808', '9'.repeat(30)]) {
      const { status, json } = await raw(`${asked}?limit=${limit}`);
      assert.equal(status, 200, limit);
      assert.ok(json.items.length <= 200);
    }
  }
  const others = endpointsOf(world.document).filter((one) => one.method !== 'GET' && one.query.length > 0);
  for (const other of others) {
    for (const { name } of other.query) {
      const wrong = words.filter((word) => word !== 'true');
      for (const word of wrong) assertRefused(await raw(`${requestFor(other, world.mine)}?${name}=${word}`), word);
    }
  }
});

test('a wrong word in a query is answered with the words there are', async (t) => {
  const world = await openWorld(t);
  const raw = await openSocketFor(world);
  const sort = await raw('GET /registries?sort=size');
  assert.deepEqual(sort.json.errors, [{ pointer: '/sort', detail: 'must be one of name, -name' }]);
  const state = await raw('GET /operations?state=ended');
  assert.match(state.json.detail, /queued, running, done, failed/);
});

test('a cursor that this server did not give is refused, whatever is in it', async (t) => {
  const world = await openWorld(t);
  const raw = await openSocketFor(world);
  const positions = [
    [],
    [[]],
    ['a', 'b', 'c'],
    [1e308],
    [null],
    { a: 1 },
    'x',
    5,
    null,
    ['\0'],
    [1.5],
    [{}],
    ['a', -1],
  ];
  const cursors = positions.map((one) => Buffer.from(JSON.stringify(one)).toString('base64url'));
  for (const list of endpointsOf(world.document).filter((one) => one.query.some(({ name }) => name === 'cursor'))) {
    const asked = requestFor(list, world.mine);
    for (const cursor of [...cursors, 'AAAA', '!', 'ey', 'W10=']) {
      assertRefused(await raw(`${asked}?cursor=${cursor}`), `${asked}?cursor=${cursor}`);
    }
  }
});

const values: unknown[] = [
  null,
  0,
  -1,
  1.5,
  1e308,
  '',
  'x',
  'a\0b',
  '\ud800',
  '\u202e',
  'x'.repeat(5000),
  '<script>alert(1)</script>',
  "'; drop table teams; --",
  true,
  {},
  { toString: 'x' },
  [],
  [[]],
  [null],
  ['\0'],
  ['x', 'x'],
  Array.from({ length: 2000 }, (_, i) => `n${i}`),
];

test('no value of a body is more than invalid', async (t) => {
  const world = await openWorld(t);
  const raw = await openSocketFor(world);
  const schemas = world.document.components.schemas as Record<
    string,
    { properties?: Record<string, { writeOnly?: boolean }> }
  >;
  for (const endpoint of endpointsOf(world.document)) {
    if (endpoint.body === undefined) continue;
    const asked = requestFor(endpoint, world.mine);
    for (const name of Object.keys(schemas[endpoint.body]?.properties ?? {})) {
      for (const value of values) {
        const body = JSON.stringify({ ...bodyFor(endpoint, world.mine), [name]: value });
        const answer = await raw(asked, { body });
        const what = `${asked} ${name}=${JSON.stringify(value).slice(0, 50)}`;
        // Some of these are names, and some of them are taken by then.
        const isWriteOnly = schemas[endpoint.body]?.properties?.[name]?.writeOnly;
        if (answer.status < 300 && isWriteOnly) assert.equal(answer.json[name], undefined, what);
        else if (answer.status < 300) assert.ok(isTakenOver(answer.json, name, value), `${what}: ${answer.text}`);
        else assertRefused(answer, what);
      }
    }
  }
});

/** What was taken stands in the answer as it was sent: nothing was turned into something else on the way. */
function isTakenOver(json: Json, name: string, value: unknown): boolean {
  // A cleanup says of each name it got that there is no such thing.
  if (json.failed) {
    const failed = JSON.stringify(json.failed);
    return !Array.isArray(value) || value.every((one) => failed.includes(one));
  }
  // A slug, by then, and answered as the id of what it names.
  if (name === 'project') return typeof json.projectId === 'string';
  const object = json.team ?? json;
  return JSON.stringify(object[name]) === JSON.stringify(value);
}

test('what is no JSON object is no body', async (t) => {
  const world = await openWorld(t);
  const raw = await openSocketFor(world);
  const needed = endpointsOf(world.document).filter((one) => /^Create/.test(one.body ?? ''));
  assert.ok(needed.length >= 4);
  const bodies = [
    '',
    'null',
    '[]',
    '"x"',
    '1',
    'true',
    '{',
    '{"name":',
    '{"a":1}{',
    '\ufeff{}',
    '{"__proto__":{"a":1}}',
  ];
  bodies.push(
    '['.repeat(100_000),
    `${'{"name":'.repeat(1000)}1${'}'.repeat(1000)}`,
    `{"name":"${'x'.repeat(1_100_000)}"}`,
  );
  for (const endpoint of needed) {
    const asked = requestFor(endpoint, world.mine);
    for (const body of bodies) assertRefused(await raw(asked, { body }), `${asked} ${body.slice(0, 40)}`);
    const good = JSON.stringify(bodyFor(endpoint, world.mine));
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data', 'x', '']) {
      assertRefused(await raw(asked, { body: good, headers: { 'content-type': type } }), `${asked} ${type}`);
    }
  }
});

test('no header is more than refused', async (t) => {
  const world = await openWorld(t);
  const raw = await openSocketFor(world);
  const texts = ['', ' ', '"', '"a', 'W/"x"', '*, *', 'x'.repeat(4000), '%00', '\xff\xfe', '","'];
  const changing = endpointsOf(world.document).filter((one: Endpoint) => one.method === 'PATCH');
  for (const endpoint of changing) {
    const asked = requestFor(endpoint, world.mine);
    for (const text of texts) {
      const body = JSON.stringify(bodyFor(endpoint, world.mine));
      assertRefused(await raw(asked, { body, headers: { 'if-match': text } }), `if-match ${text.slice(0, 20)}`);
    }
  }
  for (const text of [...texts, 'Bearer', 'Bearer ', 'Basic', 'Basic !', 'Basic eA==', 'Basic Og==', 'Negotiate x']) {
    const answer = await raw('GET /registries', { headers: { authorization: text } });
    assertRefused(answer, text);
    assert.equal(answer.status, 401, text);
  }
});

test('what a body lacks is said in words, with the limit that there is', async (t) => {
  const { call } = await openNative(t);
  const make = async (body: unknown) => (await call('POST /projects', { body: body as object })).json.detail;
  assert.equal(await make([]), 'The body must be an object.');
  assert.equal(await make({ name: 5 }), 'name in the body must be a string.');
  assert.equal(await make({ name: '' }), 'name in the body must have at least 1 character.');
  assert.equal(await make({ name: 'x'.repeat(5000) }), 'name in the body must have at most 100 characters.');
});
