import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createConnection } from '#core/connections.ts';
import { isFault } from '#core/outbound.ts';
import { openOutbound } from '#outbound/outbound.ts';
import type { Scope } from '#test/database.ts';
import { openNative } from '#test/native-client.ts';
import { askerOf, basic, pushImage, withAuthorization } from '#test/oci-client.ts';
import { loopback } from '#test/platform.ts';
import { startKubernetes } from '#test/servers/kubernetes.ts';

const host = 'localhost:8080';

async function open(t: Scope) {
  const native = await openNative(t);
  const given = { provider: 'ghcr', url: 'ghcr.io', username: 'ann', password: 'planted' };
  const connection = await createConnection(native.platform, native.team.owner, { name: 'GitHub', ...given });
  const late = { ...given, password: 'planted too' };
  await createConnection(native.platform, native.team.owner, { name: 'Late', ...late });
  return { ...native, connection };
}

test('a pull secret says what is in it, whose it is and when it ends', async (t) => {
  const { call, connection, platform } = await open(t);
  const { json, headers } = await call('GET /projects/default/pull-secret');
  assert.equal(headers['cache-control'], 'no-store');
  assert.deepEqual(Object.keys(json), ['config', 'entries', 'warnings', 'expiresAt']);
  const auth = Buffer.from('ann:planted').toString('base64');
  assert.deepEqual(json.config.auths['ghcr.io'], { auth, username: 'ann', password: 'planted' });
  const expiresAt = new Date(platform.now() + 90 * 24 * 60 * 60_000).toISOString();
  assert.deepEqual(json.entries, [
    { key: host, connection: null, expiresAt },
    { key: 'ghcr.io', connection: { id: connection.id, slug: 'github' }, expiresAt: null },
  ]);
  assert.equal(json.expiresAt, expiresAt);
  assert.match(json.warnings.join(), /github and late are both for ghcr\.io/);
});

test('a look without a body hands nothing out, and is not recorded as if it had', async (t) => {
  const { call, connection } = await open(t);
  assert.equal((await call('HEAD /projects/default/pull-secret')).status, 404);
  assert.deepEqual((await call('GET /audit-events?action=pull-secret')).json.items, []);
  assert.deepEqual((await call(`GET /connections/${connection.id}/uses`)).json.uses, []);
});

test('the bare forms are files that clients read as they are', async (t) => {
  const { call } = await open(t);
  const { config, expiresAt } = (await call('GET /projects/default/pull-secret')).json;
  const docker = await call('GET /projects/default/pull-secret?format=docker-config');
  assert.deepEqual(docker.json, config);
  assert.equal(docker.headers['cache-control'], 'no-store');
  const manifest = await call('GET /projects/default/pull-secret?format=kubernetes');
  const { data, ...rest } = manifest.json;
  const annotations = { 'lading.dev/expires-at': expiresAt };
  const metadata = { name: 'lading-pull', annotations };
  assert.deepEqual(rest, { apiVersion: 'v1', kind: 'Secret', metadata, type: 'kubernetes.io/dockerconfigjson' });
  assert.deepEqual(JSON.parse(Buffer.from(data['.dockerconfigjson'], 'base64').toString()), config);
  const named = await call('GET /projects/default/pull-secret?format=kubernetes&name=web.pull&namespace=apps');
  assert.deepEqual(named.json.metadata, { name: 'web.pull', namespace: 'apps', annotations });
});

test('a cluster takes the manifest as it is, and once more over the one before', async (t) => {
  const { call } = await open(t);
  const kubernetes = await startKubernetes(t);
  const outbound = openOutbound({ allowed: loopback });
  const send = async (method: 'POST' | 'PUT', name: string, body: string) => {
    const answer = await outbound({
      method,
      url: `${kubernetes.url}/api/v1/namespaces/apps/secrets${name}`,
      headers: { authorization: `Bearer ${kubernetes.token}`, 'content-type': 'application/json' },
      body,
      tls: { caPem: kubernetes.authority.caPem },
    });
    return isFault(answer) ? answer.message : answer.status;
  };
  const manifest = 'GET /projects/default/pull-secret?format=kubernetes&name=pull&namespace=apps';
  assert.equal(await send('POST', '', (await call(manifest)).text), 201);
  assert.equal(await send('PUT', '/pull', (await call(manifest)).text), 200);
  const stored = kubernetes.secrets.get('apps/pull');
  assert.equal(stored?.type, 'kubernetes.io/dockerconfigjson');
  assert.equal(stored.metadata.labels?.['lading.dev/managed'], undefined, 'a job of ours would take it for its own');
});

test('a name that Kubernetes refuses, or that nothing would have, is refused', async (t) => {
  const { call } = await open(t);
  const queries = [
    'format=yaml',
    'format=',
    'name=a',
    'namespace=apps',
    'format=docker-config&name=a',
    'format=kubernetes&name=Upper',
    'format=kubernetes&name=-a',
    'format=kubernetes&name=a..b',
    'format=kubernetes&name=',
    `format=kubernetes&name=${'a'.repeat(64)}`,
    'format=kubernetes&namespace=a.b',
    'format=kubernetes&namespace=a%0Ab',
    'format=kubernetes&other=a',
  ];
  for (const query of queries) {
    const { status, text } = await call(`GET /projects/default/pull-secret?${query}`);
    assert.equal(status, 400, query);
    assert.ok(!/planted|ldg_/.test(text), text);
  }
  const bad = (await call('GET /projects/default/pull-secret?format=kubernetes&name=Bad_Name')).json;
  assert.match(bad.detail, /^name in the query must be lower-case letters, digits, dashes and dots, /);
  const { status } = await call(`GET /projects/default/pull-secret?format=kubernetes&name=${'a'.repeat(63)}`);
  assert.equal(status, 200);
});

test('what is handed out pulls here and pushes nothing', async (t) => {
  const { app, call, oci, team } = await open(t);
  const repository = `${team.registryName}/app`;
  const digest = await pushImage(oci, repository, 'v1', ['a layer']);
  const { auth } = (await call('GET /projects/default/pull-secret')).json.config.auths[host];
  const pulling = withAuthorization(askerOf(app), `Basic ${auth}`);
  assert.equal((await pulling('GET', `/v2/${repository}/manifests/v1`)).status, 200);
  assert.equal((await pulling('DELETE', `/v2/${repository}/manifests/${digest}`)).status, 403);
  assert.equal((await pulling('POST', `/v2/${repository}/blobs/uploads/`)).status, 403);
  const secret = Buffer.from(auth, 'base64').toString().split(':')[1];
  assert.equal((await call('GET /projects/default/pull-secret', { key: secret })).status, 401);
  const wrong = withAuthorization(askerOf(app), basic('no such secret'));
  assert.equal((await wrong('GET', `/v2/${repository}/manifests/v1`)).status, 401);
});

test('what was handed out pulls nothing here once it is ended, and what is handed out then does', async (t) => {
  const { app, call, oci, team } = await open(t);
  await pushImage(oci, `${team.registryName}/app`, 'v1', ['a layer']);
  const pull = async (auth: string) =>
    (await withAuthorization(askerOf(app), `Basic ${auth}`)('GET', `/v2/${team.registryName}/app/manifests/v1`)).status;
  const handOut = async (): Promise<string> =>
    (await call('GET /projects/default/pull-secret')).json.config.auths[host].auth;
  const leaked = await handOut();
  assert.equal(await pull(leaked), 200);
  assert.equal((await call('DELETE /projects/default/pull-secret')).status, 204);
  assert.equal(await pull(leaked), 401);
  assert.equal(await pull(await handOut()), 200);
  assert.equal((await call('DELETE /projects/never/pull-secret')).status, 404);
});
