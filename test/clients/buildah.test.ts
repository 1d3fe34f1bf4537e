import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { digestOf, makeToken, useLading } from './suite.ts';

const suite = useLading();
const PLAIN = '--tls-verify=false';

function storage(): string[] {
  const { dir } = suite.bench;
  return ['--root', join(dir, 'storage'), '--runroot', join(dir, 'storage-run'), '--storage-driver', 'vfs'];
}
const buildah = (...args: string[]) => suite.bench.run('buildah', [...storage(), ...args]);
const login = (secret: string) =>
  suite.bench.run('buildah', ['login', PLAIN, '-u', 'anyone', '--password-stdin', suite.lading.host], {
    input: secret,
  });

async function build(ref: string): Promise<string> {
  const payload = join(suite.bench.dir, randomBytes(6).toString('hex'));
  await writeFile(payload, randomBytes(300_000));
  const container = await buildah('from', 'scratch');
  await buildah('add', container, payload, '/payload');
  await buildah('config', '--cmd', '/payload', '--label', 'made-by=lading-tests', container);
  const id = await buildah('commit', '-q', '--rm', container, ref);
  return id;
}

test('buildah pushes an image made from scratch and pulls the same one back', async () => {
  await login(suite.lading.key);
  const ref = suite.ref('bah/app:v1');
  const id = await build(ref);
  const digestFile = join(suite.bench.dir, 'digest');
  await buildah('push', '-q', PLAIN, '--digestfile', digestFile, ref, `docker://${ref}`);
  assert.equal(await suite.bench.run('cat', [digestFile]), await digestOf(suite.lading, 'default/bah/app', 'v1'));
  await buildah('rmi', ref);
  assert.equal(await buildah('pull', '-q', PLAIN, `docker://${ref}`), id);
});

test('buildah pushes a second tag and a zstd-compressed copy of the same image', async () => {
  await login(await makeToken(suite.lading, 'rw'));
  const ref = suite.ref('bah/zstd:v1');
  const id = await build(ref);
  await buildah('push', '-q', PLAIN, ref, `docker://${ref}`);
  const zstd = suite.ref('bah/zstd:zstd');
  await buildah('push', '-q', PLAIN, '--format', 'oci', '--compression-format', 'zstd', ref, `docker://${zstd}`);
  await buildah('rmi', ref);
  await buildah('pull', '-q', PLAIN, `docker://${zstd}`);
  assert.equal(await buildah('pull', '-q', PLAIN, `docker://${ref}`), id);
});

test('buildah is refused without login', async () => {
  const ref = suite.ref('bah/anonymous:v1');
  await build(ref);
  await suite.bench.run('buildah', ['logout', '--all']);
  const answer = await suite.bench.refused('buildah', [...storage(), 'push', PLAIN, ref, `docker://${ref}`]);
  assert.match(answer, /denied|unauthorized|authentication required/i);
});
