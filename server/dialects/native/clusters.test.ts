import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { openClusterWorld } from '#test/cluster-world.ts';
import { makeTestDirectory } from '#test/database.ts';
import { type Json, openNative } from '#test/native-client.ts';
import { seedKey } from '#test/platform.ts';
import { makeAuthority } from '#test/servers/certificates.ts';

const toBase64 = (text: string) => Buffer.from(text).toString('base64');

/** As YAML, which JSON is. */
function kubeconfig({
  cluster = {},
  user = {},
  more = {},
}: {
  cluster?: object;
  user?: object;
  more?: object;
}): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'here',
    contexts: [{ name: 'here', context: { cluster: 'c', user: 'u', namespace: 'apps' } }],
    clusters: [{ name: 'c', cluster: { server: 'https://k8s.example.com:6443', ...cluster } }],
    users: [{ name: 'u', user }],
    ...more,
  });
}

test('a cluster is registered, shown without its credentials, found by id and name, and listed', async (t) => {
  const { call, platform } = await openNative(t);
  const { caPem } = makeAuthority(t);
  const token = 'the-token-of-a-service-account';
  const body = { name: 'prod', pool: 'ru-9', server: 'https://k8s.example.com:6443/', caPem, token };
  const made = await call('POST /clusters', { body });
  assert.equal(made.status, 201, made.text);
  const { id, createdAt, updatedAt, ...shown } = made.json;
  assert.deepEqual(shown, { name: 'prod', pool: 'ru-9', server: 'https://k8s.example.com:6443', caPem });
  const second = await call('POST /clusters', { body: { name: 'Alpha', server: 'https://a.example.com', token } });
  assert.equal(second.json.caPem, null);
  for (const ref of [id, 'prod']) assert.deepEqual((await call(`GET /clusters/${ref}`)).json, made.json);
  const names = async (query: string) => (await call(`GET /clusters${query}`)).json.items.map((one: Json) => one.name);
  assert.deepEqual(await names(''), ['Alpha', 'prod']);
  assert.deepEqual(await names('?search=RO&sort=-name'), ['prod']);
  assert.equal((await call('POST /clusters', { body })).status, 409);
  const stored = JSON.stringify(await platform.db.selectFrom('clusters').selectAll().execute());
  for (const path of ['/clusters', '/clusters/prod', '/audit-events']) {
    assert.ok(!(await call(`GET ${path}`)).text.includes(token), path);
  }
  assert.ok(!stored.includes(token), 'not in the database either');
  assert.equal((await call(`DELETE /clusters/${id}`)).status, 204);
  assert.equal((await call(`DELETE /clusters/${id}`)).status, 404);
  assert.equal((await call('POST /clusters', { body })).status, 201, 'the name is free again');
});

// Without this test whoever may change a cluster could send its token to a server of their own.
test('a stored token is sent to no other server and to no other authority', async (t) => {
  const { call } = await openNative(t);
  const [mine, other] = [makeAuthority(t).caPem, makeAuthority(t).caPem];
  const body = { name: 'prod', server: 'https://k8s.example.com', caPem: mine, token: 'secret-token' };
  await call('POST /clusters', { body });
  const patch = (change: object) => call('PATCH /clusters/prod', { body: change });
  for (const change of [{ server: 'https://evil.example.com' }, { caPem: other }, { caPem: null }]) {
    const { status, json } = await patch(change);
    assert.equal(status, 400);
    assert.equal(json.errors[0].pointer, '/token');
  }
  const same = { server: 'https://K8s.example.com:443/', caPem: `\n${mine}` };
  assert.equal((await patch({ ...same, pool: 'x' })).json.pool, 'x');
  const moved = await patch({ server: 'https://new.example.com', token: 'new' });
  assert.equal(moved.status, 200, moved.text);
  assert.equal(moved.json.caPem, mine);
  assert.equal((await patch({ name: 'renamed' })).json.name, 'renamed');
  await call('POST /clusters', { body });
  assert.equal((await patch({ name: 'renamed' })).status, 409);
});

test('of a kubeconfig the five values of its current context are taken', async (t) => {
  const { call } = await openNative(t);
  const authority = makeAuthority(t);
  const { certificatePem, keyPem } = authority.issue('alice');
  const ca = { 'certificate-authority-data': toBase64(authority.caPem) };
  const pair = { 'client-certificate-data': toBase64(certificatePem), 'client-key-data': toBase64(keyPem) };
  const other = { name: 'other', user: { exec: { command: 'aws' }, tokenFile: '/etc/passwd' } };
  const good: [string, object, object][] = [
    ['a token', ca, { token: 't' }],
    ['a certificate', ca, pair],
    ['a public authority', { 'insecure-skip-tls-verify': false }, { token: 't' }],
    ['what minikube says of itself', { ...ca, extensions: [{ name: 'x', extension: {} }] }, { token: 't' }],
  ];
  for (const [name, cluster, user] of good) {
    const more = { users: [other, { name: 'u', user }] };
    const { json, text } = await call('POST /clusters', { body: { name, kubeconfig: kubeconfig({ cluster, more }) } });
    assert.equal(json.server, 'https://k8s.example.com:6443', text);
    assert.equal(json.caPem, 'certificate-authority-data' in cluster ? authority.caPem : null);
  }
  const yaml = `
apiVersion: v1
clusters:
- cluster: {server: "https://yaml.example.com"}
  name: c
contexts:
- {context: {cluster: c, user: u}, name: here}
current-context: here
users:
- name: u
  user:
    token: abc # as kubectl writes it
`;
  assert.equal(
    (await call('POST /clusters', { body: { name: 'yaml', kubeconfig: yaml } })).json.server,
    'https://yaml.example.com',
  );
});

/** The ways in which a kubeconfig runs something, reads a file or looks away, and how each is named. */
function dangers(t: TestContext) {
  const directory = makeTestDirectory(t);
  const [ran, file] = [join(directory, 'ran'), join(directory, 'file')];
  writeFileSync(file, 'the content of a file of the server');
  const exec = {
    apiVersion: 'client.authentication.k8s.io/v1',
    command: 'touch',
    args: [ran],
    interactiveMode: 'Never',
  };
  const provider = { name: 'gcp', config: { 'cmd-path': '/usr/bin/touch', 'cmd-args': ran, 'expiry-key': '{.x}' } };
  const users: Record<string, object> = {
    exec: { exec },
    'auth-provider': { 'auth-provider': provider },
    tokenFile: { tokenFile: file },
    'client-certificate': { token: 't', 'client-certificate': file },
    'client-key': { token: 't', 'client-key': file },
    username: { username: 'admin', password: 'admin' },
    as: { token: 't', as: 'system:admin' },
    'as-groups': { token: 't', 'as-groups': ['system:masters'] },
    'something-new': { token: 't', 'something-new': 1 },
  };
  const clusters: Record<string, object> = {
    'certificate-authority': { 'certificate-authority': file },
    'insecure-skip-tls-verify': { 'insecure-skip-tls-verify': true },
    'proxy-url': { 'proxy-url': 'http://127.0.0.1:1' },
    'tls-server-name': { 'tls-server-name': 'other.example.com' },
  };
  return { ran, users, clusters };
}

// Without this test a pasted kubeconfig runs commands on the server: CVE-class of the clients that support `exec`.
test('a kubeconfig that would run something, read a file or look away is refused by name, and nothing runs', async (t) => {
  const { call } = await openNative(t);
  const { ran, users, clusters } = dangers(t);
  const cases: [string, string][] = [
    ...Object.entries(users).map(([field, user]): [string, string] => [`users.user.${field}`, kubeconfig({ user })]),
    ...Object.entries(users).map(([field, user]): [string, string] => [
      `users.user.${field}`,
      kubeconfig({ user: { ...user, token: 't' } }),
    ]),
    ...Object.entries(clusters).map(([field, cluster]): [string, string] => [
      `clusters.cluster.${field}`,
      kubeconfig({ cluster, user: { token: 't' } }),
    ]),
  ];
  for (const [field, text] of cases) {
    const answer = await call('POST /clusters', { body: { name: 'x', kubeconfig: text } });
    assert.equal(answer.status, 400, `${field}: ${answer.text}`);
    assert.deepEqual(answer.json.errors, [{ pointer: `/kubeconfig/${field}`, detail: 'is not taken here' }]);
    assert.ok(!answer.text.includes('the content of a file'));
  }
  assert.equal(existsSync(ran), false);
  assert.deepEqual((await call('GET /clusters')).json.items, []);
});

test('what is no kubeconfig, or not a whole one, is refused fast and with the field at fault', async (t) => {
  const { call } = await openNative(t);
  const authority = makeAuthority(t);
  const [a, b] = [authority.issue('a'), authority.issue('b')];
  const bomb = `a: &a [x,x,x,x,x,x,x,x,x]\n${[...'bcdefgh'].map((x, i) => `${x}: &${x} [${`*${'abcdefgh'[i]},`.repeat(9)}]`).join('\n')}`;
  const pair = (certificate: string, key: string) => ({
    'client-certificate-data': toBase64(certificate),
    'client-key-data': toBase64(key),
  });
  const cases: [string, string][] = [
    ['', '/kubeconfig'],
    ['x', '/kubeconfig'],
    ['[]', '/kubeconfig'],
    ['{', '/kubeconfig'],
    ['- '.repeat(30_000), '/kubeconfig'],
    ['? '.repeat(30_000), '/kubeconfig'],
    ['{a: '.repeat(15_000), '/kubeconfig'],
    [bomb, '/kubeconfig'],
    ['['.repeat(60_000), '/kubeconfig'],
    ['!!js/function "x"', '/kubeconfig'],
    ['{}', '/kubeconfig/current-context'],
    [kubeconfig({ more: { 'current-context': 'elsewhere' } }), '/kubeconfig/contexts'],
    [kubeconfig({ more: { clusters: [] } }), '/kubeconfig/clusters'],
    [kubeconfig({ more: { users: 'u' } }), '/kubeconfig/users'],
    [kubeconfig({}), '/kubeconfig/users.user'],
    [kubeconfig({ user: { token: 7 } }), '/kubeconfig/users.user.token'],
    [kubeconfig({ user: { token: 'a\nb' } }), '/kubeconfig/users.user.token'],
    [kubeconfig({ user: { token: 't' }, cluster: { server: 'http://x' } }), '/kubeconfig/clusters.cluster.server'],
    [kubeconfig({ user: pair(a.certificatePem, b.keyPem) }), '/kubeconfig/users.user.client-key-data'],
    [
      kubeconfig({ user: { ...pair(a.certificatePem, ''), 'client-key-data': undefined } }),
      '/kubeconfig/users.user.client-key-data',
    ],
    [kubeconfig({ user: pair('nothing', a.keyPem) }), '/kubeconfig/users.user.client-certificate-data'],
    [
      kubeconfig({ user: { token: 't' }, cluster: { 'certificate-authority-data': toBase64(a.keyPem) } }),
      '/kubeconfig/clusters.cluster.certificate-authority-data',
    ],
    [
      kubeconfig({ user: { token: 't' }, cluster: { 'certificate-authority-data': '%%%' } }),
      '/kubeconfig/clusters.cluster.certificate-authority-data',
    ],
  ];
  for (const [text, pointer] of cases) {
    const started = performance.now();
    const answer = await call('POST /clusters', { body: { name: 'x', kubeconfig: text } });
    assert.ok(performance.now() - started < 1000, text.slice(0, 80));
    assert.equal(answer.status, 400, `${text.slice(0, 80)}: ${answer.text}`);
    assert.equal(answer.json.errors[0].pointer, pointer, text.slice(0, 200));
    assert.ok(!answer.text.includes('PRIVATE KEY'));
  }
});

test('what cannot be a cluster is refused with the field at fault', async (t) => {
  const { call } = await openNative(t);
  const { caPem } = makeAuthority(t);
  const good = { name: 'x', server: 'https://k8s.example.com', token: 't' };
  const cases: [object, string][] = [
    [{ ...good, server: undefined }, '/server'],
    [{ ...good, server: 'http://k8s.example.com' }, '/server'],
    [{ ...good, server: 'https://user:pass@k8s.example.com' }, '/server'],
    [{ ...good, server: 'https://k8s.example.com/?a=b' }, '/server'],
    [{ ...good, server: 'file:///etc' }, '/server'],
    [{ ...good, token: undefined }, '/token'],
    [{ ...good, token: 'a b' }, '/token'],
    [{ ...good, token: 'a\r\nx-evil: 1' }, '/token'],
    [{ ...good, caPem: 'x' }, '/caPem'],
    [{ ...good, caPem: `${caPem}${caPem.replace('CERTIFICATE', 'PRIVATE KEY')}` }, '/caPem'],
    [{ ...good, caPem: caPem.replace(/[a-z]/g, 'A') }, '/caPem'],
    [{ ...good, kubeconfig: kubeconfig({ user: { token: 't' } }) }, '/server'],
    [{ ...good, name: '01a00000-0000-7000-8000-000000000000' }, '/name'],
    [{ ...good, teamId: 'x' }, '/teamId'],
  ];
  for (const [body, pointer] of cases) {
    const answer = await call('POST /clusters', { body });
    assert.equal(answer.status, 400, `${JSON.stringify(body)}: ${answer.text}`);
    assert.equal(answer.json.errors[0].pointer, pointer);
  }
});

test('a key bound to projects sees clusters and changes none', async (t) => {
  const { call, platform, team } = await openNative(t);
  const body = { name: 'prod', server: 'https://k8s.example.com', token: 't' };
  await call('POST /clusters', { body });
  const { secret: key } = await seedKey(platform, team.teamId, { projectIds: [team.projectId] });
  assert.equal((await call('GET /clusters', { key })).json.items.length, 1);
  assert.equal((await call('POST /clusters', { key, body: { ...body, name: 'x' } })).status, 403);
  assert.equal((await call('PATCH /clusters/prod', { key, body: { pool: 'x' } })).status, 403);
  assert.equal((await call('POST /clusters/prod/test', { key, body: {} })).status, 403);
  assert.equal((await call('DELETE /clusters/prod', { key })).status, 403);
});

const resultsOf = ({ json }: Json) => json.steps.map((one: Json) => `${one.step} ${one.result}`);

test('a test tells how far it came, and writes nothing', async (t) => {
  const { call, kubernetes, clusterId } = await openClusterWorld(t);
  const run = (body = {}) => call(`POST /clusters/${clusterId}/test`, { body });
  const all = await run({ namespace: 'apps', secretName: 'pull' });
  assert.deepEqual(resultsOf(all), ['reach passed', 'tls passed', 'version passed', 'secrets passed'], all.text);
  assert.equal(all.json.passed, true);
  assert.equal(all.json.version, 'v1.34.0-scripted');
  assert.equal(kubernetes.secrets.size, 0);
  kubernetes.plant('apps', 'pull', { data: { a: 'eA==' } });
  const foreign = await run({ namespace: 'apps', secretName: 'pull' });
  assert.match(foreign.json.steps[3].message, /Lading did not make/);
  const labels = { 'lading.dev/managed': 'true', 'lading.dev/registry': 'x' };
  kubernetes.plant('apps', 'pull', { metadata: { labels }, data: { a: 'eA==' } });
  const before = structuredClone([...kubernetes.secrets]);
  assert.equal((await run({ namespace: 'apps', secretName: 'pull' })).json.passed, true);
  assert.deepEqual([...kubernetes.secrets], before);
  const failing: [() => void, string[], RegExp][] = [
    [
      () => kubernetes.namespaces.delete('default'),
      ['reach passed', 'tls passed', 'version passed', 'secrets failed'],
      /"default" not found/,
    ],
    ...(['get', 'create', 'update', 'delete'] as const).map((missing): [() => void, string[], RegExp] => [
      () => {
        kubernetes.namespaces.add('default');
        const verbs = (['get', 'create', 'update', 'delete'] as const).filter((verb) => verb !== missing);
        kubernetes.grants.set(kubernetes.token, { verbs });
      },
      ['reach passed', 'tls passed', 'version passed', 'secrets failed'],
      new RegExp(`cannot ${missing}`),
    ]),
    [
      () => kubernetes.grants.delete(kubernetes.token),
      ['reach passed', 'tls passed', 'version failed', 'secrets skipped'],
      /does not accept the credentials/,
    ],
    [
      () => (kubernetes.before = () => ({ status: 200, body: '<html>a secret page' })),
      ['reach passed', 'tls passed', 'version failed', 'secrets skipped'],
      /not answer as a Kubernetes API server/,
    ],
  ];
  for (const [spoil, results, message] of failing) {
    spoil();
    const answer = await run();
    assert.deepEqual(resultsOf(answer), results, answer.text);
    assert.match(answer.json.steps.find((one: Json) => one.result === 'failed').message, message);
    assert.doesNotMatch(answer.text, /a secret page/);
  }
});

// Without this test a name like ".." makes another path of the cluster's, asked with the stored token.
test('a test asks for no path but that of a Secret', async (t) => {
  const { call, kubernetes, clusterId } = await openClusterWorld(t);
  const bad = ['..', '.', 'a/b', '%2e%2e', 'A', 'a?b', 'a#b', '../../../apis'];
  for (const name of bad) {
    for (const field of ['namespace', 'secretName']) {
      const answer = await call(`POST /clusters/${clusterId}/test`, { body: { [field]: name } });
      assert.equal(answer.status, 400, `${field} ${name}`);
      assert.equal(answer.json.errors[0].pointer, `/${field}`);
    }
  }
  assert.deepEqual(kubernetes.requests, []);
});

test('a test of what is not there, not allowed or not trusted ends at that step', async (t) => {
  const { call, kubernetes } = await openClusterWorld(t);
  const { caPem } = makeAuthority(t, 'stranger');
  const test = async (server: string, name: string) => {
    await call('POST /clusters', { body: { name, server, caPem, token: 't' } });
    return call(`POST /clusters/${name}/test`);
  };
  const stranger = await test(kubernetes.url, 'stranger');
  assert.deepEqual(resultsOf(stranger), ['reach passed', 'tls failed', 'version skipped', 'secrets skipped']);
  const inside = await test(`https://127.0.0.1:${kubernetes.port + 1}`, 'inside');
  assert.deepEqual(resultsOf(inside), ['reach failed', 'tls skipped', 'version skipped', 'secrets skipped']);
  assert.match(inside.json.steps[0].message, /LADING_UPSTREAM_ALLOW/);
});

test('a client certificate signs in like a token', async (t) => {
  const { call, kubernetes, supply } = await openClusterWorld(t);
  const { certificatePem, keyPem } = kubernetes.authority.issue('alice');
  kubernetes.grants.set('alice', { verbs: ['get', 'create', 'update', 'delete'] });
  const text = kubeconfig({
    cluster: { server: kubernetes.url, 'certificate-authority-data': toBase64(kubernetes.authority.caPem) },
    user: { 'client-certificate-data': toBase64(certificatePem), 'client-key-data': toBase64(keyPem) },
  });
  await call('POST /clusters', { body: { name: 'by-certificate', kubeconfig: text } });
  assert.equal((await call('POST /clusters/by-certificate/test')).json.passed, true);
  const body = { namespaces: ['default'], secretName: 'pull' };
  assert.equal((await call('PUT /registries/acme/clusters/by-certificate', { body })).status, 200);
  await supply();
  assert.deepEqual([...kubernetes.secrets.keys()], ['default/pull']);
});
