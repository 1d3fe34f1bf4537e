import assert from 'node:assert/strict';
import { test } from 'node:test';
import { supplyNextCluster } from '#core/cluster-supply.ts';
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

test('the token is renewed before it ends, and the one before goes on for two weeks', async (t) => {
  const { app, oci, kubernetes, connect, supply, platform } = await openClusterWorld(t);
  await pushImage(oci, 'acme/app', 'v1');
  const pulls = async (password: string) =>
    (await withAuthorization(askerOf(app), basic(password))('GET', '/v2/acme/app/manifests/v1')).status;
  await connect();
  await supply();
  const first = loginOf(kubernetes).password;
  platform.clock.advance(75 * dayMs);
  await supply();
  assert.equal(loginOf(kubernetes).password, first);
  platform.clock.advance(dayMs);
  await supply();
  const second = loginOf(kubernetes).password;
  assert.notEqual(second, first);
  assert.deepEqual([await pulls(first), await pulls(second)], [200, 200]);
  platform.clock.advance(14 * dayMs);
  assert.deepEqual([await pulls(first), await pulls(second)], [401, 200]);
  platform.clock.advance(62 * dayMs);
  await supply();
  const third = loginOf(kubernetes).password;
  assert.deepEqual([await pulls(first), await pulls(second), await pulls(third)], [401, 200, 200]);
  const kept = await platform.db.selectFrom('actors').select('id').where('kind', '=', 'pull').execute();
  assert.equal(kept.length, 2, 'no more than two tokens are kept');
});

test('a cluster that was down at the renewal gets the same token as soon as it is back', async (t) => {
  const { kubernetes, connect, supply, integration, platform } = await openClusterWorld(t);
  await connect();
  await supply();
  platform.clock.advance(76 * dayMs);
  kubernetes.before = () => ({ status: 500, body: '<html>internal page' });
  await supply();
  const { status, lastError } = await integration();
  assert.equal(status, 'failing');
  assert.match(lastError ?? '', /status 500/);
  assert.doesNotMatch(lastError ?? '', /internal page/);
  const made = await platform.db.selectFrom('actors').select('secret_hash').where('kind', '=', 'pull').execute();
  platform.clock.advance(hourMs);
  kubernetes.before = undefined;
  await supply();
  assert.equal((await integration()).status, 'supplied');
  assert.equal((await integration()).lastError, null);
  const after = await platform.db.selectFrom('actors').select('secret_hash').where('kind', '=', 'pull').execute();
  assert.deepEqual(after, made);
});

test('a Secret that somebody changed or removed is put right within the hour, and their labels are kept', async (t) => {
  const { kubernetes, connect, supply, platform, team } = await openClusterWorld(t);
  await connect(['default', 'apps']);
  await supply();
  const before = loginOf(kubernetes).password;
  const labels = { 'lading.dev/managed': 'true', 'lading.dev/registry': team.registryId, team: 'blue' };
  kubernetes.plant('default', 'pull', {
    metadata: { labels, annotations: { note: 'kept' } },
    type: 'kubernetes.io/dockerconfigjson',
    data: { '.dockerconfigjson': 'e30=' },
  });
  kubernetes.secrets.delete('apps/pull');
  assert.equal(await supply(), 0);
  platform.clock.advance(1.2 * hourMs);
  assert.equal(await supply(), 1);
  assert.equal(loginOf(kubernetes).password, before);
  assert.equal(loginOf(kubernetes, 'apps/pull').password, before);
  assert.deepEqual(kubernetes.secrets.get('default/pull')?.metadata.labels, labels);
  assert.deepEqual(kubernetes.secrets.get('default/pull')?.metadata.annotations, { note: 'kept' });
  kubernetes.requests.length = 0;
  platform.clock.advance(1.2 * hourMs);
  await supply();
  assert.deepEqual(
    kubernetes.requests.map((one) => one.split(' ')[0]),
    ['GET', 'GET'],
    'what is right is not written again',
  );
});

test('who writes at the same moment wins, and is then put right', async (t) => {
  const { kubernetes, connect, supply, integration, team } = await openClusterWorld(t);
  const labels = { 'lading.dev/managed': 'true', 'lading.dev/registry': team.registryId };
  const type = 'kubernetes.io/dockerconfigjson';
  let times = 0;
  kubernetes.before = (request) => {
    if (/^(?:POST|PUT)/.test(request) && times++ < 2) {
      kubernetes.plant('default', 'pull', { metadata: { labels }, type, data: { '.dockerconfigjson': 'e30=' } });
    }
    return undefined;
  };
  await connect();
  await supply();
  assert.equal((await integration()).status, 'supplied');
  assert.equal(loginOf(kubernetes).username, 'token');
  const writes = kubernetes.requests.filter((one) => /^(?:POST|PUT)/.test(one)).map((one) => one.split(' ')[0]);
  assert.deepEqual(writes, ['POST', 'PUT', 'PUT']);
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

test('what the cluster refuses is said and tried again, less and less often', async (t) => {
  const { kubernetes, connect, supply, integration, platform } = await openClusterWorld(t);
  const echo = () => ({
    status: 400,
    body: JSON.stringify({ kind: 'Status', message: `you said ${kubernetes.token}` }),
  });
  const cases: [() => void, RegExp][] = [
    [() => kubernetes.grants.set(kubernetes.token, { verbs: ['get'] }), /cannot be made.*cannot create resource/],
    [() => kubernetes.grants.delete(kubernetes.token), /does not accept the credentials/],
    [() => kubernetes.namespaces.delete('default'), /namespaces "default" not found/],
    [
      () => (kubernetes.before = () => ({ status: 302, headers: { location: 'https://169.254.169.254/' } })),
      /status 302/,
    ],
    [() => (kubernetes.before = () => ({ status: 200, body: 'not JSON' })), /cannot be read/],
    [() => (kubernetes.before = () => ({ status: 200, body: '{"kind":"Secret","metadata":[]}' })), /cannot be read/],
    [() => (kubernetes.before = () => ({ status: 404, body: 'a page' })), /cannot be read/],
    [() => (kubernetes.before = echo), /you said …$/],
  ];
  for (const [spoil, message] of cases) {
    kubernetes.grants.set(kubernetes.token, { verbs: ['get', 'create', 'update', 'delete'] });
    kubernetes.namespaces.add('default');
    kubernetes.before = undefined;
    kubernetes.secrets.clear();
    await connect();
    spoil();
    assert.equal(await supply(), 1);
    assert.match((await integration()).lastError ?? '', message);
    assert.equal(await supply(), 0, 'not at once again');
    platform.clock.advance(10_000);
    assert.equal(await supply(), 1);
    platform.clock.advance(10_000);
    assert.equal(await supply(), 0, 'the second pause is longer');
  }
});

test('two workers do not supply one integration at the same time, and one that stalled changes nothing', async (t) => {
  const { kubernetes, connect, integration, platform } = await openClusterWorld(t);
  await connect(['default', 'apps']);
  const [reached, released] = [Promise.withResolvers<void>(), Promise.withResolvers<{ status: number }>()];
  kubernetes.before = (request) => {
    if (!request.startsWith('POST')) return undefined;
    kubernetes.before = undefined;
    reached.resolve();
    return released.promise;
  };
  const stalled = supplyNextCluster(platform, 'stalled');
  await reached.promise;
  assert.equal(await supplyNextCluster(platform, 'second'), false, 'the first one has it');
  platform.clock.advance(61_000);
  assert.equal(await supplyNextCluster(platform, 'second'), true, 'for a minute');
  assert.equal((await integration()).status, 'supplied');
  const asSupplied = structuredClone([...kubernetes.secrets]);
  released.resolve({ status: 500 });
  assert.equal(await stalled, true);
  assert.deepEqual([...kubernetes.secrets], asSupplied);
  assert.equal((await integration()).status, 'supplied', 'what the stalled one met is no longer true');
  const made = await platform.db.selectFrom('actors').select('id').where('kind', '=', 'pull').execute();
  assert.equal(made.length, 1);
});

test('of many workers that come at once one makes the token and the Secret', async (t) => {
  const { kubernetes, connect, platform } = await openClusterWorld(t);
  await connect();
  const took = await Promise.all([1, 2, 3, 4, 5].map((i) => supplyNextCluster(platform, `worker ${i}`)));
  assert.ok(took.includes(true));
  assert.deepEqual(
    kubernetes.requests.map((one) => one.split(' ')[0]),
    ['GET', 'POST'],
  );
  const made = await platform.db.selectFrom('actors').select('id').where('kind', '=', 'pull').execute();
  assert.equal(made.length, 1);
});

test('a namespace in which nothing could be written is left again without a trace', async (t) => {
  const { kubernetes, connect, supply, integration, platform } = await openClusterWorld(t);
  kubernetes.grants.set(kubernetes.token, { verbs: ['get', 'create', 'update', 'delete'], namespaces: ['default'] });
  await connect(['default', 'no-such-rights']);
  await supply();
  assert.match((await integration()).lastError ?? '', /no-such-rights cannot be read/);
  assert.deepEqual([...kubernetes.secrets.keys()], ['default/pull']);
  await connect(['default']);
  await supply();
  assert.equal((await integration()).status, 'supplied');
  const { places } = await platform.db.selectFrom('cluster_integrations').select('places').executeTakeFirstOrThrow();
  assert.deepEqual(JSON.parse(places), [{ namespace: 'default', name: 'pull' }]);
});

test('a namespace that was closed to us is given up after a week, and the others are supplied meanwhile', async (t) => {
  const { kubernetes, connect, supply, integration, platform } = await openClusterWorld(t);
  await connect(['default', 'apps']);
  await supply();
  kubernetes.grants.set(kubernetes.token, { verbs: ['get', 'create', 'update', 'delete'], namespaces: ['default'] });
  await connect(['default']);
  kubernetes.secrets.delete('default/pull');
  await supply();
  assert.equal((await integration()).status, 'failing');
  assert.ok(kubernetes.secrets.has('default/pull'));
  platform.clock.advance(7 * dayMs + 1);
  await supply();
  assert.equal((await integration()).status, 'supplied');
});

test('a cluster that was down for weeks is rid of what is not wanted when it is back', async (t) => {
  const { kubernetes, connect, supply, platform } = await openClusterWorld(t);
  await connect(['default', 'apps']);
  await supply();
  kubernetes.grants.delete(kubernetes.token);
  await connect(['default']);
  platform.clock.advance(20 * dayMs);
  await supply();
  kubernetes.grants.set(kubernetes.token, { verbs: ['get', 'create', 'update', 'delete'] });
  platform.clock.advance(hourMs);
  await supply();
  assert.deepEqual([...kubernetes.secrets.keys()], ['default/pull']);
});

test('a crash between noting a place and writing there, or before the note of success, loses no Secret', async (t) => {
  const { call, kubernetes, connect, supply, clusterId, platform } = await openClusterWorld(t);
  await connect(['default', 'apps']);
  const crash = Promise.withResolvers<void>();
  const reached = Promise.withResolvers<void>();
  kubernetes.before = (request) => {
    if (!request.startsWith('GET /api/v1/namespaces/apps')) return undefined;
    reached.resolve();
    return crash.promise.then(() => undefined);
  };
  const crashed = supplyNextCluster(platform, 'crashed');
  await reached.promise;
  kubernetes.before = undefined;
  assert.deepEqual([...kubernetes.secrets.keys()], ['default/pull']);
  await call(`DELETE /registries/acme/clusters/${clusterId}`);
  platform.clock.advance(61_000);
  await supply();
  assert.equal(kubernetes.secrets.size, 0);
  crash.resolve();
  await crashed;
  assert.equal(kubernetes.secrets.size, 0, 'who wakes up makes nothing any more');
});

test('credentials that do not open are said to be so, and the work is given back', async (t) => {
  const { connect, supply, integration, platform } = await openClusterWorld(t);
  await connect();
  await platform.db.updateTable('clusters').set({ sealed_credentials: 'v1.lost.x.y' }).execute();
  assert.equal(await supply(), 1);
  assert.match((await integration()).lastError ?? '', /master key "lost", which is not configured/);
  const row = await platform.db.selectFrom('cluster_integrations').selectAll().executeTakeFirstOrThrow();
  assert.deepEqual([row.worker, row.claimed_until, row.attempts], [null, null, 1]);
});

test('new credentials are tried at once, whatever pause a failure began', async (t) => {
  const { call, kubernetes, connect, supply, integration, clusterId } = await openClusterWorld(t);
  await connect();
  const grant = kubernetes.grants.get(kubernetes.token);
  kubernetes.grants.clear();
  await supply();
  assert.equal((await integration()).status, 'failing');
  kubernetes.grants.set('a-new-token', grant ?? { verbs: [] });
  assert.equal(await supply(), 0);
  await call(`PATCH /clusters/${clusterId}`, { body: { token: 'a-new-token' } });
  assert.equal(await supply(), 1);
  assert.equal((await integration()).status, 'supplied');
});

test('what is asked for while a worker is at it is done right after', async (t) => {
  const { call, kubernetes, connect, supply, clusterId } = await openClusterWorld(t);
  await connect(['default', 'apps']);
  let asked: Promise<unknown> | undefined;
  kubernetes.before = (request) => {
    if (request.startsWith('POST') && !asked) asked = call(`DELETE /registries/acme/clusters/${clusterId}`);
    return undefined;
  };
  await supply();
  await asked;
  await supply();
  assert.equal(kubernetes.secrets.size, 0);
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
