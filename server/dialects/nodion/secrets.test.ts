// The stored secret belongs to the host it was given for, and is seen by nobody else.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testConnection } from '#core/connection-tests.ts';
import { openNodion } from '#test/nodion-world.ts';
import { startRegistry } from '#test/servers/registry.ts';

// Without this test a change of the address hands the password to whoever owns the new one.
test('the stored password goes to no other host', async (t) => {
  const { call, platform, team } = await openNodion(t);
  const [own, other] = [await startRegistry(t), await startRegistry(t)];
  const given = { name: 'mine', registry_type: 'custom', username: 'alice', password: 'correct horse' };
  const made = await call('POST ', { body: { ...given, hostname: own.url } });
  const { id } = made.json.container_registry;
  const moves = [
    { hostname: other.url },
    { hostname: other.host },
    { hostname: other.url, username: 'alice' },
    { hostname: other.url, password: null },
    { hostname: own.url.replace('127.0.0.1', 'localhost') },
    { hostname: `${own.url}@${other.host}` },
  ];
  for (const body of moves) {
    const { status, json } = await call(`PATCH /${id}`, { body });
    assert.deepEqual([status, json.errors?.length], [400, 1], JSON.stringify(body));
  }
  const refused = await call(`PATCH /${id}`, { body: moves[0] });
  assert.deepEqual(refused.json.errors, [
    `Password must be given again: it was entered for ${own.url.replace(/\/$/, '')}`,
  ]);
  assert.equal((await testConnection(platform, team.owner, { connection: id })).passed, true);
  assert.equal(other.connections(), 0);
  assert.ok(own.seen.length > 0);

  const moved = await call(`PATCH /${id}`, { body: { hostname: other.url, password: 'a new one' } });
  assert.equal(moved.status, 200, moved.text);
  assert.equal((await testConnection(platform, team.owner, { connection: id })).passed, false);
  const sent = new Set(other.seen.flatMap(({ headers }) => headers.authorization ?? []));
  assert.deepEqual(
    [...sent].map((one) => Buffer.from(one.replace('Basic ', ''), 'base64').toString()),
    ['alice:a new one'],
  );
});

test('no answer repeats a password, whatever becomes of the request', async (t) => {
  const { call } = await openNodion(t);
  const body = {
    name: 'mine',
    registry_type: 'custom',
    hostname: 'a.example',
    username: 'a',
    password: 'planted-word',
  };
  const answers = [await call('POST ', { body })];
  const { id } = answers[0]?.json.container_registry ?? {};
  answers.push(await call('POST ', { body }), await call('POST ', { body: { ...body, name: '' } }));
  answers.push(await call('POST ', { body: { ...body, name: 'x', password: 'planted-word\0' } }));
  answers.push(await call('POST ', { body: { ...body, name: 'x', hostname: 'planted-word://x' } }));
  answers.push(await call('GET '), await call(`GET /${id}`), await call(`PATCH /${id}`, { body }));
  answers.push(
    await call(`PATCH /${id}`, { body: { name: 'y', password: 'planted-word' } }),
    await call(`DELETE /${id}`),
  );
  for (const { text } of answers) assert.doesNotMatch(text, /planted-word/);
});
