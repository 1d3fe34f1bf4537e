import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openNative } from '#test/native-client.ts';
import { askerOf, basic, pushImage, withAuthorization } from '#test/oci-client.ts';
import { seedKey } from '#test/platform.ts';

test('the robot of a managed registry is made, listed without its secret, used and ended', async (t) => {
  const { app, call } = await openNative(t);
  const made = await call('POST /projects', { body: { name: 'shop' } });
  const project = made.json.id;
  const registry = (await call('GET /registries/shop')).json.id;
  assert.deepEqual((await call('GET /registries/shop/robots')).json, { items: [], nextCursor: null });
  const robot = await call('POST /registries/shop/robots');
  const { secret, ...shown } = robot.json;
  assert.equal(robot.status, 201, robot.text);
  assert.deepEqual(shown, {
    id: shown.id,
    name: `robot$project-${project.slice(0, 8)}`,
    registryId: registry,
    createdAt: '2026-01-01T00:00:00.000Z',
  });
  assert.deepEqual((await call(`GET /registries/${registry}/robots`)).json, { items: [shown], nextCursor: null });
  const again = await call(`POST /registries/${registry}/robots`);
  assert.deepEqual([again.status, again.json.type], [409, '/problems/conflict']);

  const docker = withAuthorization(askerOf(app), basic(secret, shown.name));
  await pushImage(docker, 'shop/app', 'v1');
  assert.equal((await call('DELETE /registries/shop/robots')).status, 204);
  assert.equal((await docker('GET', '/v2/')).status, 401);
  assert.equal((await call('DELETE /registries/shop/robots')).status, 404);
});

test('a registry that no project manages has no robot', async (t) => {
  const { call } = await openNative(t);
  assert.deepEqual((await call('GET /registries/acme/robots')).json.items, []);
  for (const method of ['POST', 'DELETE']) {
    const { status, json } = await call(`${method} /registries/acme/robots`);
    assert.deepEqual([status, json.type], [409, '/problems/conflict'], method);
  }
});

test('a key of another project does not find the registry', async (t) => {
  const { call, platform, team } = await openNative(t);
  await call('POST /projects', { body: { name: 'shop' } });
  const { secret: key } = await seedKey(platform, team.teamId, { projectIds: [team.projectId] });
  for (const method of ['POST', 'GET', 'DELETE']) {
    assert.equal((await call(`${method} /registries/shop/robots`, { key })).status, 404, method);
  }
});
