import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeImage, makeIndex, writeLayout } from './image.ts';
import { digestOf, makePublicRegistry, makeToken, useLading } from './suite.ts';

const suite = useLading();

const target = (name: string) => `docker://${suite.ref(name)}`;
const login = (secret: string) =>
  suite.bench.run('skopeo', ['login', '--tls-verify=false', '-u', 'anyone', '--password-stdin', suite.lading.host], {
    input: secret,
  });

test('skopeo copies an image in and out again byte for byte', async () => {
  const { bench, lading } = suite;
  const image = makeImage({ layers: 3 });
  await writeLayout(join(bench.dir, 'one'), 'v1', [image]);
  await login(lading.key);
  await bench.run('skopeo', [
    'copy',
    '--dest-tls-verify=false',
    `oci:${join(bench.dir, 'one')}:v1`,
    target('sk/app:v1'),
  ]);
  assert.equal(await digestOf(lading, 'default/sk/app', 'v1'), image.manifest.digest);

  const back = join(bench.dir, 'one-back');
  await bench.run('skopeo', ['copy', '--src-tls-verify=false', target('sk/app:v1'), `dir:${back}`]);
  assert.deepEqual(await readFile(join(back, 'manifest.json')), image.manifest.bytes);
  for (const { digest, bytes } of [image.config, ...image.layers]) {
    assert.deepEqual(await readFile(join(back, digest.slice(7))), bytes);
  }
});

test('skopeo copies a multi-architecture index whole', async () => {
  const { bench, lading } = suite;
  const images = ['amd64', 'arm64', 's390x'].map((architecture) => makeImage({ architecture }));
  const index = makeIndex(images);
  await writeLayout(join(bench.dir, 'many'), 'v1', images, index);
  await login(lading.key);
  await bench.run('skopeo', [
    'copy',
    '--all',
    '--dest-tls-verify=false',
    `oci:${join(bench.dir, 'many')}:v1`,
    target('sk/many:v1'),
  ]);
  assert.equal(await digestOf(lading, 'default/sk/many', 'v1'), index.digest);
  const raw = await bench.run('skopeo', ['inspect', '--raw', '--tls-verify=false', target('sk/many:v1')]);
  assert.equal(raw, index.bytes.toString());
  const arm = await bench.run('skopeo', [
    'inspect',
    '--tls-verify=false',
    '--override-arch',
    'arm64',
    target('sk/many:v1'),
  ]);
  assert.equal(JSON.parse(arm).Architecture, 'arm64');
});

test('skopeo copies between two repositories of the server', async () => {
  const { bench, lading } = suite;
  const image = makeImage();
  await writeLayout(join(bench.dir, 'mount'), 'v1', [image]);
  await login(lading.key);
  await bench.run('skopeo', [
    'copy',
    '--dest-tls-verify=false',
    `oci:${join(bench.dir, 'mount')}:v1`,
    target('sk/from:v1'),
  ]);
  await bench.run('skopeo', [
    'copy',
    '--src-tls-verify=false',
    '--dest-tls-verify=false',
    target('sk/from:v1'),
    target('sk/to:v1'),
  ]);
  assert.equal(await digestOf(lading, 'default/sk/to', 'v1'), image.manifest.digest);
});

test('skopeo lists tags in byte order and a deleted image is gone with its tags', async () => {
  const { bench, lading } = suite;
  const image = makeImage();
  await writeLayout(join(bench.dir, 'tags'), 'v1', [image]);
  await login(lading.key);
  for (const tag of ['v2', 'V10', '1.0', '_x']) {
    await bench.run('skopeo', [
      'copy',
      '--dest-tls-verify=false',
      `oci:${join(bench.dir, 'tags')}:v1`,
      target(`sk/tags:${tag}`),
    ]);
  }
  const listed = JSON.parse(await bench.run('skopeo', ['list-tags', '--tls-verify=false', target('sk/tags')]));
  assert.deepEqual(listed.Tags, ['1.0', 'V10', '_x', 'v2']);

  await bench.run('skopeo', ['delete', '--tls-verify=false', target('sk/tags:v2')]);
  const answer = await bench.refused('skopeo', ['inspect', '--tls-verify=false', target('sk/tags:1.0')]);
  assert.match(answer, /manifest unknown|MANIFEST_UNKNOWN/i);
});

test('a read-only token pulls and cannot push; a read-write token pushes', async () => {
  const { bench, lading } = suite;
  const image = makeImage();
  await writeLayout(join(bench.dir, 'token'), 'v1', [image]);
  const source = `oci:${join(bench.dir, 'token')}:v1`;
  await login(await makeToken(lading, 'rw'));
  await bench.run('skopeo', ['copy', '--dest-tls-verify=false', source, target('sk/token:v1')]);
  await login(await makeToken(lading, 'ro'));
  await bench.run('skopeo', ['inspect', '--tls-verify=false', target('sk/token:v1')]);
  const answer = await bench.refused('skopeo', ['copy', '--dest-tls-verify=false', source, target('sk/token:v2')]);
  assert.match(answer, /denied|unauthorized/i);
});

test('a wrong password is refused at login, and without login a private image is not readable', async () => {
  const { bench, lading } = suite;
  const answer = await bench.refused('skopeo', [
    'login',
    '--tls-verify=false',
    '-u',
    'anyone',
    '-p',
    'wrong-password',
    lading.host,
  ]);
  assert.match(answer, /invalid username\/password|unauthorized/i);
  const anonymous = await bench.refused('skopeo', ['inspect', '--no-creds', '--tls-verify=false', target('sk/app:v1')]);
  assert.match(anonymous, /denied|unauthorized|authentication required/i);
});

test('anyone pulls from a public registry, nobody pushes to it without login', async () => {
  const { bench, lading } = suite;
  const image = makeImage();
  await writeLayout(join(bench.dir, 'public'), 'v1', [image]);
  const source = `oci:${join(bench.dir, 'public')}:v1`;
  await makePublicRegistry(lading, 'open');
  const open = `docker://${suite.ref('app:v1', 'open')}`;
  await login(lading.key);
  await bench.run('skopeo', ['copy', '--dest-tls-verify=false', source, open]);
  const raw = await bench.run('skopeo', ['inspect', '--raw', '--no-creds', '--tls-verify=false', open]);
  assert.equal(raw, image.manifest.bytes.toString());
  await bench.refused('skopeo', ['copy', '--dest-no-creds', '--dest-tls-verify=false', source, `${open}2`]);
});
