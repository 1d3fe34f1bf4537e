import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dockerHub, openNorthflank, registries, seedProject } from '#test/northflank-client.ts';

const time = '2026-01-01T00:00:00.000Z';

test('credentials are added, listed, read, changed by both routes and deleted, all with 200', async (t) => {
  const { call, platform, team } = await openNorthflank(t);
  const staging = await seedProject(platform, team, 'staging');
  const body = dockerHub('Example Credentials', {
    description: 'This is a set of saved credentials.',
    restrictions: { restricted: true, projects: ['default'] },
  });
  const listed = {
    id: 'example-credentials',
    name: 'Example Credentials',
    description: 'This is a set of saved credentials.',
    restrictions: { restricted: true, projects: ['default'] },
    provider: 'dockerhub',
  };
  const shown = { ...listed, registryUrl: 'docker.io', createdAt: time, updatedAt: time };
  const made = await call(`POST ${registries}`, { body });
  assert.deepEqual([made.status, made.json], [200, { data: shown }]);
  const list = await call(`GET ${registries}`);
  const pagination = { hasNextPage: false, count: 1 };
  assert.deepEqual([list.status, list.json], [200, { data: { credentials: [listed] }, pagination }]);
  assert.doesNotMatch(made.text + list.text, /password-of|bob/);

  const one = `${registries}/example-credentials`;
  const credentials = { username: 'bob', password: 'password-of-Example-Credentials', scope: { pull: true } };
  const got = await call(`GET ${one}`);
  assert.deepEqual([got.status, got.json], [200, { data: { ...shown, credentials } }]);
  assert.equal(got.headers['cache-control'], 'no-store');

  const restricted = { description: 'Changed', restrictions: { restricted: true, projects: ['default', staging] } };
  const modified = await call(`POST ${one}/modify`, { body: restricted });
  assert.deepEqual([modified.status, modified.json], [200, { data: {} }]);
  const renewed = { credentials: { username: 'eve', password: 'new', scope: {} }, restrictions: { restricted: false } };
  const patched = await call(`PATCH ${one}`, { body: renewed });
  assert.deepEqual([patched.status, patched.json], [200, { data: {} }]);
  const after = (await call(`GET ${one}`)).json.data;
  assert.deepEqual(after.credentials, { username: 'eve', password: 'new', scope: { pull: true } });
  assert.deepEqual([after.description, after.restrictions], ['Changed', { restricted: false, projects: [] }]);

  const deleted = await call(`DELETE ${one}`);
  assert.deepEqual([deleted.status, deleted.json], [200, { data: {} }]);
  for (const method of ['GET', 'PATCH', 'DELETE']) {
    assert.equal((await call(`${method} ${one}`, { body: {} })).status, 404, method);
  }
  assert.equal((await call(`GET ${registries}`)).json.pagination.count, 0);
});
