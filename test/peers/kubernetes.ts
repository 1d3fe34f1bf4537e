// The steps of `server/dialects/native/integrations.test.ts` against a real kube-apiserver with its etcd, to see that the
// scripted one does not flatter us. LADING_TEST_KUBE_APISERVER, LADING_TEST_ETCD and LADING_TEST_KUBECTL are the paths
// of the programs.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { supplyNextCluster } from '#core/cluster-supply.ts';
import { isFault, type Outbound, type OutboundRequest } from '#core/outbound.ts';
import { openOutbound } from '#outbound/outbound.ts';
import { makeTestDirectory } from '../database.ts';
import { type Json, openNative } from '../native-client.ts';
import { askerOf, basic, pushImage, withAuthorization } from '../oci-client.ts';
import { makeAuthority } from '../servers/certificates.ts';
import { findFreePort, startChild } from '../servers/child.ts';
import { startKubernetes } from '../servers/kubernetes.ts';

const program = (name: string): string => {
  const path = process.env[name];
  if (!path) throw new Error(`${name} must be the path of the program`);
  return path;
};

/** Signed in with a token. */
function apiAskerOf(outbound: Outbound, url: string, token: string, caPem: string): Ask {
  return async (method, path, body) => {
    const answer = await outbound({
      method,
      url: `${url}${path}`,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: body && JSON.stringify(body),
      tls: { caPem },
    });
    if (isFault(answer)) throw new Error(answer.message);
    const text = Buffer.from(answer.body).toString();
    return { status: answer.status, json: text.startsWith('{') ? JSON.parse(text) : text };
  };
}

type Ask = (method: OutboundRequest['method'], path: string, body?: object) => Promise<{ status: number; json: Json }>;

async function startEtcd(t: TestContext): Promise<string> {
  const [client, peer] = [await findFreePort(), await findFreePort()];
  const url = `http://127.0.0.1:${client}`;
  const child = await startChild(
    program('LADING_TEST_ETCD'),
    [
      `--data-dir=${join(makeTestDirectory(t), 'etcd')}`,
      `--listen-client-urls=${url}`,
      `--advertise-client-urls=${url}`,
      `--listen-peer-urls=http://127.0.0.1:${peer}`,
      '--unsafe-no-fsync',
    ],
    { isReady: async () => (await fetch(`${url}/health`)).ok },
  );
  t.after(() => child.stop());
  return url;
}

/** With RBAC, and two static tokens: an administrator's and ours, which may do nothing yet. */
async function startApiServer(t: TestContext) {
  const etcd = await startEtcd(t);
  const directory = makeTestDirectory(t);
  const authority = makeAuthority(t, 'kubernetes');
  const server = authority.issue('kube-apiserver', { altName: 'IP:127.0.0.1' });
  const file = (name: string, text: string) => {
    writeFileSync(join(directory, name), text);
    return join(directory, name);
  };
  const [admin, ours, port] = [randomUUID(), randomUUID(), await findFreePort()];
  const outbound = openOutbound({ allowed: [{ host: '127.0.0.1', port }] });
  const ask = apiAskerOf(outbound, `https://127.0.0.1:${port}`, admin, authority.caPem);
  const child = await startChild(
    program('LADING_TEST_KUBE_APISERVER'),
    [
      `--etcd-servers=${etcd}`,
      `--secure-port=${port}`,
      '--bind-address=127.0.0.1',
      '--advertise-address=127.0.0.1',
      '--endpoint-reconciler-type=none',
      `--cert-dir=${directory}`,
      `--tls-cert-file=${file('server.pem', server.certificatePem)}`,
      `--tls-private-key-file=${file('server.key', server.keyPem)}`,
      `--client-ca-file=${file('ca.pem', authority.caPem)}`,
      `--token-auth-file=${file('tokens.csv', `${admin},admin,admin,system:masters\n${ours},lading,lading\n`)}`,
      '--authorization-mode=RBAC',
      '--service-account-issuer=https://kubernetes.default.svc',
      `--service-account-key-file=${file('sa.pem', server.certificatePem)}`,
      `--service-account-signing-key-file=${file('sa.key', server.keyPem)}`,
      '--service-cluster-ip-range=10.0.0.0/24',
    ],
    { isReady: async () => (await ask('GET', '/readyz')).status === 200, startTimeoutMs: 180_000 },
  );
  t.after(() => child.stop());
  return { url: `https://127.0.0.1:${port}`, authority, admin, token: ours, ask, outbound };
}

/** The Role of `docs/clusters.md`. */
async function grant(ask: Ask, namespace: string): Promise<void> {
  const rbac = `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}`;
  const apiGroup = 'rbac.authorization.k8s.io';
  const secrets = { apiGroups: [''], resources: ['secrets'] };
  const made = [
    await ask('POST', `${rbac}/roles`, {
      metadata: { name: 'lading' },
      rules: [
        { ...secrets, verbs: ['create'] },
        { ...secrets, resourceNames: ['lading'], verbs: ['get', 'update', 'delete'] },
      ],
    }),
    await ask('POST', `${rbac}/rolebindings`, {
      metadata: { name: 'lading' },
      roleRef: { apiGroup, kind: 'Role', name: 'lading' },
      subjects: [{ apiGroup, kind: 'User', name: 'lading' }],
    }),
  ];
  assert.deepEqual(
    made.map(({ status }) => status),
    [201, 201],
  );
}

test('a real kube-apiserver is supplied, renewed, put right and left clean', async (t) => {
  const cluster = await startApiServer(t);
  const { call, platform, oci, app } = await openNative(t, { outbound: cluster.outbound });
  const { ask } = cluster;
  const say = (text: string) => t.diagnostic(text);
  const supply = async () => {
    while (await supplyNextCluster(platform, 'peer'));
    const [item] = (await call('GET /registries/acme/clusters')).json.items;
    return item === undefined ? 'none' : `${item.status}${item.lastError ? `: ${item.lastError}` : ''}`;
  };
  const secret = async (namespace: string) => (await ask('GET', `/api/v1/namespaces/${namespace}/secrets/lading`)).json;
  const passwordIn = async (namespace: string): Promise<string> => {
    const text = Buffer.from((await secret(namespace)).data['.dockerconfigjson'], 'base64').toString();
    return JSON.parse(text).auths['localhost:8080'].password;
  };
  await pushImage(oci, 'acme/app', 'v1');
  await ask('POST', '/api/v1/namespaces', { metadata: { name: 'apps' } });
  const body = { name: 'real', server: cluster.url, caPem: cluster.authority.caPem, token: cluster.token };
  assert.equal((await call('POST /clusters', { body })).status, 201);

  const check = async (namespace: string) => {
    const { json } = await call('POST /clusters/real/test', { body: { namespace, secretName: 'lading' } });
    for (const one of json.steps) say(`test ${namespace}: ${one.step} ${one.result}: ${one.message}`);
    return json.passed;
  };
  assert.equal(await check('apps'), false);
  for (const namespace of ['default', 'apps']) await grant(ask, namespace);
  // RBAC takes a moment to see what it was told.
  for (let i = 0; i < 50 && !(await check('apps')); i++) await new Promise((resolve) => setTimeout(resolve, 200));
  assert.equal(await check('apps'), true);
  assert.equal((await secret('apps')).code, 404, 'a test writes nothing');

  const connect = (namespaces: string[]) =>
    call('PUT /registries/acme/clusters/real', { body: { namespaces, secretName: 'lading' } });
  await connect(['default', 'apps', 'nowhere']);
  say(`a namespace that is not there: ${await supply()}`);
  await connect(['default', 'apps']);
  assert.equal(await supply(), 'supplied');
  say(`the Secret: ${JSON.stringify({ ...(await secret('apps')), data: '…' })}`);
  const first = await passwordIn('apps');
  const pull = (password: string) =>
    withAuthorization(askerOf(app), basic(password))('GET', '/v2/acme/app/manifests/v1');
  assert.equal((await pull(first)).status, 200);

  platform.clock.advance(77 * 24 * 3600_000);
  assert.equal(await supply(), 'supplied');
  const second = await passwordIn('default');
  assert.notEqual(second, first);
  assert.equal((await pull(second)).status, 200);
  say('renewed over the version that was read');

  await ask('DELETE', '/api/v1/namespaces/default/secrets/lading');
  const foreign = { metadata: { name: 'lading', namespace: 'default' }, type: 'Opaque', data: { a: 'eA==' } };
  assert.equal((await ask('POST', '/api/v1/namespaces/default/secrets', foreign)).status, 201);
  platform.clock.advance(2 * 3600_000);
  say(`somebody else's Secret: ${await supply()}`);
  assert.equal((await secret('default')).data.a, 'eA==');

  assert.equal((await call('DELETE /registries/acme/clusters/real')).status, 204);
  assert.equal(await supply(), 'none');
  assert.equal((await secret('apps')).code, 404);
  assert.equal((await secret('default')).data.a, 'eA==');
  assert.equal((await pull(second)).status, 401);
  assert.deepEqual(await platform.db.selectFrom('cluster_integrations').select('id').execute(), []);
});

/** What each answers to the same questions, right and wrong: status and reason. */
async function interrogate(ask: Ask): Promise<string[]> {
  const answers: string[] = [];
  const path = '/api/v1/namespaces/default/secrets';
  const say = async (what: string, ...request: Parameters<Ask>) => {
    const { status, json } = await ask(...request);
    answers.push(`${what}: ${status} ${json.reason ?? json.kind}`);
    return json;
  };
  const login = Buffer.from('{"auths":{}}').toString('base64');
  const secret = (metadata: object, more: object = {}) => ({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'x', namespace: 'default', ...metadata },
    type: 'kubernetes.io/dockerconfigjson',
    data: { '.dockerconfigjson': login },
    ...more,
  });
  await say('read what is not there', 'GET', `${path}/x`);
  await say('read in no namespace', 'GET', '/api/v1/namespaces/nowhere/secrets/x');
  await say('replace what is not there', 'PUT', `${path}/x`, secret({}));
  await say('delete what is not there', 'DELETE', `${path}/x`);
  await say('make in no namespace', 'POST', '/api/v1/namespaces/nowhere/secrets', secret({ namespace: 'nowhere' }));
  await say('make in another namespace', 'POST', path, secret({ namespace: 'other' }));
  await say('make with a wrong name', 'POST', path, secret({ name: 'X_' }));
  await say('make with a wrong label', 'POST', path, secret({ labels: { 'lading.dev/managed': 'not so' } }));
  await say('make without base64', 'POST', path, secret({}, { data: { '.dockerconfigjson': '%%' } }));
  await say('make without a login', 'POST', path, secret({}, { data: { other: login } }));
  await say('make with no JSON in it', 'POST', path, secret({}, { data: { '.dockerconfigjson': 'eA==' } }));
  await say('make another kind', 'POST', path, { ...secret({}), kind: 'ConfigMap' });
  await say('make with a version', 'POST', path, secret({ resourceVersion: '1' }));
  await say('make as a dry run', 'POST', `${path}?dryRun=All`, secret({}));
  await say('dry run of another sort', 'POST', `${path}?dryRun=Some`, secret({}));
  await say('read after the dry run', 'GET', `${path}/x`);
  await say('make', 'POST', path, secret({}));
  await say('make again', 'POST', path, secret({}));
  const { resourceVersion, uid } = (await say('read', 'GET', `${path}/x`)).metadata;
  const moved = secret({ resourceVersion, uid, labels: { a: 'b' } });
  await say('replace as a dry run', 'PUT', `${path}/x?dryRun=All`, moved);
  await say('replace', 'PUT', `${path}/x`, moved);
  await say('replace an old version', 'PUT', `${path}/x`, { ...moved, data: { '.dockerconfigjson': 'e30=' } });
  await say('replace another uid', 'PUT', `${path}/x`, secret({ uid: '00000000-0000-4000-8000-000000000000' }));
  await say('replace under another name', 'PUT', `${path}/x`, secret({ name: 'y' }));
  await say('replace the type', 'PUT', `${path}/x`, secret({}, { type: 'Opaque' }));
  const options = { kind: 'DeleteOptions', apiVersion: 'v1' };
  await say('delete as a dry run', 'DELETE', `${path}/x?dryRun=All`, { ...options, dryRun: ['All'] });
  await say('delete an old version', 'DELETE', `${path}/x`, { ...options, preconditions: { uid, resourceVersion } });
  await say('delete', 'DELETE', `${path}/x`, options);
  await say('read after that', 'GET', `${path}/x`);
  return answers;
}

test('kubectl applies the manifest of a pull secret, and the next one over it', async (t) => {
  const { ask, url, authority, admin } = await startApiServer(t);
  const { call, platform } = await openNative(t);
  await ask('POST', '/api/v1/namespaces', { metadata: { name: 'apps' } });
  const directory = makeTestDirectory(t);
  const file = async (name: string, text: string) => {
    writeFileSync(join(directory, name), text);
    return join(directory, name);
  };
  const ca = await file('ca.pem', authority.caPem);
  const signIn = [`--server=${url}`, `--token=${admin}`, `--certificate-authority=${ca}`, `--kubeconfig=/dev/null`];
  const kubectl = (...args: string[]) =>
    execFileSync(program('LADING_TEST_KUBECTL'), [...signIn, ...args], { encoding: 'utf8', env: { HOME: directory } });
  const apply = async () => {
    const { text } = await call('GET /projects/default/pull-secret?format=kubernetes&name=registries&namespace=apps');
    return kubectl('apply', '--server-side', '--filename', await file('pull-secret.json', text));
  };
  const read = async () => (await ask('GET', '/api/v1/namespaces/apps/secrets/registries')).json;
  assert.match(await apply(), /secret\/registries serverside-applied/);
  const first = await read();
  assert.equal(first.type, 'kubernetes.io/dockerconfigjson');
  platform.clock.advance(84 * 24 * 60 * 60_000);
  await apply();
  const second = await read();
  assert.notEqual(second.data['.dockerconfigjson'], first.data['.dockerconfigjson']);
  assert.notEqual(
    second.metadata.annotations['lading.dev/expires-at'],
    first.metadata.annotations['lading.dev/expires-at'],
  );
  assert.deepEqual(
    Object.keys(second.metadata.annotations),
    ['lading.dev/expires-at'],
    'the secret is in an annotation',
  );
});

test('the scripted API server answers what the real one answers', async (t) => {
  const real = await startApiServer(t);
  const scripted = await startKubernetes(t);
  const outbound = openOutbound({ allowed: [{ range: '127.0.0.0/8' }] });
  const expected = await interrogate(real.ask);
  for (const line of expected) t.diagnostic(line);
  const { url, token, authority } = scripted;
  assert.deepEqual(await interrogate(apiAskerOf(outbound, url, token, authority.caPem)), expected);
});
