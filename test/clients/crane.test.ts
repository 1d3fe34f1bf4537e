import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeImage, makeIndex, makeTar, writeLayout } from './image.ts';
import { digestOf, makePublicRegistry, makeToken, useLading } from './suite.ts';

const suite = useLading();

const crane = (...args: string[]) => suite.bench.run('crane', args);
const login = (secret: string) =>
  suite.bench.run('crane', ['auth', 'login', suite.lading.host, '-u', 'anyone', '--password-stdin'], { input: secret });

async function writeLayer(): Promise<string> {
  const path = join(suite.bench.dir, `${randomBytes(6).toString('hex')}.tar`);
  await writeFile(path, makeTar({ payload: randomBytes(400_000) }));
  return path;
}

test('crane appends a layer, and the image validates and comes back in every form', async () => {
  await login(suite.lading.key);
  const ref = suite.ref('cr/app:v1');
  await crane('append', '-f', await writeLayer(), '-t', ref);
  assert.equal(await crane('digest', ref), await digestOf(suite.lading, 'default/cr/app', 'v1'));
  await crane('validate', '--remote', ref);
  for (const format of ['tarball', 'oci']) {
    const path = join(suite.bench.dir, format);
    await crane('pull', '--format', format, ref, path);
    await crane('push', path, suite.ref(`cr/again:${format}`));
  }
  assert.equal(await crane('digest', suite.ref('cr/again:oci')), await crane('digest', ref));
});

test('crane appends to an image that is there, changes its configuration and tags it anew', async () => {
  await login(suite.lading.key);
  const ref = suite.ref('cr/base:v1');
  await crane('append', '-f', await writeLayer(), '-t', ref);
  await crane('append', '-b', ref, '-f', await writeLayer(), '-t', suite.ref('cr/base:v2'));
  assert.equal(JSON.parse(await crane('manifest', suite.ref('cr/base:v2'))).layers.length, 2);
  await crane('mutate', suite.ref('cr/base:v2'), '--label', 'made-by=lading', '-t', suite.ref('cr/base:v3'));
  assert.equal(JSON.parse(await crane('config', suite.ref('cr/base:v3'))).config.Labels['made-by'], 'lading');
  await crane('tag', suite.ref('cr/base:v3'), 'newest');
  assert.deepEqual((await crane('ls', suite.ref('cr/base'))).split('\n'), ['newest', 'v1', 'v2', 'v3']);
});

test('crane copies an image to another repository and deletes it there; the first one stays', async () => {
  await login(suite.lading.key);
  const [from, to] = [suite.ref('cr/from:v1'), suite.ref('cr/to:v1')];
  await crane('append', '-f', await writeLayer(), '-t', from);
  await crane('copy', from, to);
  const digest = await crane('digest', to);
  await crane('delete', `${suite.ref('cr/to')}@${digest}`);
  assert.match(await suite.bench.refused('crane', ['digest', to]), /404|MANIFEST_UNKNOWN/);
  await crane('validate', '--remote', from);
});

test('crane makes an index of two images and pulls one of them by platform', async () => {
  const { bench, lading } = suite;
  await login(lading.key);
  const images = ['amd64', 'arm64'].map((architecture) => makeImage({ architecture }));
  for (const image of images) {
    await writeLayout(join(bench.dir, image.architecture), 'v1', [image]);
    await crane('push', join(bench.dir, image.architecture), suite.ref(`cr/index:${image.architecture}`));
  }
  const index = suite.ref('cr/index:all');
  const members = images.flatMap((image) => ['-m', suite.ref(`cr/index:${image.architecture}`)]);
  await crane('index', 'append', ...members, '-t', index);
  assert.equal(await crane('digest', '--platform', 'linux/arm64', index), images[1]?.manifest.digest);
  await crane('validate', '--remote', index);
});

test('crane pushes a whole layout with an index', async () => {
  const { bench, lading } = suite;
  await login(lading.key);
  const images = ['amd64', 'arm64'].map((architecture) => makeImage({ architecture }));
  const index = makeIndex(images);
  await writeLayout(join(bench.dir, 'layout'), 'v1', images, index);
  await crane('push', '--index', join(bench.dir, 'layout'), suite.ref('cr/layout:v1'));
  for (const image of images) {
    assert.equal(
      await crane('manifest', `${suite.ref('cr/layout')}@${image.manifest.digest}`),
      image.manifest.bytes.toString(),
    );
  }
});

test('the catalog names the repositories that the caller may pull', async () => {
  await login(suite.lading.key);
  await crane('append', '-f', await writeLayer(), '-t', suite.ref('cr/catalog:v1'));
  assert.ok((await crane('catalog', suite.lading.host)).split('\n').includes('default/cr/catalog'));
});

test('a wrong password and a read-only token are refused in words', async () => {
  const layer = await writeLayer();
  await login('no such secret');
  assert.match(
    await suite.bench.refused('crane', ['append', '-f', layer, '-t', suite.ref('cr/no:v1')]),
    /UNAUTHORIZED|401/,
  );
  await login(await makeToken(suite.lading, 'ro'));
  assert.match(
    await suite.bench.refused('crane', ['append', '-f', layer, '-t', suite.ref('cr/no:v1')]),
    /DENIED|UNAUTHORIZED|40[13]/,
  );
});

test('a registry that does not exist is named in the refusal, with the way to make it', async () => {
  await login(suite.lading.key);
  const answer = await suite.bench.refused('crane', [
    'append',
    '-f',
    await writeLayer(),
    '-t',
    suite.ref('app:v1', 'not-made'),
  ]);
  assert.match(answer, /NAME_UNKNOWN/);
  assert.match(answer, /not-made/);
});

test('crane pulls from a public registry without login', async () => {
  await makePublicRegistry(suite.lading, 'open');
  await login(await makeToken(suite.lading, 'rw'));
  const ref = suite.ref('app:v1', 'open');
  await crane('append', '-f', await writeLayer(), '-t', ref);
  await crane('auth', 'logout', suite.lading.host);
  await crane('validate', '--remote', ref);
  assert.match(await suite.bench.refused('crane', ['tag', ref, 'v2']), /UNAUTHORIZED|DENIED|40[13]/);
});
