import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loginOf, openClusterWorld } from '#test/cluster-world.ts';
import { askerOf, basic, pushImage, withAuthorization } from '#test/oci-client.ts';
import { seedKey } from '#test/platform.ts';

const dayMs = 24 * 60 * 60_000;
const hourMs = 60 * 60_000;
const apps = '/api/v1/namespaces/apps/secrets';

test('connecting a registry puts a Secret into each namespace that pulls from it and does nothing else', async (t) => {
  const { kubernetes, connect, supply, integration, app, platform, oci, team } = await openClusterWorld(t);
  await pushImage(oci, 'acme/app', 'v1');
  const connected = await connect(['default', 'apps']);
  assert.equal(connected.status, 200, connected.text);
  assert.equal(connected.json.status, 'pending');
  assert.equal(kubernetes.secrets.size, 0, 'the request itself asks the cluster nothing');
  assert.equal(await supply(), 1);
  assert.equal((await integration()).status, 'supplied');
  assert.deepEqual([...kubernetes.secrets.keys()].sort(), ['apps/pull', 'default/pull']);
  const secret = kubernetes.secrets.get('apps/pull');
  assert.equal(secret?.type, 'kubernetes.io/dockerconfigjson');
  assert.deepEqual(secret?.metadata.labels, { 'lading.dev/managed': 'true', 'lading.dev/registry': team.registryId });
  const { hosts, username, password, auth } = loginOf(kubernetes);
  assert.deepEqual(hosts, ['localhost:8080', 'localhost:8080/acme']);
  assert.equal(Buffer.from(auth, 'base64').toString(), `${username}:${password}`);
  const asPod = withAuthorization(askerOf(app), basic(password));
  assert.equal((await asPod('GET', '/v2/acme/app/manifests/v1')).status, 200);
  assert.equal((await asPod('POST', '/v2/acme/app/blobs/uploads/')).status, 403);
  assert.equal((await asPod('DELETE', '/v2/acme/app/manifests/v1')).status, 403);
  const manage = await app.inject({ url: '/lading/v1/registries', headers: { authorization: `Bearer ${password}` } });
  assert.equal(manage.statusCode, 401);
  const other = await platform.db.selectFrom('actors').selectAll().where('kind', '=', 'pull').execute();
  assert.equal(other.length, 1);
});

test('the token of a cluster is in no list of tokens, and nobody changes or revokes it there', async (t) => {
  const { call, connect, supply, platform } = await openClusterWorld(t);
  await connect();
  await supply();
  const { id } = await platform.db
    .selectFrom('actors')
    .select('id')
    .where('kind', '=', 'pull')
    .executeTakeFirstOrThrow();
  assert.deepEqual((await call('GET /tokens')).json.items, []);
  assert.ok(!(await call('GET /api-keys')).text.includes(id));
  assert.equal((await call(`GET /tokens/${id}`)).status, 404);
  assert.equal((await call(`DELETE /tokens/${id}`)).status, 404);
  assert.equal((await call(`POST /tokens/${id}/regenerate`)).status, 404);
});

test('a Secret that Lading did not make is never overwritten or removed', async (t) => {
  const { call, kubernetes, connect, supply, integration, clusterId, platform, team } = await openClusterWorld(t);
  const mine = { 'lading.dev/managed': 'true' };
  const others = [
    undefined,
    {},
    { 'lading.dev/managed': 'false', 'lading.dev/registry': team.registryId },
    { ...mine, 'lading.dev/registry': 'another' },
    mine,
  ];
  for (const labels of others) {
    kubernetes.secrets.clear();
    kubernetes.plant('default', 'pull', { metadata: labels && { labels }, data: { password: 'cGFzcw==' } });
    const before = structuredClone(kubernetes.secrets.get('default/pull'));
    await connect(['default', 'apps']);
    await supply();
    const { status, lastError } = await integration();
    assert.equal(status, 'failing');
    assert.match(lastError ?? '', /Secret pull in namespace default was not made by Lading/);
    assert.ok(kubernetes.secrets.has('apps/pull'), 'the other namespace is supplied all the same');
    assert.equal((await call(`DELETE /registries/acme/clusters/${clusterId}`)).status, 204);
    await supply();
    assert.deepEqual([...kubernetes.secrets.entries()], [['default/pull', before]]);
    platform.clock.advance(1000);
  }
});

test('disconnecting ends the token at once and removes the Secrets, now or when the cluster is back', async (t) => {
  const { app, call, oci, kubernetes, connect, supply, clusterId, platform } = await openClusterWorld(t);
  await pushImage(oci, 'acme/app', 'v1');
  await connect(['default', 'apps']);
  await supply();
  const { password } = loginOf(kubernetes);
  kubernetes.before = () => ({ status: 503, body: 'down' });
  assert.equal((await call(`DELETE /registries/acme/clusters/${clusterId}`)).status, 204);
  assert.deepEqual((await call('GET /registries/acme/clusters')).json.items, []);
  assert.equal((await call(`DELETE /registries/acme/clusters/${clusterId}`)).status, 404);
  const pull = () => withAuthorization(askerOf(app), basic(password))('GET', '/v2/acme/app/manifests/v1');
  assert.equal((await pull()).status, 401);
  await supply();
  assert.equal(kubernetes.secrets.size, 2);
  kubernetes.before = undefined;
  platform.clock.advance(hourMs);
  await supply();
  assert.equal(kubernetes.secrets.size, 0);
  assert.deepEqual(await platform.db.selectFrom('cluster_integrations').selectAll().execute(), []);
  assert.deepEqual(await platform.db.selectFrom('actors').select('id').where('kind', '=', 'pull').execute(), []);
});

test('Secrets of a cluster that never comes back are given up after a week', async (t) => {
  const { call, kubernetes, connect, supply, clusterId, platform } = await openClusterWorld(t);
  await connect();
  await supply();
  kubernetes.before = () => ({ status: 503, body: 'down' });
  await call(`DELETE /clusters/${clusterId}`);
  for (let day = 0; day < 7; day++) {
    await supply();
    assert.equal((await platform.db.selectFrom('clusters').select('id').execute()).length, 1);
    platform.clock.advance(dayMs);
  }
  platform.clock.advance(1);
  await supply();
  assert.deepEqual(await platform.db.selectFrom('clusters').select('id').execute(), []);
});

test('a Secret that becomes somebody else’s before it is removed stays', async (t) => {
  const { call, kubernetes, connect, supply, clusterId, platform } = await openClusterWorld(t);
  await connect();
  await supply();
  kubernetes.before = (request) => {
    if (request.startsWith('DELETE')) kubernetes.plant('default', 'pull', { data: { mine: 'eA==' } });
    return undefined;
  };
  await call(`DELETE /registries/acme/clusters/${clusterId}`);
  await supply();
  assert.deepEqual(kubernetes.secrets.get('default/pull')?.data, { mine: 'eA==' });
  assert.deepEqual(await platform.db.selectFrom('cluster_integrations').select('id').execute(), []);
});

test('other namespaces and names: the Secret moves, and one registry cannot take another one’s place', async (t) => {
  const { call, kubernetes, connect, supply, integration, clusterId, platform } = await openClusterWorld(t);
  await connect(['default', 'apps']);
  await supply();
  kubernetes.before = (request) => (request === `DELETE ${apps}/pull` ? { status: 500 } : undefined);
  await connect(['apps'], 'renamed');
  await supply();
  assert.deepEqual([...kubernetes.secrets.keys()].sort(), ['apps/pull', 'apps/renamed']);
  assert.equal((await integration()).status, 'failing');
  kubernetes.before = undefined;
  platform.clock.advance(10_000);
  await supply();
  assert.deepEqual([...kubernetes.secrets.keys()], ['apps/renamed']);
  await call('POST /registries', { body: { name: 'second' } });
  const second = (secretName: string) =>
    call(`PUT /registries/second/clusters/${clusterId}`, { body: { namespaces: ['apps'], secretName } });
  const clash = await second('renamed');
  assert.equal(clash.status, 409, clash.text);
  await connect(['apps', 'default'], 'not-there-yet');
  assert.equal((await second('not-there-yet')).status, 409);
  assert.equal((await second('renamed')).status, 409, 'it is there still');
  await connect(['apps'], 'renamed');
  assert.equal((await second('other')).status, 200);
  await supply();
  assert.deepEqual([...kubernetes.secrets.keys()].sort(), ['apps/other', 'apps/renamed']);
});

test('when a registry or the cluster is deleted its Secrets go, the others stay', async (t) => {
  const { call, kubernetes, connect, supply, clusterId, platform } = await openClusterWorld(t);
  await call('POST /registries', { body: { name: 'second' } });
  await connect();
  await call(`PUT /registries/second/clusters/${clusterId}`, { body: { namespaces: ['default'], secretName: 'two' } });
  await supply();
  assert.deepEqual([...kubernetes.secrets.keys()].sort(), ['default/pull', 'default/two']);
  assert.equal((await call('DELETE /registries/second')).status, 202);
  assert.equal((await connect()).status, 200);
  const late = { namespaces: ['default'], secretName: 'late' };
  assert.equal((await call(`PUT /registries/second/clusters/${clusterId}`, { body: late })).status, 409);
  await supply();
  assert.deepEqual([...kubernetes.secrets.keys()], ['default/pull']);
  assert.equal((await call(`DELETE /clusters/${clusterId}`)).status, 204);
  assert.equal((await call(`GET /clusters/${clusterId}`)).status, 404);
  assert.equal((await connect()).status, 404);
  assert.equal((await platform.db.selectFrom('clusters').select('id').execute()).length, 1, 'until it is clean');
  await supply();
  assert.equal(kubernetes.secrets.size, 0);
  assert.deepEqual(await platform.db.selectFrom('clusters').select('id').execute(), []);
  assert.deepEqual(await platform.db.selectFrom('actors').select('id').where('kind', '=', 'pull').execute(), []);
});

test('connecting takes the whole team’s key, the right to pull, and names that Kubernetes has', async (t) => {
  const { call, platform, team, clusterId } = await openClusterWorld(t);
  const path = `PUT /registries/acme/clusters/${clusterId}`;
  const body = { namespaces: ['default'], secretName: 'pull' };
  const bound = await seedKey(platform, team.teamId, { projectIds: [team.projectId] });
  assert.equal((await call(path, { body, key: bound.secret })).status, 403);
  assert.equal((await call('GET /registries/acme/clusters', { key: bound.secret })).status, 200);
  const cannotPull = await seedKey(platform, team.teamId, { permissions: ['clusters:write'] });
  assert.equal((await call(path, { body, key: cannotPull.secret })).status, 403);
  const wrong: [object, string][] = [
    [{ ...body, secretName: 'Pull' }, '/secretName'],
    [{ ...body, secretName: '../x' }, '/secretName'],
    [{ ...body, secretName: '-x' }, '/secretName'],
    [{ ...body, namespaces: ['a/b'] }, '/namespaces/0'],
    [{ ...body, namespaces: ['default', '..'] }, '/namespaces/1'],
    [{ ...body, namespaces: [] }, '/namespaces'],
    [{ ...body, token: 'x' }, '/token'],
  ];
  for (const [wrongBody, pointer] of wrong) {
    const answer = await call(path, { body: wrongBody });
    assert.equal(answer.status, 400, JSON.stringify(wrongBody));
    assert.ok(
      answer.json.errors.some((one: { pointer: string }) => one.pointer === pointer),
      answer.text,
    );
  }
});
