// Hostile text in every path, query, header and body. Whatever comes, the answer is a refusal in the vendor's form, never
// a 500.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sql } from 'kysely';
import { wrongWords } from '#test/raw-requests.ts';
import { openSelectel } from '#test/selectel-client.ts';
import { assertRefused, type Holdings, openWorld, operations, requestFor } from '#test/selectel-world.ts';

const never = '01a00000-0000-7000-8000-000000000000';
const segments = [
  ...['..', '%2e%2e', '%2e%2e%2f%2e%2e%2fetc%2fpasswd', '%2f', '%00', 'a%00b', '%ff%fe', '%', '%zz', '%ED%A0%80'],
  ...['%F0%9F%92%A9', '%CE%B1', "'%20or%20'1'='1", '%22', '%5c', '%25', '_', '-1', 'null', '__proto__'],
  ...['constructor', 'undefined', never, never.toUpperCase(), 'x'.repeat(300), 'x'.repeat(5000)],
];

test('no path segment is more than not found', async (t) => {
  const { send, mine } = await openWorld(t);
  for (const { request, body } of operations) {
    for (const [, name = ''] of request.matchAll(/\{(\w+)\}/g)) {
      for (const segment of segments) {
        const asked = requestFor(request, mine, { [name]: segment } satisfies Partial<Holdings>);
        const answer = await send(asked, body && { body: JSON.stringify(body) });
        assertRefused(answer, asked, 400, 404);
        // Only what is no URL at all is something else than a name of nothing.
        if (answer.status === 400) assert.match(segment, /^%(ff%fe|zz|ED%A0%80)?$|^x{5000}$/, asked);
      }
    }
  }
});

test('the words for what is not there are the vendor’s', async (t) => {
  const { call, mine } = await openWorld(t);
  const base = `/v1/registries/${mine.id}/repositories`;
  const cases = {
    [`GET /v1/registries/${never}`]: 'Registry not found.',
    [`DELETE /v1/registries/${never}`]: 'Registry not found.',
    [`GET /v2/registries/${never}/repositories`]: 'Registry not found.',
    [`POST /v1/registries/${never}/garbage-collection`]: 'Registry not found.',
    [`DELETE /v1/registries/${never}/repositories/app`]: 'Registry not found.',
    [`DELETE /v1/registries/${never}/repositories/app/${mine.reference}`]: 'Registry not found.',
    [`GET ${base}/never`]: 'Repository not found.',
    [`GET ${base}/never/images`]: 'Repository not found.',
    [`GET ${base}/${encodeURIComponent(mine.name)}/never`]: 'Image not found.',
  };
  for (const [asked, error] of Object.entries(cases)) {
    const { status, json } = await call(asked);
    assert.deepEqual([status, json], [404, { error }], asked);
  }
});

test('paths and methods that are not there are not found, in the vendor’s form, under both prefixes', async (t) => {
  const { app, send, mine } = await openWorld(t);
  const asked = [
    ...['PUT /v1/registries', 'PATCH /v1/registries', 'POST /v2/registries', 'GET /v2/registries/x', 'GET /v1'],
    ...['GET /v1/', 'GET /v2/nothing', 'GET /v1/registries/', 'GET /v3/registries', 'TRACE /v1/registries'],
    ...[`DELETE /v2/registries/${mine.id}`, `GET /v1/registries/${mine.id}/garbage-collection`],
    `GET /v1/registries/${'a/'.repeat(200)}`,
    `GET /v1/registries/${mine.id}/repositories/${'a/'.repeat(200)}`,
    `GET /v1/registries/${mine.id}/repositories//images`,
    `GET /v1/registries/${mine.id}/repositories/../images`,
  ].filter((one) => !one.includes('/v3'));
  for (const one of asked) assertRefused(await send(one), one, 404);
  for (const url of ['/selectel/api/v1/registries/%zz', '/selectel/api/v1/nothing', '/selectel', '/api/v1/%zz']) {
    const { statusCode, json } = await app.inject({ url });
    assert.ok(statusCode === 400 || statusCode === 404, url);
    assert.deepEqual(Object.keys(json()), ['error'], url);
  }
});

const lists = operations.filter((one) => /registries$|repositories$|\/v2\/.*images$/.test(one.request) && !one.body);

test('no number in a query is more than invalid, and limits are kept', async (t) => {
  const { send, mine } = await openWorld(t);
  assert.equal(lists.length, 5);
  for (const { request } of lists) {
    const asked = requestFor(request, mine);
    for (const word of [...wrongWords, '1&limit=1', '0', '-9223372036854775808', 'x'.repeat(3000)]) {
      assertRefused(await send(`${asked}?limit=${word}`), `${asked}?limit=${word.slice(0, 50)}`, 400);
    }
    for (const word of wrongWords) {
      assertRefused(await send(`${asked}?offset=${word}`), `${asked}?offset=${word}`, 400);
    }
    for (const query of [
      'limit=9223372036854775808',
      `offset=${'9'.repeat(30)}`,
      'offset=9223372036854775807',
      'limit=',
    ]) {
      assert.equal((await send(`${asked}?${query}`)).status, 200, `${asked}?${query}`);
    }
  }
});

test('a wrong word in a query is answered with the words there are', async (t) => {
  const { send, mine } = await openWorld(t);
  const wrong = {
    'sort_field=SIZE': /size/,
    'sort_field=__proto__': /name/,
    'sort_type=up': /asc, desc/,
    'sort_type=asc&sort_type=asc': /more than once/,
    'short=yes': /false, true/,
  };
  for (const { request } of lists.filter((one) => !one.request.includes('images'))) {
    for (const [query, words] of Object.entries(wrong)) {
      if (query.startsWith('short') && !request.includes('repositories')) continue;
      const answer = await send(`${requestFor(request, mine)}?${query}`);
      assertRefused(answer, query, 400);
      assert.match(answer.json.error, words);
    }
  }
  const garbage = `POST /v1/registries/${mine.id}/garbage-collection?delete-untagged=1`;
  assertRefused(await send(garbage), garbage, 400);
});

test('no search is more than invalid, and none is a pattern', async (t) => {
  const { send, mine } = await openWorld(t);
  const words = [
    '%00',
    'a%00',
    '%25',
    '_',
    '%5c',
    '%5c%25',
    "'",
    '%F0%9F%92%A9',
    '%ff%fe',
    'x'.repeat(256),
    '%ED%A0%80',
  ];
  for (const { request } of lists) {
    for (const word of words) {
      const answer = await send(`${requestFor(request, mine)}?search=${word}`);
      if (/00|xxx/.test(word)) assertRefused(answer, word, 400);
      else assert.match(answer.text, /^(\[\]|.*:\[\].*)$/, `${request} ${word}`);
    }
  }
});

const values: unknown[] = [0, -1, 1.5, 1e308, '', 'x', 'a\0b', '\ud800', 'x'.repeat(5000), true, {}, { toString: 'x' }];
values.push([[]], [null], [1], [{}], ['\0'], ['\ud800'], [''], ['x', 'x'], ['a'.repeat(100_000)], null, []);

test('no value of a body is more than invalid, and unknown fields mean nothing', async (t) => {
  const { send, mine } = await openWorld(t);
  const cleanup = requestFor('POST /v1/registries/{id}/repositories/{name}/cleanup', mine);
  const isList = (value: unknown) =>
    value === null || (Array.isArray(value) && value.every((one) => typeof one === 'string'));
  for (const value of values) {
    const what = JSON.stringify(value).slice(0, 50);
    const name = JSON.stringify({ name: value });
    if (value !== 'x') assertRefused(await send('POST /v1/registries', { body: name }), `name ${what}`, 400);
    for (const field of ['digests', 'tags']) {
      const answer = await send(cleanup, { body: JSON.stringify({ [field]: value, disable_gc: true }) });
      if (!isList(value)) assertRefused(answer, `${field} ${what}`, 400);
      else assert.deepEqual([answer.status, answer.json.deleted], [200, []], `${field} ${what}`);
    }
    const flag = await send(cleanup, { body: JSON.stringify({ disable_gc: value }) });
    if (value !== true && value !== null) assertRefused(flag, `disable_gc ${what}`, 400);
  }
  const extra = { name: 'extra', id: never, teamId: never, isPublic: true, sizeLimit: 1, status: 'DELETING', used: 9 };
  const { status, json } = await send('POST /v1/registries', { body: JSON.stringify(extra) });
  assert.deepEqual([status, json.sizeLimit, json.status], [201, 21474836480, 'ACTIVE']);
  assert.notEqual(json.id, never);
});

test('what is no JSON object is no body', async (t) => {
  const { send, mine } = await openWorld(t);
  const bodies = ['null', '[]', '"x"', '1', 'true', '{', '{"name":', '{"a":1}{', '\ufeff{}', '{"__proto__":{"a":1}}'];
  bodies.push('['.repeat(100_000), `${'{"name":'.repeat(1000)}1${'}'.repeat(1000)}`);
  const cleanup = requestFor('POST /v1/registries/{id}/repositories/{name}/cleanup', mine);
  for (const body of ['', ...bodies]) {
    assertRefused(await send('POST /v1/registries', { body }), body.slice(0, 40), 400);
    // Of a byte order mark before an object nothing is made.
    const isNothing = ['', 'null', '\ufeff{}'].includes(body);
    if (!isNothing) assertRefused(await send(cleanup, { body }), `cleanup ${body.slice(0, 40)}`, 400);
  }
  const large = `{"name":"${'x'.repeat(1_100_000)}"}`;
  for (const asked of ['POST /v1/registries', cleanup]) assertRefused(await send(asked, { body: large }), asked, 413);
  for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data', 'x']) {
    const headers = { 'content-type': type };
    assertRefused(await send('POST /v1/registries', { body: '{"name":"ok"}', headers }), type, 400);
  }
});

test('a media type without a body is no fault', async (t) => {
  const { send, mine } = await openWorld(t);
  const headers = { 'content-type': 'application/json' };
  for (const { request, body, status } of operations) {
    if (body) continue;
    const asked = requestFor(request, mine);
    assert.equal((await send(asked, { headers })).status, status, asked);
  }
});

test('a fault of the server says nothing of itself, under the vendor’s other key', async (t) => {
  const { call, team, platform } = await openSelectel(t);
  await sql`alter table repositories rename to gone`.execute(platform.db);
  const { status, json, headers } = await call(`GET /v1/registries/${team.registryId}/repositories`);
  assert.deepEqual([status, Object.keys(json)], [500, ['message']]);
  assert.doesNotMatch(json.message, /repositories|table|SQL/i);
  assert.equal(headers['cache-control'], 'no-store');
});
