import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { sha256 } from './image.ts';
import { digestOf, makeToken, useLading } from './suite.ts';

const suite = useLading();

const oras = (...args: string[]) => suite.bench.run('oras', [...args, '--plain-http']);
const login = (secret: string) =>
  suite.bench.run('oras', ['login', '--plain-http', '-u', 'anyone', '--password-stdin', suite.lading.host], {
    input: secret,
  });

/** A file in the bench's directory; oras wants names relative to where it stands. */
async function writeFileOf(name: string, bytes = randomBytes(70_000)): Promise<Buffer> {
  await writeFile(join(suite.bench.dir, name), bytes);
  return bytes;
}

test('oras pushes files as an artifact and pulls the same bytes', async () => {
  await login(suite.lading.key);
  const ref = suite.ref('or/files:v1');
  const [a, b] = [await writeFileOf('a.bin'), await writeFileOf('b.txt', Buffer.from('two\n'))];
  await oras(
    'push',
    '--artifact-type',
    'application/vnd.lading.test',
    ref,
    'a.bin:application/x-binary',
    'b.txt:text/plain',
  );
  await oras('pull', '-o', join(suite.bench.dir, 'pulled'), ref);
  assert.deepEqual(await readFile(join(suite.bench.dir, 'pulled/a.bin')), a);
  assert.deepEqual(await readFile(join(suite.bench.dir, 'pulled/b.txt')), b);
});

test('what oras attaches is found by discover, filtered by its type, and gone when deleted', async () => {
  await login(suite.lading.key);
  const ref = suite.ref('or/subject:v1');
  await writeFileOf('subject.bin');
  await oras('push', '--artifact-type', 'application/vnd.lading.test', ref, 'subject.bin');
  for (const type of ['application/vnd.lading.sbom+json', 'application/vnd.lading.signature']) {
    await writeFileOf('attached.bin');
    await oras('attach', '--artifact-type', type, '--annotation', `of=${type}`, ref, 'attached.bin');
  }
  const found = JSON.parse(await oras('discover', '--format', 'json', ref)).referrers;
  assert.deepEqual(found.map((one: { artifactType: string }) => one.artifactType).sort(), [
    'application/vnd.lading.sbom+json',
    'application/vnd.lading.signature',
  ]);
  const filtered = JSON.parse(
    await oras('discover', '--format', 'json', '--artifact-type', 'application/vnd.lading.sbom+json', ref),
  ).referrers;
  assert.equal(filtered.length, 1);
  assert.equal(filtered[0].annotations.of, 'application/vnd.lading.sbom+json');
  // The fallback tag is what clients write where a registry does not keep referrers itself.
  assert.deepEqual((await oras('repo', 'tags', suite.ref('or/subject'))).split('\n'), ['v1']);

  await oras('manifest', 'delete', '-f', `${suite.ref('or/subject')}@${filtered[0].digest}`);
  assert.equal(JSON.parse(await oras('discover', '--format', 'json', ref)).referrers.length, 1);
});

test('oras copies an artifact with all that is attached to it', async () => {
  await login(suite.lading.key);
  const [from, to] = [suite.ref('or/from:v1'), suite.ref('or/to:v1')];
  await writeFileOf('copied.bin');
  await oras('push', '--artifact-type', 'application/vnd.lading.test', from, 'copied.bin');
  await writeFileOf('note.bin');
  await oras('attach', '--artifact-type', 'application/vnd.lading.note', from, 'note.bin');
  await suite.bench.run('oras', ['cp', '-r', '--from-plain-http', '--to-plain-http', from, to]);
  assert.equal(JSON.parse(await oras('discover', '--format', 'json', to)).referrers.length, 1);
  assert.equal(
    await digestOf(suite.lading, 'default/or/to', 'v1'),
    await digestOf(suite.lading, 'default/or/from', 'v1'),
  );
});

test('oras pushes, fetches and deletes a single blob and a single manifest', async () => {
  await login(suite.lading.key);
  const bytes = await writeFileOf('blob.bin');
  const blob = `${suite.ref('or/blob')}@${sha256(bytes)}`;
  await oras('blob', 'push', suite.ref('or/blob'), 'blob.bin');
  await oras('blob', 'fetch', '--output', join(suite.bench.dir, 'blob-back.bin'), blob);
  assert.deepEqual(await readFile(join(suite.bench.dir, 'blob-back.bin')), bytes);
  await oras('blob', 'delete', '-f', blob);
  assert.match(
    await suite.bench.refused('oras', ['blob', 'fetch', '--plain-http', '--output', '-', blob]),
    /not found|404/i,
  );
});

test('oras makes an index and resolves it', async () => {
  await login(suite.lading.key);
  for (const tag of ['one', 'two']) {
    await writeFileOf(`${tag}.bin`);
    await oras('push', '--artifact-type', 'application/vnd.lading.test', suite.ref(`or/index:${tag}`), `${tag}.bin`);
  }
  await oras('manifest', 'index', 'create', suite.ref('or/index:all'), 'one', 'two');
  const index = JSON.parse(await oras('manifest', 'fetch', suite.ref('or/index:all')));
  assert.equal(index.manifests.length, 2);
  assert.equal(
    await oras('resolve', suite.ref('or/index:all')),
    await digestOf(suite.lading, 'default/or/index', 'all'),
  );
});

test('a wrong password is refused at login and a read-only token at push', async () => {
  const { bench, lading } = suite;
  const wrong = await bench.refused(
    'oras',
    ['login', '--plain-http', '-u', 'anyone', '--password-stdin', lading.host],
    { input: 'no such secret' },
  );
  assert.match(wrong, /401|unauthorized/i);
  await login(await makeToken(lading, 'ro'));
  await writeFileOf('refused.bin');
  assert.match(
    await bench.refused('oras', ['push', '--plain-http', suite.ref('or/no:v1'), 'refused.bin']),
    /40[13]|denied|unauthorized/i,
  );
});
