import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Answer, type Ask, imageType, pushBlob } from '#test/oci-client.ts';
import {
  assertHeaders,
  describe,
  errorsOf,
  imageOf,
  indexOf,
  indexType,
  layerType,
  openRegistry,
  outcomeOf,
  pushManifest,
  putManifest,
  sha256,
} from '#test/registry-client.ts';

// What a manifest names: what must be there, what need not, and how much of it there may be.

const pushBlobs = async (ask: Ask, repository: string, ...texts: string[]) => {
  for (const text of texts) await pushBlob(ask, repository, text);
};

function assertStored(answer: Answer, repository: string, digest: string): void {
  assert.equal(answer.status, 201, answer.text);
  assert.equal(answer.text, '');
  assertHeaders(answer, {
    Location: new RegExp(`^/v2/${repository}/manifests/[^/]+$`),
    'Docker-Content-Digest': digest,
    'Content-Length': '0',
    'Docker-Distribution-Api-Version': 'registry/2.0',
  });
}

// Edge case 23.
test('each blob that is missing is named, once, as MANIFEST_BLOB_UNKNOWN', async (t) => {
  const { owner } = await openRegistry(t);
  await pushBlobs(owner, 'acme/app', 'here');
  await pushBlobs(owner, 'acme/elsewhere', '{}', 'a', 'b');
  const text = imageOf(['a', 'here', 'b', 'a']);
  const answer = await putManifest(owner, 'acme/app', 'v1', text);
  assert.equal(answer.status, 400);
  assert.deepEqual(
    errorsOf(answer).map(({ code, detail }) => [code, detail?.digest]),
    ['{}', 'a', 'b'].map((missing) => ['MANIFEST_BLOB_UNKNOWN', sha256(missing)]),
  );
  assert.equal((await owner('GET', '/v2/acme/app/manifests/v1')).status, 404);
  assert.equal((await owner('GET', `/v2/acme/app/manifests/${sha256(text)}`)).status, 404);
});

test('an index needs its children, as manifests or, like buildkit’s cache, as blobs', async (t) => {
  const { owner } = await openRegistry(t);
  await pushBlobs(owner, 'acme/app', '{}', 'cached layer', 'cache config');
  const child = imageOf([]);
  const described = describe(child, imageType);
  const missing = await putManifest(owner, 'acme/app', 'v1', indexOf([described]), indexType);
  assert.deepEqual(
    errorsOf(missing).map(({ code, detail }) => [code, detail?.digest]),
    [['MANIFEST_BLOB_UNKNOWN', sha256(child)]],
  );
  await pushManifest(owner, 'acme/app', sha256(child), child);
  const platform = { os: 'linux', architecture: 'amd64' };
  await pushManifest(owner, 'acme/app', 'v1', indexOf([{ ...described, platform } as never]), indexType);
  const cache = indexOf([
    describe('cached layer', layerType),
    describe('cache config', 'application/vnd.buildkit.cacheconfig.v0'),
  ]);
  await pushManifest(owner, 'acme/app', 'cache', cache, indexType);
  assert.equal(outcomeOf(await owner('DELETE', `/v2/acme/app/blobs/${sha256('cached layer')}`)), '405 UNSUPPORTED');
  await pushManifest(
    owner,
    'acme/app',
    'nested',
    indexOf([describe(indexOf([described]), indexType)].slice(1)),
    indexType,
  );
  await pushManifest(owner, 'acme/app', 'empty', indexOf([]), indexType);
});

test('a subject need not be there: 201 with OCI-Subject, for images and indexes', async (t) => {
  const { owner } = await openRegistry(t);
  await pushBlobs(owner, 'acme/app', '{}');
  const subject = describe('not pushed', imageType);
  for (const [text, type] of [
    [imageOf([], { subject }), imageType],
    [indexOf([], { subject }), indexType],
  ] as const) {
    const answer = await putManifest(owner, 'acme/app', sha256(text), text, type);
    assertStored(answer, 'acme/app', sha256(text));
    assertHeaders(answer, { 'OCI-Subject': subject.digest, 'OCI-Tag': undefined });
  }
  const plain = await putManifest(owner, 'acme/app', 'v1', imageOf([]));
  assertHeaders(plain, { 'OCI-Subject': undefined, 'OCI-Tag': undefined });
});

test('layers that are fetched elsewhere need not be here, with or without URLs', async (t) => {
  const { owner } = await openRegistry(t);
  await pushBlobs(owner, 'acme/app', '{}');
  const types = ['tar', 'tar+gzip', 'tar+zstd'].map(
    (kind) => `application/vnd.oci.image.layer.nondistributable.v1.${kind}`,
  );
  for (const [i, type] of [...types, 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip'].entries()) {
    const layer = describe(`foreign ${i}`, type);
    await pushManifest(owner, 'acme/app', `f${i}`, imageOf([], { layers: [layer] }));
    await pushManifest(
      owner,
      'acme/app',
      `u${i}`,
      imageOf([], { layers: [{ ...layer, urls: ['https://example.com/x'] }] }),
    );
  }
});

test('the artifact manifest that OCI once had is kept as it is', async (t) => {
  const { owner } = await openRegistry(t);
  const type = 'application/vnd.oci.artifact.manifest.v1+json';
  const text = JSON.stringify({ mediaType: type, artifactType: 'a/b', blobs: [describe('blob', 'x/y')] });
  assert.equal(outcomeOf(await putManifest(owner, 'acme/app', 'old', text, type)), '400 MANIFEST_BLOB_UNKNOWN');
  await pushBlob(owner, 'acme/app', 'blob');
  await pushManifest(owner, 'acme/app', 'old', text, type);
  const get = await owner('GET', '/v2/acme/app/manifests/old');
  assert.equal(get.text, text);
  assertHeaders(get, { 'Content-Type': type });
});

// What Postgres refuses to keep must be refused before it: on SQLite none of these would be noticed.
test('text that a database cannot keep is refused in a manifest and ignored in a config', async (t) => {
  const { owner } = await openRegistry(t);
  await pushBlobs(owner, 'acme/app', '{}');
  for (const fields of [
    { artifactType: 'a\0b' },
    { config: { ...describe('{}'), mediaType: 'a\0b' } },
    {
      subject: {
        ...describe('x'),
        digest: `x:${Array.from({ length: 900 }, (_, i) => sha256(`${i}`))
          .join('')
          .replaceAll(':', '')}`,
      },
    },
    { annotations: { a: 1 } },
  ]) {
    assert.equal(outcomeOf(await putManifest(owner, 'acme/app', 'v1', imageOf([], fields))), '400 MANIFEST_INVALID');
  }
  await pushManifest(owner, 'acme/app', 'v1', imageOf([], { annotations: { 'a\0b': 'c\0d', '\ud800': '\udfff' } }));
  const config = JSON.stringify({ os: 'li\0nux', architecture: '\ud800', created: '9999999-01-01', rootfs: {} });
  await pushBlob(owner, 'acme/app', config);
  const described = describe(config, 'application/vnd.oci.image.config.v1+json');
  await pushManifest(owner, 'acme/app', 'v2', imageOf([], { config: described }));
  const strange = [
    'not json',
    '[]',
    `{"os":${'['.repeat(100_000)}`,
    JSON.stringify({ os: 'x'.repeat(5000), created: 5 }),
  ];
  for (const text of strange) {
    await pushBlob(owner, 'acme/app', text);
    await pushManifest(
      owner,
      'acme/app',
      'v3',
      imageOf([], { config: { ...described, ...describe(text, described.mediaType) } }),
    );
  }
  const huge = Array.from({ length: 1100 }, (_, i) => ({
    ...describe(`${i}`, 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip'),
    size: Number.MAX_SAFE_INTEGER,
  }));
  await pushManifest(owner, 'acme/app', 'v4', imageOf([], { layers: huge }));
});

// Security test 2. What would break without this: one push would hold up every other one.
test('a manifest of a hundred thousand descriptors is decided within seconds', async (t) => {
  const { owner } = await openRegistry(t);
  await pushBlobs(owner, 'acme/app', '{}');
  const entries = Array.from({ length: 95_000 }, (_, i) => `{"mediaType":"","digest":"a:${i.toString(36)}","size":0}`);
  const manifest = imageOf([]).replace('"layers":[]', `"layers":[${entries.join()}]`);
  const index = `{"schemaVersion":2,"manifests":[${entries.join()}]}`;
  const same = imageOf([]).replace('"layers":[]', `"layers":[${Array(95_000).fill(entries[0]).join()}]`);
  for (const [text, type] of [
    [manifest, imageType],
    [index, indexType],
    [same, imageType],
  ] as const) {
    assert.ok(text.length > 3_800_000 && text.length <= 4_194_304, `${text.length}`);
    const started = performance.now();
    const answer = await putManifest(owner, 'acme/app', 'v1', text, type);
    assert.equal(outcomeOf(answer), '400 MANIFEST_BLOB_UNKNOWN');
    assert.ok(performance.now() - started < 10_000, `${performance.now() - started} ms`);
    assert.ok(answer.bytes.length < 4 * 2 ** 20, 'the answer is no larger than the question');
  }
});

test('an image of thousands of foreign layers is stored, and read at once', async (t) => {
  const { owner } = await openRegistry(t);
  await pushBlobs(owner, 'acme/app', '{}');
  const type = 'application/vnd.oci.image.layer.nondistributable.v1.tar';
  const layers = Array.from({ length: 20_000 }, (_, i) => ({ mediaType: type, digest: sha256(`${i}`), size: i }));
  const started = performance.now();
  const text = imageOf([], { layers });
  await pushManifest(owner, 'acme/app', 'v1', text);
  assert.equal((await owner('GET', '/v2/acme/app/manifests/v1')).text, text);
  assert.equal((await owner('DELETE', `/v2/acme/app/manifests/${sha256(text)}`)).status, 202);
  assert.ok(performance.now() - started < 15_000);
});
