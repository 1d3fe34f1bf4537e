import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fastify } from 'fastify';
import type { Scope } from '#test/database.ts';
import { toFailure } from './errors.ts';
import { bindJsonBody } from './json-body.ts';

function open(t: Scope) {
  const app = fastify({ bodyLimit: 1024 * 1024 });
  bindJsonBody(app);
  app.setErrorHandler((error, _request, reply) => reply.code(400).send({ refused: toFailure(error)?.message }));
  app.post('/', async (request) => ({ body: request.body ?? 'none' }));
  t.after(() => app.close());
  return async (payload: string, type = 'application/json') => {
    const answer = await app.inject({ method: 'POST', url: '/', payload, headers: { 'content-type': type } });
    return answer.json();
  };
}

test('a body is read as it stands', async (t) => {
  const post = open(t);
  assert.deepEqual(await post('{"a":[1,"x",null]}'), { body: { a: [1, 'x', null] } });
  assert.deepEqual(await post('{"a":1}', 'application/json; charset=utf-8'), { body: { a: 1 } });
});

// The vendors' clients and crane always send the header.
test('no body under the name of JSON is no body', async (t) => {
  const post = open(t);
  for (const nothing of ['', ' \r\n']) assert.deepEqual(await post(nothing), { body: 'none' });
});

const refused: readonly [string, string, RegExp][] = [
  ['half a body', '{"a":', /not JSON/],
  ['two bodies', '{}{}', /not JSON/],
  ['a prototype', '{"__proto__":{"isAdmin":true}}', /__proto__/],
  ['a prototype written with escapes', '{"\\u005f_proto__":{"isAdmin":true}}', /__proto__/],
  ['a prototype below', '{"a":[{"constructor":{"prototype":{"x":1}}}]}', /__proto__/],
  ['65 levels', `${'['.repeat(65)}${']'.repeat(65)}`, /nested too deeply/],
  ['a megabyte of brackets', '['.repeat(1_000_000), /nested too deeply/],
  ['more than a megabyte', `"${'x'.repeat(1024 * 1024)}"`, /at most 1 MiB/],
];
for (const [name, body, expected] of refused) {
  test(`${name} is refused`, async (t) => assert.match((await open(t)(body)).refused, expected));
}

test('brackets in texts are no levels', async (t) => {
  const text = '[\\"'.repeat(100);
  assert.deepEqual(await open(t)(`{"a":"${text}","b":{}}`), { body: { a: '["'.repeat(100), b: {} } });
});
