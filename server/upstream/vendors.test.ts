// Docker Hub, GitHub and GitLab as they document themselves, on scripted servers: they cannot be reached from a test.

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { openInternet } from '#test/servers/internet.ts';
import type { ScriptedRegistry } from '#test/servers/registry.ts';
import { alice, messageOf, outline, targetOf } from '#test/upstream-checks.ts';
import { openUpstream } from './upstream.ts';

/** A registry whose tokens another server issues. */
function trust(registry: ScriptedRegistry, service: ScriptedRegistry, path = '/token'): void {
  Object.assign(registry, { auth: 'bearer', realm: `${service.url}${path}` });
  Object.assign(service, { tokens: registry.tokens, repositories: registry.repositories, users: registry.users });
}

async function openDockerHub(t: TestContext) {
  const internet = openInternet(t);
  const hub = await internet.serve('registry-1.docker.io');
  const tokens = await internet.serve('auth.docker.io');
  trust(hub, tokens);
  hub.lists = false;
  tokens.givesToStrangers = true;
  hub.repositories.set('ratelimitpreview/test', ['*']).set('library/alpine', ['*']).set('acme/app', ['alice']);
  hub.before = ({ method, path }) =>
    method === 'HEAD' && path === '/v2/ratelimitpreview/test/manifests/latest'
      ? { status: 200, headers: { 'RateLimit-Limit': '100;w=21600', 'RateLimit-Remaining': '42;w=21600' } }
      : undefined;
  return { ...openUpstream(internet.outbound), hub, tokens };
}

const hubTarget = (change = {}) =>
  targetOf({ host: 'docker.io' }, { provider: 'dockerhub', scheme: 'https', ...change });

test('Docker Hub is asked at its API, and tells how many pulls are left', async (t) => {
  const { check, hub, tokens } = await openDockerHub(t);
  const result = await check(hubTarget({ namespace: 'acme/app' }));
  assert.equal(outline(result), 'pppppp', JSON.stringify(result.steps));
  assert.deepEqual(result.rateLimit, { limit: 100, remaining: 42, windowSeconds: 21600 });
  assert.match(messageOf(result, 'token'), /docker\.io accepts/);
  assert.ok(tokens.seen.every(({ headers }) => headers.authorization?.startsWith('Basic ')));
  // A GET of a manifest would count as a pull.
  assert.ok(hub.seen.every(({ method, path }) => method === 'HEAD' || !path.includes('/manifests/')));
  const anonymous = await check(hubTarget({ credentials: null, namespace: 'library/alpine' }));
  assert.equal(outline(anonymous), 'pppppp');
  assert.equal(anonymous.rateLimit?.remaining, 42);
});

test('on Docker Hub a repository that may not be read is a failure, and an account cannot be looked into', async (t) => {
  const { check, hub } = await openDockerHub(t);
  const refused = await check(hubTarget({ namespace: 'acme/secret' }));
  assert.equal(outline(refused), 'pppppf');
  assert.match(messageOf(refused, 'namespace'), /does not let these credentials read acme\/secret/);
  const account = await check(hubTarget({ namespace: 'acme' }));
  assert.equal(outline(account), 'ppppps');
  assert.match(messageOf(account, 'namespace'), /does not list/);
  assert.ok(hub.seen.every(({ path }) => !path.includes('_catalog')));
});

test('what Docker Hub wants is said when it refuses, and the pulls that are left are not asked for', async (t) => {
  const { check, hub } = await openDockerHub(t);
  const result = await check(hubTarget({ credentials: { ...alice, password: 'wrong' } }));
  assert.equal(outline(result), 'ppppfs');
  assert.match(messageOf(result, 'token'), /Docker Hub wants your Docker ID/);
  assert.equal(hub.seen.length, 1);
});

async function openGitHub(t: TestContext) {
  const internet = openInternet(t);
  const registry = await internet.serve('ghcr.io');
  const api = await internet.serve('api.github.com');
  registry.auth = 'bearer';
  registry.repositories.set('acme/app', ['alice']);
  const { check } = openUpstream(internet.outbound);
  const of = async (password: string, expiration: string) => {
    registry.users.set('alice', password);
    api.before = () => ({ status: 200, headers: { 'GitHub-Authentication-Token-Expiration': expiration } });
    return check(
      targetOf({ host: 'ghcr.io' }, { provider: 'ghcr', scheme: 'https', credentials: { ...alice, password } }),
    );
  };
  return { of, api, check };
}

test('GitHub tells when a personal access token ends, and is asked for no other secret', async (t) => {
  const { of, api, check } = await openGitHub(t);
  const result = await of('ghp_abc123', '2027-02-03 04:05:06 UTC');
  assert.equal(outline(result), 'ppppps');
  assert.equal(result.credentialsExpireAt, Date.UTC(2027, 1, 3, 4, 5, 6));
  assert.equal(
    (await of('ghp_abc123', '2027-02-03 04:05:06 +0200')).credentialsExpireAt,
    Date.UTC(2027, 1, 3, 2, 5, 6),
  );
  assert.equal((await of('github_pat_abc', 'soon')).credentialsExpireAt, null);
  assert.equal(api.seen.length, 3);
  assert.equal((await of('a password', '2027-02-03 04:05:06 UTC')).credentialsExpireAt, null);
  const wrong = { ...alice, password: 'ghp_wrong' };
  await check(targetOf({ host: 'ghcr.io' }, { provider: 'ghcr', scheme: 'https', credentials: wrong }));
  assert.equal(api.seen.length, 3);
});

test('GitLab tells when an access token ends, beside its token service', async (t) => {
  const internet = openInternet(t);
  const registry = await internet.serve('registry.gitlab.example.com');
  const gitlab = await internet.serve('gitlab.example.com');
  trust(registry, gitlab, '/jwt/auth');
  const { check } = openUpstream(internet.outbound);
  let answer = '{"expires_at":"2027-02-03"}';
  // GitLab's own limit is none of its registry's.
  const limits = { 'ratelimit-limit': '2000;w=60', 'ratelimit-remaining': '1999;w=60' };
  gitlab.before = ({ path, headers }) => {
    if (path.startsWith('/jwt/auth')) return { status: 200, headers: limits, body: '{"token":"issued"}' };
    assert.equal(path, '/api/v4/personal_access_tokens/self');
    assert.equal(headers['private-token'], 'glpat-abc');
    return { status: 200, body: answer };
  };
  registry.tokens.set('issued', { user: 'alice', repositories: [], mayList: false });
  const expiry = async (password: string) => {
    const target = targetOf(registry, { provider: 'gitlab', scheme: 'https', credentials: { ...alice, password } });
    const result = await check(target);
    assert.equal(outline(result), 'ppppps');
    assert.equal(result.rateLimit, null);
    return result.credentialsExpireAt;
  };
  assert.equal(await expiry('glpat-abc'), Date.UTC(2027, 1, 3));
  answer = '{"expires_at":null}';
  assert.equal(await expiry('glpat-abc'), null);
  const before = gitlab.seen.length;
  assert.equal(await expiry('gldt-deploy-token'), null);
  assert.equal(gitlab.seen.length, before + 1);
});

test('a password that is a token with an end in it tells that end', async (t) => {
  const internet = openInternet(t);
  const registry = await internet.serve('acme.azurecr.io');
  const exp = 1_900_000_000;
  const password = ['{}', JSON.stringify({ exp }), 'x'].map((one) => Buffer.from(one).toString('base64url')).join('.');
  registry.users.set('alice', password);
  const { check } = openUpstream(internet.outbound);
  const target = targetOf(registry, { provider: 'acr', scheme: 'https', credentials: { ...alice, password } });
  assert.equal((await check(target)).credentialsExpireAt, exp * 1000);
});

test('a project of Google is looked for by the name that its images have', async (t) => {
  const internet = openInternet(t);
  const registry = await internet.serve('gcr.io');
  const credentials = { username: '_json_key', password: '{"type":"service_account"}' };
  registry.users.set(credentials.username, credentials.password);
  registry.repositories.set('example.com/project/app', [credentials.username]);
  const { check } = openUpstream(internet.outbound);
  for (const namespace of ['example.com:project', 'example.com/project', 'Example.com/project/app']) {
    const target = targetOf(registry, { provider: 'gcr', scheme: 'https', credentials, namespace });
    assert.equal(outline(await check(target)), 'pppppp', namespace);
  }
});

test('a path that can be a project as well is no failure where it cannot be read', async (t) => {
  const internet = openInternet(t);
  const registry = await internet.serve('ghcr.io');
  Object.assign(registry, { auth: 'bearer', lists: false });
  const { check } = openUpstream(internet.outbound);
  const target = targetOf({ host: 'ghcr.io' }, { provider: 'ghcr', scheme: 'https', namespace: 'acme/app' });
  const result = await check(target);
  assert.equal(outline(result), 'ppppps');
  assert.match(messageOf(result, 'namespace'), /cannot be told whether anything there may be read/);
});
