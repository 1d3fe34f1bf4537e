import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { digestOf, makePublicRegistry, makeToken, useLading } from './suite.ts';

const suite = useLading();
const PLAIN = '--tls-verify=false';

/** Its storage is the test's own and needs nothing of the kernel. */
function storage(): string[] {
  const { dir } = suite.bench;
  return ['--root', join(dir, 'storage'), '--runroot', join(dir, 'storage-run'), '--storage-driver', 'vfs'];
}
const settings = () => [...storage(), '--cgroup-manager=cgroupfs', '--events-backend=none'];
const podman = (...args: string[]) => suite.bench.run('podman', [...settings(), ...args]);
const refused = (...args: string[]) => suite.bench.refused('podman', [...settings(), ...args]);
const login = (secret: string) =>
  suite.bench.run('podman', [...settings(), 'login', PLAIN, '-u', 'anyone', '--password-stdin', suite.lading.host], {
    input: secret,
  });

async function build(ref: string): Promise<void> {
  const context = join(suite.bench.dir, randomBytes(6).toString('hex'));
  await mkdir(context);
  await writeFile(join(context, 'payload'), randomBytes(150_000));
  await writeFile(join(context, 'Dockerfile'), 'FROM scratch\nCOPY payload /payload\nCMD ["/payload"]\n');
  await podman('build', '--isolation', 'chroot', '-q', '-t', ref, context);
}

test('podman pushes what it built and pulls the same image back', async () => {
  await login(suite.lading.key);
  const ref = suite.ref('pod/app:v1');
  await build(ref);
  const id = await podman('image', 'inspect', '--format', '{{.Id}}', ref);
  const digestFile = join(suite.bench.dir, 'digest');
  await podman('push', PLAIN, '--digestfile', digestFile, ref);
  assert.equal(await suite.bench.run('cat', [digestFile]), await digestOf(suite.lading, 'default/pod/app', 'v1'));
  await podman('rmi', ref);
  await podman('pull', '-q', PLAIN, ref);
  assert.equal(await podman('image', 'inspect', '--format', '{{.Id}}', ref), id);
});

test('podman pushes in the Docker format and in the OCI format', async () => {
  await login(suite.lading.key);
  const ref = suite.ref('pod/format:v1');
  await build(ref);
  for (const [format, type] of [
    ['v2s2', 'application/vnd.docker.distribution.manifest.v2+json'],
    ['oci', 'application/vnd.oci.image.manifest.v1+json'],
  ] as const) {
    await podman('push', PLAIN, '--format', format, ref, suite.ref(`pod/format:${format}`));
    const raw = await suite.bench.run('skopeo', [
      'inspect',
      '--raw',
      PLAIN,
      `docker://${suite.ref(`pod/format:${format}`)}`,
    ]);
    assert.equal(JSON.parse(raw).mediaType ?? 'application/vnd.oci.image.manifest.v1+json', type);
    await podman('pull', '-q', PLAIN, suite.ref(`pod/format:${format}`));
  }
});

test('podman pushes a manifest list with all its images', async () => {
  await login(suite.lading.key);
  const [one, two, list] = ['one', 'two', 'list'].map((name) => suite.ref(`pod/list:${name}`)) as [
    string,
    string,
    string,
  ];
  await build(one);
  await build(two);
  await podman('manifest', 'create', list);
  for (const ref of [one, two]) await podman('manifest', 'add', list, `containers-storage:${ref}`);
  await podman('manifest', 'push', '--all', PLAIN, list, `docker://${list}`);
  const raw = await suite.bench.run('skopeo', ['inspect', '--raw', PLAIN, `docker://${list}`]);
  assert.equal(JSON.parse(raw).manifests.length, 2);
});

test('a wrong password, a read-only token and a missing image each get a clear refusal', async () => {
  const wrong = await refused('login', PLAIN, '-u', 'anyone', '-p', 'no such secret', suite.lading.host);
  assert.match(wrong, /invalid username\/password|unauthorized/i);
  await login(await makeToken(suite.lading, 'ro'));
  const ref = suite.ref('pod/readonly:v1');
  await build(ref);
  assert.match(await refused('push', PLAIN, ref), /denied|unauthorized|authentication required/i);
  assert.match(await refused('pull', PLAIN, suite.ref('pod/nothing:v1')), /manifest unknown|not found|unknown/i);
});

test('podman pulls from a public registry without login', async () => {
  await makePublicRegistry(suite.lading, 'open');
  await login(await makeToken(suite.lading, 'rw'));
  const ref = suite.ref('app:v1', 'open');
  await build(ref);
  await podman('push', PLAIN, ref);
  await podman('logout', suite.lading.host);
  await podman('rmi', ref);
  await podman('pull', '-q', PLAIN, ref);
});
