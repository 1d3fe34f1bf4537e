import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeImage, makeIndex, writeLayout } from './image.ts';
import { digestOf, makePublicRegistry, makeToken, useLading } from './suite.ts';

const suite = useLading(({ bench, lading }) =>
  bench.run('regctl', ['registry', 'set', '--skip-check', '--tls', 'disabled', lading.host]),
);

const regctl = (...args: string[]) => suite.bench.run('regctl', args);
const login = (secret: string) =>
  suite.bench.run('regctl', ['registry', 'login', '--pass-stdin', '-u', 'anyone', suite.lading.host], {
    input: secret,
  });

test('regctl copies an index in and reads manifest, blob and tags back', async () => {
  const { bench, lading } = suite;
  await login(lading.key);
  const images = ['amd64', 'arm64'].map((architecture) => makeImage({ architecture }));
  const index = makeIndex(images);
  await writeLayout(join(bench.dir, 'many'), 'v1', images, index);
  await regctl('image', 'copy', `ocidir://${join(bench.dir, 'many')}:v1`, suite.ref('rc/many:v1'));
  assert.equal(await digestOf(lading, 'default/rc/many', 'v1'), index.digest);
  assert.equal(
    await regctl('manifest', 'get', '--format', 'raw-body', suite.ref('rc/many:v1')),
    index.bytes.toString(),
  );
  assert.equal(await regctl('tag', 'ls', suite.ref('rc/many')), 'v1');
  assert.equal(
    await regctl('blob', 'get', suite.ref('rc/many'), images[0]!.config.digest),
    images[0]!.config.bytes.toString(),
  );
});

test('regctl copies between repositories and the copy lives on when the first is deleted', async () => {
  const { bench, lading } = suite;
  await login(await makeToken(lading, 'rw'));
  const image = makeImage();
  await writeLayout(join(bench.dir, 'copy'), 'v1', [image]);
  await regctl('image', 'copy', `ocidir://${join(bench.dir, 'copy')}:v1`, suite.ref('rc/from:v1'));
  await regctl('image', 'copy', suite.ref('rc/from:v1'), suite.ref('rc/to:v1'));
  await regctl('manifest', 'delete', `${suite.ref('rc/from')}@${image.manifest.digest}`);
  await regctl('image', 'copy', suite.ref('rc/to:v1'), `ocidir://${join(bench.dir, 'copy-back')}:v1`);
});

test('regctl attaches an artifact to an image, lists it and deletes a single tag', async () => {
  const { bench, lading } = suite;
  await login(lading.key);
  await writeLayout(join(bench.dir, 'subject'), 'v1', [makeImage()]);
  const ref = suite.ref('rc/subject:v1');
  await regctl('image', 'copy', `ocidir://${join(bench.dir, 'subject')}:v1`, ref);
  await bench.run(
    'regctl',
    [
      'artifact',
      'put',
      '--subject',
      ref,
      '--artifact-type',
      'application/vnd.lading.note',
      '--file-media-type',
      'text/plain',
    ],
    { input: 'a note' },
  );
  const list = JSON.parse(await regctl('artifact', 'list', '--format', '{{json .}}', ref));
  const descriptors = list.descriptors ?? list.Descriptors;
  assert.equal(descriptors.length, 1);
  assert.equal(await regctl('artifact', 'get', '--subject', ref), 'a note');

  await regctl('image', 'copy', ref, suite.ref('rc/subject:v2'));
  await regctl('tag', 'delete', suite.ref('rc/subject:v2'));
  assert.equal(await regctl('tag', 'ls', suite.ref('rc/subject')), 'v1');
});

test('regctl is refused with a wrong password, and pulls from a public registry without one', async () => {
  const { bench, lading } = suite;
  await makePublicRegistry(lading, 'open');
  await login(lading.key);
  await writeLayout(join(bench.dir, 'open'), 'v1', [makeImage()]);
  await regctl('image', 'copy', `ocidir://${join(bench.dir, 'open')}:v1`, suite.ref('app:v1', 'open'));
  await regctl('registry', 'logout', lading.host);
  await regctl('image', 'copy', suite.ref('app:v1', 'open'), `ocidir://${join(bench.dir, 'open-back')}:v1`);
  assert.match(await bench.refused('regctl', ['tag', 'ls', suite.ref('rc/subject')]), /unauthorized|40[13]/i);
  await bench.refused('regctl', ['registry', 'login', '--pass-stdin', '-u', 'anyone', lading.host], {
    input: 'no such secret',
  });
});
