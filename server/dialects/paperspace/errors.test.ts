// The vendor's own client reads a refusal with a strict schema, and takes certain bodies for refusals whatever their
// status. What it cannot read, it reports as a fault of its own.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fastify } from 'fastify';
import { sql } from 'kysely';
import { Compile } from 'typebox/compile';
import { Failure, type Reason } from '#core/failure.ts';
import { callerOf } from '#test/dialect-client.ts';
import { body, openPaperspace } from '#test/paperspace-client.ts';
import { looksRefused, refusal } from '#test/paperspace-operations.ts';
import { assertRefused } from '#test/paperspace-world.ts';
import { writePaperspaceError } from './errors.ts';

const check = Compile(refusal);

const expected: Readonly<Record<Reason, readonly [number, string]>> = {
  invalid: [400, 'BAD_REQUEST'],
  unauthenticated: [401, 'UNAUTHORIZED'],
  denied: [403, 'FORBIDDEN'],
  not_found: [404, 'NOT_FOUND'],
  conflict: [409, 'CONFLICT'],
  in_use: [409, 'CONFLICT'],
  limit: [403, 'FORBIDDEN'],
  too_large: [413, 'PAYLOAD_TOO_LARGE'],
  range: [412, 'PRECONDITION_FAILED'],
  precondition: [412, 'PRECONDITION_FAILED'],
  unsupported: [405, 'METHOD_NOT_SUPPORTED'],
  throttled: [429, 'TOO_MANY_REQUESTS'],
  unavailable: [503, 'INTERNAL_SERVER_ERROR'],
};

test('every reason has a code that the client knows, and no key that it does not', async (t) => {
  const app = fastify();
  t.after(() => app.close());
  const detail = {
    retryAfterSeconds: 7,
    used: 1,
    limit: 2,
    fields: { '/provider': 'must be another', '': 'no object' },
  };
  app.get<{ Params: { reason: Reason } }>('/:reason', (request, reply) => {
    const { reason } = request.params;
    return writePaperspaceError(new Failure(reason, 'provider must be another.', detail), request, reply);
  });
  for (const [reason, [status, code]] of Object.entries(expected)) {
    const answer = await app.inject(`/${reason}`);
    assert.deepEqual([answer.statusCode, answer.json().code], [status, code], reason);
    assert.deepEqual(check.Errors(answer.json()), [], answer.body);
    assert.deepEqual([answer.headers['retry-after'], answer.headers['cache-control']], ['7', 'no-store']);
  }
  const { message, issues } = (await app.inject('/invalid')).json();
  assert.deepEqual(
    [message, issues],
    ['kind must be another.', [{ message: 'kind: must be another' }, { message: 'no object' }]],
  );
});

test('what is wrong before any route is found is said in the same form', async (t) => {
  const { app, team } = await openPaperspace(t);
  for (const base of ['/v1', '/paperspace/v1', '/paperspace-apisio/v1']) {
    const call = callerOf(app, team.secret, base);
    for (const path of ['/%zz', '/%', '/%ff%fe', `/${'x'.repeat(5000)}`, '/a/b/c', '//', '/a/../..%2f']) {
      assertRefused(await call(`GET /container-registries${path}`), `${base} ${path.slice(0, 20)}`, 400, 404);
    }
  }
  for (const path of ['/paperspace', '/paperspace/', '/paperspace/v1', '/paperspace/v2/container-registries']) {
    assertRefused(await callerOf(app, team.secret, '')(`GET ${path}`), path, 404);
  }
});

test('a fault of the server is in the same form and says nothing of itself', async (t) => {
  const { a, b, platform } = await openPaperspace(t);
  await sql`alter table connections rename to gone`.execute(platform.db);
  for (const call of [a, b]) {
    for (const asked of ['GET ', 'GET /x', 'POST ', 'DELETE /x']) {
      const { status, json, text } = await call(asked, { ...(asked === 'POST ' && { body: body('x') }) });
      assert.deepEqual([status, json.code, check.Errors(json)], [500, 'INTERNAL_SERVER_ERROR', []], asked);
      assert.doesNotMatch(text, /connections|table|SQL/i);
    }
  }
  // On Postgres the next test gets these tables.
  await sql`alter table gone rename to connections`.execute(platform.db);
});

test('no success looks like a refusal, not even one whose fields are called so', async (t) => {
  const { a, b } = await openPaperspace(t);
  for (const [name, call] of Object.entries({ a, b })) {
    const given = { ...body(name, { url: 'http://127.0.0.1:1' }), code: 'NOT_FOUND', message: 'x' };
    const made = await call('POST ', { body: given });
    const answers = [made, await call('GET ')];
    for (const path of ['', '/test-connection']) answers.push(await call(`GET /${made.json.id}${path}`));
    answers.push(await call(`PUT /${made.json.id}`, { body: given }), await call(`DELETE /${made.json.id}`));
    for (const { status, json, text } of answers) {
      assert.ok(status < 300 && !looksRefused(json), `${status} ${text}`);
    }
  }
});
