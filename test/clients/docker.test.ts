import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type Dockerd, startDockerd } from '../servers/dockerd.ts';
import { startLading } from '../servers/lading.ts';
import { sha256 } from './image.ts';
import { digestOf, makePublicRegistry, makeToken, useLading } from './suite.ts';

let dockerd: Dockerd;
const suite = useLading(async ({ bench }) => {
  dockerd = await startDockerd();
  // The classic builder: BuildKit would want a plug-in that Debian's docker.io does not have.
  Object.assign(bench.env, { DOCKER_HOST: dockerd.host, DOCKER_BUILDKIT: '0' });
});
after(() => dockerd?.stop());

const docker = (...args: string[]) => suite.bench.run('docker', args);
const login = (secret: string) =>
  suite.bench.run('docker', ['login', '-u', 'anyone', '--password-stdin', suite.lading.host], { input: secret });

/** Builds an image of one random file without any network. */
async function build(ref: string, file = randomBytes(200_000)): Promise<Buffer> {
  const context = join(suite.bench.dir, `context-${sha256(ref).slice(7, 19)}`);
  await mkdir(context, { recursive: true });
  await writeFile(join(context, 'payload'), file);
  await writeFile(join(context, 'Dockerfile'), 'FROM scratch\nCOPY payload /payload\nCMD ["/payload"]\n');
  await docker('build', '-q', '-t', ref, context);
  return file;
}

/** The payload as an image holds it, taken out of a container that never runs. */
async function readPayload(ref: string): Promise<string> {
  const container = await docker('create', ref);
  const copy = join(suite.bench.dir, `payload-${container.slice(0, 12)}`);
  await docker('cp', `${container}:/payload`, copy);
  await docker('rm', container);
  return suite.bench.run('sha256sum', [copy]).then((line) => `sha256:${line.split(' ')[0]}`);
}

test('docker pushes what it built and pulls the same bytes back', async () => {
  await login(suite.lading.key);
  const ref = suite.ref('hello:v1');
  const file = await build(ref);
  const pushed = await docker('push', ref);
  const digest = /v1: digest: (sha256:[0-9a-f]{64})/.exec(pushed)?.[1];
  assert.ok(digest, pushed);
  assert.equal(await digestOf(suite.lading, 'default/hello', 'v1'), digest);

  const id = await docker('image', 'inspect', '--format', '{{.Id}}', ref);
  await docker('rmi', ref);
  await docker('pull', '-q', ref);
  assert.equal(await docker('image', 'inspect', '--format', '{{.Id}}', ref), id);
  assert.equal(await readPayload(ref), sha256(file));
  await docker('rmi', ref);
  await docker('pull', '-q', `${suite.ref('hello')}@${digest}`);
});

test('docker pushes an imported archive of several megabytes', async () => {
  await login(suite.lading.key);
  const ref = suite.ref('imported:v1');
  const context = join(suite.bench.dir, 'import');
  await mkdir(context);
  await writeFile(join(context, 'payload'), randomBytes(20_000_000));
  await suite.bench.run('tar', ['-cf', 'import.tar', '-C', context, '.']);
  await docker('import', join(suite.bench.dir, 'import.tar'), ref);
  const id = await docker('image', 'inspect', '--format', '{{.Id}}', ref);
  await docker('push', '-q', ref);
  await docker('rmi', ref);
  await docker('pull', '-q', ref);
  assert.equal(await docker('image', 'inspect', '--format', '{{.Id}}', ref), id);
});

test('docker mounts a layer that another repository has, and says that it did', async () => {
  await login(suite.lading.key);
  const first = suite.ref('mount-from:v1');
  await build(first);
  await docker('push', '-q', first);
  const second = suite.ref('mount-to:v1');
  await docker('tag', first, second);
  const answer = await docker('push', second);
  assert.match(answer, /Mounted from default\/mount-from/);
});

test('docker pushes a manifest list of two architectures', async () => {
  const { bench, lading } = suite;
  await login(lading.key);
  for (const arch of ['amd64', 'arm64']) {
    await build(suite.ref(`list:${arch}`));
    await docker('push', '-q', suite.ref(`list:${arch}`));
  }
  const list = suite.ref('list:all');
  await docker('manifest', 'create', '--insecure', list, suite.ref('list:amd64'), suite.ref('list:arm64'));
  await docker('manifest', 'annotate', '--arch', 'arm64', list, suite.ref('list:arm64'));
  const digest = await docker('manifest', 'push', '--insecure', list);
  assert.equal(await digestOf(lading, 'default/list', 'all'), digest.split('\n').at(-1));
  const listed = JSON.parse(await bench.run('docker', ['manifest', 'inspect', '--insecure', list]));
  assert.equal(listed.manifests.length, 2);
  await docker('pull', '-q', list);
});

test('docker logs in with a token, and a read-only one cannot push', async () => {
  const ref = suite.ref('token:v1');
  await build(ref);
  await login(await makeToken(suite.lading, 'rw'));
  await docker('push', '-q', ref);
  await login(await makeToken(suite.lading, 'ro'));
  await docker('pull', '-q', ref);
  await docker('tag', ref, suite.ref('token:v2'));
  const answer = await suite.bench.refused('docker', ['push', suite.ref('token:v2')]);
  assert.match(answer, /denied|unauthorized|insufficient_scope/i);
});

test('docker says clearly that a password is wrong, that an image is unknown and that a registry is missing', async () => {
  const { bench, lading } = suite;
  const wrong = await bench.refused('docker', ['login', '-u', 'anyone', '--password-stdin', lading.host], {
    input: 'no such secret',
  });
  assert.match(wrong, /unauthorized/i);
  await login(lading.key);
  assert.match(await bench.refused('docker', ['pull', suite.ref('nothing:v1')]), /manifest unknown|not found/i);
  const missing = suite.ref('app:v1', 'no-such-registry');
  await build(missing);
  const answer = await bench.refused('docker', ['push', missing]);
  assert.match(answer, /no-such-registry|denied|not known to registry|does not exist/i);
});

test('docker pulls from a public registry without login', async () => {
  const { bench, lading } = suite;
  await makePublicRegistry(lading, 'open');
  await login(lading.key);
  const ref = suite.ref('app:v1', 'open');
  await build(ref);
  await docker('push', '-q', ref);
  await docker('rmi', ref);
  await docker('logout', lading.host);
  await docker('pull', '-q', ref);
  await bench.refused('docker', ['push', ref]);
  await bench.refused('docker', ['pull', suite.ref('hello:v1')]);
});

test('the lines that the first start prints can be pasted: they log in, tag and push', async (t) => {
  const { bench } = suite;
  const fresh = await startLading({ env: { LADING_BOOTSTRAP_KEY: '' } });
  t.after(() => fresh.stop());
  const lines = fresh.child.output().match(/^ +.*\bdocker (login|tag|push) .*$/gm) ?? [];
  assert.equal(lines.length, 3, fresh.child.output());
  await build('alpine:latest');
  for (const line of lines) await bench.run('sh', ['-c', line]);
  await docker('rmi', `${fresh.host}/default/alpine:latest`);
  await docker('pull', '-q', `${fresh.host}/default/alpine:latest`);
});
