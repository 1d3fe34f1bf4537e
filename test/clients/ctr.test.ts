import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type Containerd, startContainerd } from '../servers/containerd.ts';
import { type Image, makeImage, makeIndex, writeLayout } from './image.ts';
import { digestOf, makePublicRegistry, makeToken, useLading } from './suite.ts';

let containerd: Containerd;
const suite = useLading(async () => {
  containerd = await startContainerd();
});
after(() => containerd?.stop());

const settings = () => ['--address', containerd.address];
const ctr = (...args: string[]) => suite.bench.run('ctr', [...settings(), ...args]);
const as = (secret: string) => ['--plain-http', '--user', `anyone:${secret}`];

/** Puts images into containerd's own store under the name; nothing goes over the network. */
async function load(ref: string, images: Image[], index = makeIndex(images)): Promise<string> {
  const directory = join(suite.bench.dir, index.digest.slice(7, 19));
  const tag = ref.slice(ref.lastIndexOf(':') + 1);
  await writeLayout(directory, tag, images, index);
  await suite.bench.run('tar', ['-cf', `${directory}.tar`, '-C', directory, '.']);
  await ctr(
    'images',
    'import',
    '--all-platforms',
    '--no-unpack',
    '--base-name',
    ref.slice(0, ref.lastIndexOf(':')),
    `${directory}.tar`,
  );
  return index.digest;
}

test('containerd pushes an index with two images and pulls it back', async () => {
  const { lading } = suite;
  const ref = suite.ref('ct/many:v1');
  const digest = await load(ref, [makeImage(), makeImage({ architecture: 'arm64' })]);
  await ctr('images', 'push', ...as(lading.key), ref);
  assert.equal(await digestOf(lading, 'default/ct/many', 'v1'), digest);
  await ctr('images', 'rm', '--sync', ref);
  await ctr('images', 'pull', ...as(lading.key), '--all-platforms', '--snapshotter', 'native', ref);
  assert.match(await ctr('images', 'ls'), new RegExp(`${ref}.*${digest}`));
});

test('containerd fetches content with a token, and what it fetched has the bytes that were pushed', async () => {
  const { lading } = suite;
  const ref = suite.ref('ct/content:v1');
  const image = makeImage({ layers: 3 });
  await load(ref, [image]);
  await ctr('images', 'push', ...as(await makeToken(lading, 'rw')), ref);
  await ctr('images', 'rm', '--sync', ref);
  await ctr('content', 'fetch', ...as(await makeToken(lading, 'ro')), '--all-platforms', ref);
  assert.equal(await ctr('content', 'get', image.manifest.digest), image.manifest.bytes.toString());
});

test('containerd pushes layers that another repository has without trouble', async () => {
  const { lading } = suite;
  const image = makeImage();
  const [first, second] = [suite.ref('ct/from:v1'), suite.ref('ct/to:v1')];
  const digest = await load(first, [image]);
  await ctr('images', 'push', ...as(lading.key), first);
  await ctr('images', 'pull', ...as(lading.key), '--all-platforms', '--snapshotter', 'native', first);
  await ctr('images', 'tag', first, second);
  await ctr('images', 'push', ...as(lading.key), second);
  assert.equal(await digestOf(lading, 'default/ct/to', 'v1'), digest);
});

test('containerd pulls from a public registry without credentials', async () => {
  const { lading } = suite;
  await makePublicRegistry(lading, 'open');
  const ref = suite.ref('app:v1', 'open');
  await load(ref, [makeImage()]);
  await ctr('images', 'push', ...as(lading.key), ref);
  await ctr('images', 'rm', '--sync', ref);
  await ctr('images', 'pull', '--plain-http', '--all-platforms', '--snapshotter', 'native', ref);
});

test('containerd is refused with a wrong password and with a read-only token', async () => {
  const { bench, lading } = suite;
  const ref = suite.ref('ct/no:v1');
  await load(ref, [makeImage()]);
  for (const secret of ['no such secret', await makeToken(lading, 'ro')]) {
    const answer = await bench.refused('ctr', [...settings(), 'images', 'push', ...as(secret), ref]);
    assert.match(answer, /40[13]|denied|unauthorized|authorization failed|insufficient_scope/i);
  }
});
