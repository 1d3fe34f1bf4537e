// Every operation, asked by the wrong ones and in the wrong way.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sql } from 'kysely';
import { callerOf } from '#test/dialect-client.ts';
import { assertNoDocumentHurts, testOperations } from '#test/dialect-security.ts';
import { assertRefused, openNodion, openWorld } from '#test/nodion-world.ts';

testOperations('nodion', openWorld);
test('what is no JSON object is no body', async (t) => assertNoDocumentHurts(await openWorld(t)));

test('what is wrong before any route is found is said in the same form, a wrong method too', async (t) => {
  const { app, team } = await openNodion(t);
  for (const base of ['/v1', '/nodion/v1']) {
    const call = callerOf(app, team.secret, `${base}/container_registries`);
    for (const path of ['/%zz', '/%', '/%ff%fe', `/${'x'.repeat(5000)}`]) {
      assertRefused(await call(`GET ${path}`), path.slice(0, 20), 400);
    }
    for (const asked of ['GET /a/b/c', 'PUT /a', 'PATCH ', 'DELETE ', 'GET /a/credentials', 'TRACE /', 'GET /a/b/']) {
      const { status, json } = await call(asked);
      assert.deepEqual([status, json], [404, { status: 404, error: 'Not Found' }], asked);
    }
  }
});

test('a fault of the server is in the same form and says nothing of itself', async (t) => {
  const { call, platform } = await openNodion(t);
  await sql`alter table connections rename to gone`.execute(platform.db);
  const { status, json, text } = await call('GET ');
  assert.deepEqual([status, Object.keys(json), json.status], [500, ['status', 'error'], 500]);
  assert.doesNotMatch(text, /connections|table|SQL/i);
  // On Postgres the next test gets these tables.
  await sql`alter table gone rename to connections`.execute(platform.db);
});
