// Connections tried against zot, which has no Debian package: LADING_TEST_ZOT is the path of the program.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { makeTestDirectory } from '../database.ts';
import { type Ask, basic, pushImage, withAuthorization } from '../oci-client.ts';
import { makeAuthority } from '../servers/certificates.ts';
import { findFreePort, startChild } from '../servers/child.ts';
import { bcryptOfAlice, openSigner } from '../servers/docker-registry.ts';
import { startRegistry } from '../servers/registry.ts';
import { alice, check, messageOf, outline, targetOf } from '../upstream-checks.ts';

const everythingForAlice = { policies: [{ users: ['alice'], actions: ['read', 'create', 'update'] }] };

type Door = { auth?: object; policies?: Record<string, object>; root?: string };

/** By default alice comes in with her password. */
async function startZot(
  t: TestContext,
  { auth, policies, root }: Door,
): Promise<{ host: string; stop: () => unknown }> {
  const program = process.env.LADING_TEST_ZOT;
  if (!program) throw new Error('LADING_TEST_ZOT must be the path of the program');
  const directory = makeTestDirectory(t);
  const port = await findFreePort();
  const htpasswd = join(directory, 'htpasswd');
  writeFileSync(htpasswd, bcryptOfAlice);
  const config = {
    distSpecVersion: '1.1.1',
    storage: { rootDirectory: root ?? join(directory, 'store'), gc: false },
    http: {
      address: '127.0.0.1',
      port: String(port),
      auth: auth ?? { htpasswd: { path: htpasswd }, failDelay: 0 },
      ...(policies && { accessControl: { repositories: policies } }),
    },
    log: { level: 'error', output: join(directory, 'log') },
  };
  writeFileSync(join(directory, 'config.json'), JSON.stringify(config));
  const host = `127.0.0.1:${port}`;
  const isReady = async () => (await fetch(`http://${host}/v2/`)).status < 500;
  const child = await startChild(program, ['serve', join(directory, 'config.json')], { cwd: directory, isReady });
  t.after(() => child.stop());
  return { host, stop: child.stop };
}

const askerOf =
  (host: string): Ask =>
  async (method, url, { headers = {}, body } = {}) => {
    const bytesSent = body === undefined ? null : new Uint8Array(Buffer.from(body));
    const answer = await fetch(new URL(url, `http://${host}`), {
      method,
      // zot takes no blob without it.
      headers: { 'content-type': 'application/octet-stream', ...headers },
      body: bytesSent,
    });
    const bytes = Buffer.from(await answer.arrayBuffer());
    const text = bytes.toString();
    return { status: answer.status, headers: Object.fromEntries(answer.headers), text, bytes, code: undefined };
  };

async function push({ host }: { host: string }, ...repositories: string[]): Promise<void> {
  const ask = withAuthorization(askerOf(host), basic(alice.password, alice.username));
  for (const repository of repositories) await pushImage(ask, repository, 'v1');
}

const wrong = { ...alice, password: 'wrong horse' };

test('zot that wants a password: right, wrong and no credentials, a repository and what is above it', async (t) => {
  const zot = await startZot(t, { policies: { '**': everythingForAlice } });
  await push(zot, 'team/app');
  const right = await check(targetOf(zot, { namespace: 'team/app' }));
  assert.equal(outline(right), 'pspppp', JSON.stringify(right.steps));
  assert.match(messageOf(right, 'token'), /accepts the user name and the password/);
  const above = await check(targetOf(zot, { namespace: 'team' }));
  assert.match(messageOf(above, 'namespace'), /team\/app may be read/);
  const refused = await check(targetOf(zot, { credentials: wrong, namespace: 'team' }));
  assert.equal(outline(refused), 'psppfs');
  assert.match(messageOf(refused, 'token'), /refuses the user name or the password \(401\)/);
  const anonymous = await check(targetOf(zot, { credentials: null, namespace: 'team' }));
  assert.equal(outline(anonymous), 'psppfs');
});

test('zot that shows some of its content to everybody: a wrong password is still found, and content read', async (t) => {
  const policies = {
    'team/**': everythingForAlice,
    'public/**': { ...everythingForAlice, anonymousPolicy: ['read'] },
  };
  const zot = await startZot(t, { policies });
  await push(zot, 'team/app', 'public/app');
  const right = await check(targetOf(zot, { namespace: 'team/app' }));
  assert.equal(outline(right), 'pspssp', JSON.stringify(right.steps));
  assert.equal(outline(await check(targetOf(zot, { credentials: wrong, namespace: 'team/app' }))), 'pspsfs');
  for (const namespace of ['public', 'public/app']) {
    const anonymous = await check(targetOf(zot, { credentials: null, namespace }));
    assert.equal(outline(anonymous), 'pspssp', JSON.stringify(anonymous.steps));
  }
  const hidden = await check(targetOf(zot, { credentials: null, namespace: 'team' }));
  assert.equal(outline(hidden), 'pspsss');
});

test('zot with tokens: those that its token service signs open it, once that is named, and no others', async (t) => {
  const root = makeTestDirectory(t);
  const first = await startZot(t, { root });
  await push(first, 'team/app');
  // One directory is one process's.
  await first.stop();
  const service = await startRegistry(t);
  const { certificatePem, signGrant } = openSigner(makeAuthority(t));
  service.toToken = signGrant;
  const cert = join(makeTestDirectory(t), 'tokens.pem');
  writeFileSync(cert, certificatePem);
  const auth = { bearer: { realm: `${service.url}/token`, service: 'docker-registry', cert } };
  const zot = await startZot(t, { root, auth });
  assert.equal(outline(await check(targetOf(zot, { namespace: 'team/app' }))), 'psppfs');
  assert.equal(service.connections(), 0);
  const tokenHost = service.host;
  const right = await check(targetOf(zot, { namespace: 'team/app', tokenHost }));
  assert.equal(outline(right), 'pspppp', JSON.stringify(right.steps));
  assert.equal(outline(await check(targetOf(zot, { credentials: wrong, tokenHost }))), 'psppfs');
  service.toToken = openSigner(makeAuthority(t)).signGrant;
  const strange = await check(targetOf(zot, { tokenHost }));
  assert.match(messageOf(strange, 'token'), /does not accept the token that its token service gave/);
});
