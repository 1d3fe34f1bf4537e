// Connections tried against registries that other people wrote, and against Lading itself.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import type { HostCredentials, UpstreamTarget } from '#core/upstream.ts';
import { type DockerRegistries, startDockerRegistries } from '../servers/docker-registry.ts';
import { alice, check, messageOf, outline, targetOf } from '../upstream-checks.ts';
import { makeImage, writeLayout } from './image.ts';
import { makePublicRegistry, makeToken, useLading } from './suite.ts';

const ends: (() => unknown)[] = [];
let docker: DockerRegistries;

const suite = useLading(async ({ bench, lading }) => {
  docker = await startDockerRegistries({ after: (work) => void ends.push(work) });
  await writeLayout(`${bench.dir}/layout`, 'v1', [makeImage()]);
  await makePublicRegistry(lading, 'everybody');
  const copy = (to: string, ...options: string[]) =>
    bench.run('skopeo', [
      'copy',
      '--dest-tls-verify=false',
      ...options,
      `oci:${bench.dir}/layout:v1`,
      `docker://${to}`,
    ]);
  await copy(`${docker.open.host}/team/app:v1`);
  const owner = ['--dest-creds', `owner:${lading.key}`];
  await copy(`${lading.host}/default/team/app:v1`, ...owner);
  await copy(`${lading.host}/everybody/app:v1`, ...owner);
});
after(async () => {
  for (const end of ends.toReversed()) await end();
});

const outcome = async (host: string, change: Partial<UpstreamTarget>) => {
  const result = await check(targetOf({ host }, change));
  return { outline: outline(result), token: messageOf(result, 'token'), namespace: messageOf(result, 'namespace') };
};

/** What a client thinks of the same credentials. */
const skopeoReads = (ref: string, { username, password }: HostCredentials) =>
  suite.bench.run('skopeo', ['inspect', '--tls-verify=false', '--creds', `${username}:${password}`, `docker://${ref}`]);

const wrong = { ...alice, password: 'wrong horse' };

test('docker-registry with htpasswd: right, wrong and no credentials, namespaces that are there and not', async () => {
  const { host } = docker.withPassword;
  await skopeoReads(`${host}/team/app:v1`, alice);
  const right = await outcome(host, { namespace: 'team/app' });
  assert.equal(right.outline, 'pspppp');
  assert.match(right.token, /accepts the user name and the password/);
  assert.match(right.namespace, /team\/app is a repository/);
  assert.match((await outcome(host, { namespace: 'team' })).namespace, /team\/app may be read/);
  const empty = await outcome(host, { namespace: 'nobody' });
  assert.equal(empty.outline, 'psppps');
  assert.match(empty.namespace, /lists no repository below nobody/);
  const refused = await outcome(host, { credentials: wrong, namespace: 'team/app' });
  assert.equal(refused.outline, 'psppfs');
  assert.match(refused.token, /refuses the user name or the password \(401\)/);
  const anonymous = await outcome(host, { credentials: null });
  assert.equal(anonymous.outline, 'psppfs');
  assert.match(anonymous.token, /Add a user name and a password/);
});

test('docker-registry over TLS: a certificate that nobody vouches for stops there, a trusted one does not', async () => {
  const { host } = docker.encrypted;
  const target = targetOf({ host }, { scheme: 'https', namespace: 'team/app' });
  const strange = await check(target);
  assert.equal(outline(strange), 'pfssss');
  assert.match(messageOf(strange, 'tls'), /authority that is not trusted here/);
  setDefaultCACertificates([...getCACertificates('default'), docker.caPem]);
  assert.equal(outline(await check(target)), 'pppppp');
  assert.equal(outline(await check({ ...target, credentials: wrong })), 'ppppfs');
  const plain = await check({ ...target, scheme: 'http' });
  assert.equal(outline(plain), 'psfsss', JSON.stringify(plain.steps));
});

test('docker-registry without authentication: nothing is proven of a password, and content is read', async () => {
  const { host } = docker.open;
  const named = await outcome(host, { namespace: 'team' });
  assert.equal(named.outline, 'pspssp');
  assert.match(named.token, /cannot be told whether/);
  assert.equal((await outcome(host, { credentials: null, namespace: 'team/app' })).outline, 'pspssp');
});

test('docker-registry with tokens: its token service gets the credentials when it is named, and not before', async () => {
  const { withToken, tokenService } = docker;
  const unnamed = await outcome(withToken.host, { namespace: 'team/app' });
  assert.equal(unnamed.outline, 'psppfs');
  assert.match(unnamed.token, new RegExp(`name ${tokenService.host} as the token host`));
  assert.equal(tokenService.connections(), 0);
  const tokenHost = tokenService.host;
  await skopeoReads(`${withToken.host}/team/app:v1`, alice);
  const right = await outcome(withToken.host, { namespace: 'team/app', tokenHost });
  assert.equal(right.outline, 'pspppp', JSON.stringify(right));
  assert.match(right.token, /accepts the user name and the password/);
  assert.match((await outcome(withToken.host, { namespace: 'team', tokenHost })).namespace, /team\/app may be read/);
  const refused = await outcome(withToken.host, { credentials: wrong, tokenHost });
  assert.equal(refused.outline, 'psppfs');
  assert.match(refused.token, /refuses the user name or the password \(401\)/);
});

test('docker-registry with tokens: who may not read fails there, and anonymous tokens prove nothing', async () => {
  const { withToken, tokenService } = docker;
  const tokenHost = tokenService.host;
  tokenService.users.set('bob', 'his own');
  const credentials = { username: 'bob', password: 'his own' };
  const denied = await outcome(withToken.host, { credentials, namespace: 'team', tokenHost });
  assert.equal(denied.outline, 'pspppf');
  assert.match(denied.namespace, /does not let these credentials read team\/app/);
  Object.assign(tokenService, { givesToStrangers: true, forgivesWrong: true });
  // Its tokens say whom they were made for: nobody.
  const unknown = await outcome(withToken.host, { credentials: wrong, tokenHost });
  assert.equal(unknown.outline, 'psppfs');
  assert.match(unknown.token, /does not know the user name or the password/);
  const known = await outcome(withToken.host, { tokenHost });
  assert.match(known.token, /accepts the user name and the password/);
  Object.assign(tokenService, { givesToStrangers: false, forgivesWrong: false });
});

test('docker-registry with tokens: those of a key that it does not know are worth nothing', async () => {
  docker.signWith('strange');
  const { withToken, tokenService } = docker;
  const result = await outcome(withToken.host, { tokenHost: tokenService.host });
  docker.signWith('own');
  assert.equal(result.outline, 'psppfs');
  assert.match(result.token, /does not accept the token that its token service gave/);
});

test('Lading: keys and registry tokens open it as far as they reach, and strangers what is public', async () => {
  const { lading } = suite;
  const secrets = {
    key: lading.key,
    'ro token': await makeToken(lading, 'ro'),
    'rw token': await makeToken(lading, 'rw'),
  };
  for (const [name, password] of Object.entries(secrets)) {
    const credentials = { username: 'anyone', password };
    await skopeoReads(`${lading.host}/default/team/app:v1`, credentials);
    for (const namespace of ['default/team/app', 'default/team', 'default']) {
      const result = await outcome(lading.host, { credentials, namespace });
      assert.equal(result.outline, 'pspppp', `${name} ${namespace}: ${JSON.stringify(result)}`);
      assert.match(result.token, /accepts the user name and the password/);
    }
  }
  const refused = await outcome(lading.host, { credentials: wrong, namespace: 'default/team/app' });
  assert.equal(refused.outline, 'psppfs');
  assert.match(refused.token, /refuses the user name or the password \(401\)/);
  const everybody = await outcome(lading.host, { credentials: null, namespace: 'everybody/app' });
  assert.equal(everybody.outline, 'pspppp', JSON.stringify(everybody));
  const nobody = await outcome(lading.host, { credentials: null, namespace: 'default/team/app' });
  assert.notEqual(nobody.outline.at(-1), 'p');
});
