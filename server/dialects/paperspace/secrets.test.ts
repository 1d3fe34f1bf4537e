// The stored secret belongs to the host it was given for, and is seen by nobody else.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { body, openPaperspace } from '#test/paperspace-client.ts';
import { startRegistry } from '#test/servers/registry.ts';

// Without this test a change of the address hands the password to whoever owns the new one.
for (const form of ['a', 'b'] as const) {
  test(`form ${form}: the stored password goes to no other host`, async (t) => {
    const call = (await openPaperspace(t))[form];
    const [own, other] = [await startRegistry(t), await startRegistry(t)];
    const given = body('mine', { url: own.url, password: 'correct horse' });
    const { id } = (await call('POST ', { body: given })).json;
    const { password: _, ...rest } = given;
    const moves = [
      { url: other.url },
      { url: `${other.url}/` },
      { url: other.url.replace('127.0.0.1', 'localhost') },
      { url: own.url.replace('127.0.0.1', 'localhost') },
      { url: other.host },
      { url: `${own.url}@${other.host}` },
      { kind: 'dockerhub', url: 'docker.io' },
    ];
    for (const move of moves) {
      for (const secret of [{}, { password: null }]) {
        const refused = await call(`PUT /${id}`, { body: { ...rest, ...move, ...secret } });
        assert.deepEqual([refused.status, refused.json.code], [400, 'BAD_REQUEST'], JSON.stringify(move));
      }
    }
    const tested = await call(`GET /${id}/test-connection`);
    assert.equal(tested.json.success, true, tested.text);
    assert.equal(other.connections(), 0);
    assert.ok(own.seen.some(({ headers }) => headers.authorization?.startsWith('Basic ')));

    const moved = await call(`PUT /${id}`, { body: { ...given, url: other.url, password: 'a new one' } });
    assert.equal(moved.status, 200, moved.text);
    const failed = await call(`GET /${id}/test-connection`);
    assert.equal(failed.json.success, false);
    const sent = other.seen.flatMap(({ headers }) => headers.authorization ?? []);
    assert.deepEqual(
      [...new Set(sent)].map((one) => Buffer.from(one.replace('Basic ', ''), 'base64').toString()),
      ['alice:a new one'],
    );
  });
}

test('form b: what must be given again is said, with the host it was given for', async (t) => {
  const { b } = await openPaperspace(t);
  const { id } = (await b('POST ', { body: body('mine') })).json;
  const { json } = await b(`PUT /${id}`, { body: { url: 'https://evil.example' } });
  const said = 'password must be given again: it was entered for https://registry.example.com';
  assert.deepEqual(json, { code: 'BAD_REQUEST', message: `${said}.`, issues: [{ message: said.replace(' ', ': ') }] });
});

test('no answer repeats a password, whatever becomes of the request', async (t) => {
  const { a, b } = await openPaperspace(t);
  const own = await startRegistry(t);
  for (const call of [a, b]) {
    const answers = [await call('POST ', { body: body('mine', { url: own.url }) })];
    const id = answers[0]?.json.id;
    answers.push(await call('POST ', { body: body('mine') }), await call('POST ', { body: body('', { kind: 'x' }) }));
    answers.push(
      await call('POST ', { body: body('x', { username: 'planted-password', url: 'planted-password://x' }) }),
    );
    answers.push(await call('POST ', { body: body('x', { password: 'planted-password\0' }) }));
    for (const path of ['', `/${id}`, `/${id}/test-connection`]) answers.push(await call(`GET ${path}`));
    answers.push(await call(`PUT /${id}`, { body: body('mine') }), await call(`DELETE /${id}`));
    for (const { text } of answers) assert.doesNotMatch(text, /planted-password/);
  }
});

test('a connection test says how it went, and that it failed is no error of the request', async (t) => {
  const { a, b } = await openPaperspace(t);
  const registry = await startRegistry(t);
  const { id } = (await b('POST ', { body: body('mine', { url: registry.url, password: 'correct horse' }) })).json;
  assert.deepEqual((await b(`GET /${id}/test-connection`)).json, { success: true });
  const ofA = (await a(`GET /${id}/test-connection`)).json;
  assert.deepEqual([Object.keys(ofA), ofA.success], [['success', 'message'], true]);
  // A look without a body must not knock at the registry.
  const seen = registry.seen.length;
  assert.equal((await b(`HEAD /${id}/test-connection`)).status, 405);
  assert.equal(registry.seen.length, seen);

  registry.users.set('alice', 'changed over there');
  const refused = await b(`GET /${id}/test-connection`);
  assert.deepEqual(
    [refused.status, Object.keys(refused.json), refused.json.success],
    [200, ['success', 'error'], false],
  );
  assert.match(refused.json.error, /^[A-Z0-9].*\.$/);
  assert.equal((await a(`GET /${id}/test-connection`)).json.message, refused.json.error);
  registry.before = () => ({ status: 200, body: '<html>' });
  assert.match((await b(`GET /${id}/test-connection`)).json.error, /not as a registry does/);
});
