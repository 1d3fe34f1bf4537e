// The vendor's own client reads a refusal with a strict schema, and takes certain bodies for refusals whatever their
// status. What it cannot read, it reports as a fault of its own.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sql } from 'kysely';
import { Compile } from 'typebox/compile';
import { buildApp } from '#server/app.ts';
import { type CallOptions, callerOf } from '#test/dialect-client.ts';
import { body, openPaperspace } from '#test/paperspace-client.ts';
import { looksRefused, refusal } from '#test/paperspace-operations.ts';
import { assertRefused } from '#test/paperspace-world.ts';
import { seedKey } from '#test/platform.ts';

const check = Compile(refusal);

test('each refusal has a code that the client knows, the status that belongs to it, and no key that it does not know', async (t) => {
  const { a, b, platform, app, team } = await openPaperspace(t);
  const reader = await seedKey(platform, team.teamId, { permissions: ['connections:read'] });
  for (const [form, call] of Object.entries({ a, b })) {
    const { json: made } = await call('POST ', { body: body(form) });
    const cases: [string, CallOptions, number, string][] = [
      ['POST ', { body: '{' }, 400, 'BAD_REQUEST'],
      ['POST ', { body: body('y', { url: 'no URL' }) }, 400, 'BAD_REQUEST'],
      ['GET ', { key: '' }, 401, 'UNAUTHORIZED'],
      ['GET ', { key: 'lading_key_of_nobody' }, 401, 'UNAUTHORIZED'],
      ['POST ', { key: reader.secret, body: body('y') }, 403, 'FORBIDDEN'],
      [`DELETE /${made.id}`, { key: reader.secret }, 403, 'FORBIDDEN'],
      ['GET /none', {}, 404, 'NOT_FOUND'],
      ['POST ', { body: body(form.toUpperCase()) }, 409, 'CONFLICT'],
      ['POST ', { body: body('x'.repeat(1_100_000)) }, 413, 'PAYLOAD_TOO_LARGE'],
    ];
    for (const method of ['PATCH', 'DELETE', 'QUERY']) {
      cases.push(
        [`${method} `, {}, 405, 'METHOD_NOT_SUPPORTED'],
        [`${method} `, { body: {} }, 405, 'METHOD_NOT_SUPPORTED'],
      );
    }
    for (const [asked, options, status, code] of cases) {
      const answer = await call(asked, options);
      const what = `${form} ${asked} ${answer.text}`;
      assert.deepEqual([answer.status, answer.json.code, check.Errors(answer.json)], [status, code, []], what);
      assert.equal(answer.headers['cache-control'], 'no-store', what);
      assert.equal(answer.headers.allow, status === 405 ? 'GET, HEAD, POST' : undefined, what);
    }
  }
  const { json } = await b('POST ', { body: body('y', { kind: 'none' }) });
  assert.match(json.message, /^kind must be one of /);
  assert.match(json.issues[0].message, /^kind: must be one of /);

  const limited = await buildApp({ ...platform, config: { ...platform.config, requestsPerHour: 1 } });
  t.after(() => limited.close());
  const call = callerOf(limited, team.secret, '/v1/container-registries');
  await call('GET ');
  const answer = await call('GET ');
  assert.deepEqual([answer.status, answer.json.code, check.Errors(answer.json)], [429, 'TOO_MANY_REQUESTS', []]);
  assert.match(answer.headers['retry-after'] ?? '', /^[0-9]+$/);
  assert.equal((await callerOf(app, team.secret, '/v1/container-registries')('GET ')).status, 200);
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
