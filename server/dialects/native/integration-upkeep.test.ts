import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loginOf, openClusterWorld } from '#test/cluster-world.ts';
import { askerOf, basic, pushImage, withAuthorization } from '#test/oci-client.ts';

const dayMs = 24 * 60 * 60_000;
const hourMs = 60 * 60_000;

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
