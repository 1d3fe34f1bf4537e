import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { Failure } from './failure.ts';
import {
  effectiveArtifactType,
  hasImageConfig,
  imageSize,
  parseManifest,
  referencedDigests,
  requiredBlobs,
} from './manifest-document.ts';

const ociManifest = 'application/vnd.oci.image.manifest.v1+json';
const ociIndex = 'application/vnd.oci.image.index.v1+json';
const dockerManifest = 'application/vnd.docker.distribution.manifest.v2+json';
const dockerList = 'application/vnd.docker.distribution.manifest.list.v2+json';
const artifactManifest = 'application/vnd.oci.artifact.manifest.v1+json';
const emptyType = 'application/vnd.oci.empty.v1+json';
const layerType = 'application/vnd.oci.image.layer.v1.tar+gzip';

const digest = (text: string) => `sha256:${createHash('sha256').update(text).digest('hex')}`;
const config = { mediaType: emptyType, digest: digest('config'), size: 2 };
const layer = (text: string) => ({ mediaType: layerType, digest: digest(text), size: text.length });
const image = { schemaVersion: 2, config, layers: [layer('a'), layer('b')] };
const index = { schemaVersion: 2, manifests: [{ ...layer('m'), mediaType: ociManifest }] };

const parse = (document: unknown, contentType = '') =>
  parseManifest(Buffer.from(typeof document === 'string' ? document : JSON.stringify(document)), contentType);
const isRefusal = (error: unknown) =>
  error instanceof Failure && error.reason === 'invalid' && error.detail.about === 'manifest';
const assertRefused = (document: unknown, contentType = '') =>
  assert.throws(() => parse(document, contentType), isRefusal, `${contentType} ${JSON.stringify(document)}`);

// Contract 1.5, PUT 2: old docker and helm leave mediaType out, some clients send the type of any JSON.
test('the type is what Content-Type and mediaType say, else what the shape says', () => {
  const table: [unknown, string, string][] = [
    [image, '', ociManifest],
    [index, '', ociIndex],
    [{ ...index, manifests: [] }, '', ociIndex],
    [image, 'application/json', ociManifest],
    [index, 'application/octet-stream', ociIndex],
    [image, ociManifest, ociManifest],
    [image, dockerManifest, dockerManifest],
    [index, dockerList, dockerList],
    [image, `${ociManifest}; charset=utf-8`, ociManifest],
    [image, `  ${ociManifest.toUpperCase()} ;x=y`, ociManifest],
    [{ ...image, mediaType: dockerManifest }, '', dockerManifest],
    [{ ...image, mediaType: dockerManifest }, 'application/json; charset=utf-8', dockerManifest],
    [{ ...image, mediaType: ociManifest }, ociManifest, ociManifest],
    [{ ...image, mediaType: null }, ociManifest, ociManifest],
    [{ ...image, mediaType: '' }, ociManifest, ociManifest],
    [{ mediaType: artifactManifest, artifactType: 'a/b', blobs: [] }, artifactManifest, artifactManifest],
  ];
  for (const [document, contentType, mediaType] of table) {
    assert.equal(parse(document, contentType).mediaType, mediaType, `${contentType} ${JSON.stringify(document)}`);
  }
});

// Security test 3. What would break without this: a client is shown other content than was checked (CVE-2021-41190).
test('what can be read as two things, or as none, is refused', () => {
  const both = { ...image, ...index };
  for (const type of ['', ociManifest, ociIndex, dockerManifest, dockerList]) {
    for (const document of [
      both,
      { ...index, config },
      { ...index, layers: [] },
      { ...index, layers: null },
      { ...index, config: null },
      { ...image, manifests: [] },
      { ...image, manifests: null },
      { ...image, manifests: {} },
    ]) {
      assertRefused(document, type);
    }
  }
  assertRefused(image, ociIndex);
  assertRefused(index, ociManifest);
  assertRefused({ ...image, mediaType: dockerManifest }, ociManifest);
  assertRefused({ ...index, mediaType: ociManifest }, '');
  assertRefused({ ...image, mediaType: ociIndex }, '');
  assertRefused({ ...image, mediaType: `${ociManifest};charset=utf-8` }, ociManifest);
});

test('only manifest types are manifests, whatever an object may inherit', () => {
  const strange = [
    'text/html',
    'application/vnd.oci.image.config.v1+json',
    'constructor',
    'toString',
    '__proto__',
    'hasOwnProperty',
  ];
  const schema1 = [
    'application/vnd.docker.distribution.manifest.v1+json',
    'application/vnd.docker.distribution.manifest.v1+prettyjws',
  ];
  for (const type of [...strange, ...schema1]) {
    assertRefused(image, type);
    assertRefused({ ...image, mediaType: type });
    assertRefused({ ...index, mediaType: type }, type);
    assertRefused({ schemaVersion: 1, mediaType: type }, type);
  }
});

test('schemaVersion is the number 2', () => {
  for (const schemaVersion of [1, 3, '2', null, undefined, true, [2], 2.5]) {
    assertRefused({ ...image, schemaVersion });
    assertRefused({ ...index, schemaVersion });
  }
  assert.equal(parse('{"schemaVersion":2.0,"manifests":[]}').kind, 'index');
});

test('JSON that is no object is refused', () => {
  for (const text of ['null', '[]', '"x"', '1', '', '{', '{}', '[{"schemaVersion":2}]']) assertRefused(text);
});

test('a field that a parser without regard to case takes for another is refused', () => {
  const spellings: unknown[] = [
    { ...image, Manifests: index.manifests },
    { ...image, MANIFESTS: [] },
    { ...index, Layers: [] },
    { ...index, layerſ: [] },
    { ...image, Config: config },
    { ...image, SchemaVersion: 1 },
    { ...image, mediatype: ociIndex },
    { ...image, artifacttype: 'a/b' },
    { ...image, config: { ...config, Digest: digest('other') } },
    { ...image, layers: [{ ...layer('a'), SIZE: 5 }] },
    { ...index, manifests: [{ ...layer('a'), MediaType: 'a' }] },
  ];
  for (const document of spellings) assertRefused(document);
  parse({ ...image, Annotations2: 1, ANNOTATIONS: {}, urls: [], config: { ...config, Data: 'x', URLs: [] } });
});

// image-spec: unknown fields and types must not be an error; the suite sends custom fields everywhere.
test('unknown fields and unknown types anywhere are accepted', () => {
  const odd = {
    ...config,
    mediaType: 'application/x.unknown',
    artifactType: 'x',
    data: 'e30=',
    platform: null,
    x: { y: [1] },
  };
  const document = parse({
    ...image,
    config: odd,
    layers: [odd],
    artifactType: 'application/x.y+json',
    custom: { a: 1 },
    'x.y': [],
  });
  assert.equal(document.artifactType, 'application/x.y+json');
  assert.deepEqual(document.layers, [{ mediaType: odd.mediaType, digest: odd.digest, size: 2 }]);
  parse({ ...index, manifests: [{ ...odd, platform: { os: 'unknown' } }], subject: odd, extra: null });
});

test('layers may be empty, null or missing beside a config; a config or a list of manifests must be there', () => {
  for (const layers of [[], null, undefined]) assert.deepEqual(parse({ ...image, layers }).layers, []);
  for (const document of [
    { schemaVersion: 2, layers: [] },
    { schemaVersion: 2 },
    { ...image, config: null },
    { ...image, config: [] },
    { ...image, config: 'x' },
    { ...image, layers: {} },
    { ...image, layers: 'x' },
    { ...image, layers: [null] },
    { ...image, layers: [[]] },
  ]) {
    assertRefused(document);
  }
  assertRefused({ ...index, manifests: null }, ociIndex);
  assertRefused({ schemaVersion: 2 }, ociIndex);
  assertRefused({ ...index, manifests: {} }, ociIndex);
});

test('a descriptor needs a media type, a digest and a size, each of them right', () => {
  const wrong: Record<string, unknown>[] = [
    { mediaType: undefined },
    { mediaType: 1 },
    { mediaType: null },
    { mediaType: 'a\0b' },
    { mediaType: '\ud800' },
    { mediaType: 'a'.repeat(2000) },
    { digest: undefined },
    { digest: 'latest' },
    { digest: 'sha256:abc' },
    { digest: digest('a').toUpperCase() },
    { digest: `sha512:${digest('a').slice(7)}` },
    { digest: `sha256:../../${'a'.repeat(58)}` },
    { digest: `x:${'a'.repeat(5000)}` },
    { digest: [digest('a')] },
    { size: undefined },
    { size: -1 },
    { size: '1' },
    { size: 1.5 },
    { size: 2 ** 53 },
    { size: null },
  ];
  for (const change of wrong) {
    assertRefused({ ...image, config: { ...config, ...change } });
    assertRefused({ ...image, layers: [layer('a'), { ...layer('b'), ...change }] });
    assertRefused({ ...index, manifests: [{ ...layer('b'), ...change }] });
    assertRefused({ ...image, subject: { ...layer('b'), ...change } });
  }
  for (const good of [{ size: 0 }, { digest: `blake3:${'a'.repeat(64)}` }, { mediaType: '' }]) {
    parse({ ...image, subject: { ...layer('b'), ...good } });
  }
});

test('annotations are strings by name; an artifact type is text', () => {
  assert.deepEqual(parse({ ...image, annotations: { a: 'b', '': '' } }).annotations, { a: 'b', '': '' });
  for (const annotations of [null, undefined]) assert.equal(parse({ ...image, annotations }).annotations, undefined);
  for (const annotations of [{ a: 1 }, { a: null }, { a: {} }, { a: ['b'] }, [], 'x', 1]) {
    assertRefused({ ...image, annotations });
    assertRefused({ ...index, annotations });
  }
  for (const artifactType of [1, {}, [], 'a\0b', '\udfff', 'a'.repeat(2000)]) assertRefused({ ...image, artifactType });
});

test('what must be there: config and layers, each once; not the subject, not what is fetched elsewhere', () => {
  const foreign = [
    'application/vnd.oci.image.layer.nondistributable.v1.tar',
    'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
    'application/vnd.oci.image.layer.nondistributable.v1.tar+zstd',
    'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
  ].map((mediaType, i) => ({ mediaType, digest: digest(`foreign ${i}`), size: 1, urls: ['https://example.com'] }));
  const document = parse({ ...image, layers: [layer('a'), ...foreign, layer('a')], subject: layer('subject') });
  assert.deepEqual(requiredBlobs(document), [digest('config'), digest('a')]);
  const all = [digest('config'), digest('a'), ...foreign.map((d) => d.digest)].sort();
  assert.deepEqual(referencedDigests(document), all, 'foreign layers are kept where they were pushed all the same');
  const nearly = { ...layer('x'), mediaType: 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip+evil' };
  assert.deepEqual(requiredBlobs(parse({ ...image, layers: [nearly] })), [digest('config'), digest('x')]);
  assert.deepEqual(requiredBlobs(parse(index)), [], 'children may be manifests or blobs');
  assert.deepEqual(referencedDigests(parse(index)), [digest('m')]);
});

test('the size of an image counts each digest once, and never more than a number holds', () => {
  assert.equal(imageSize(parse({ ...image, layers: [layer('aaa'), layer('aaa'), layer('bb')] }), 100), 107);
  assert.equal(imageSize(parse(index), 100), 100);
  const huge = Array.from({ length: 2000 }, (_, i) => ({ ...layer(`${i}`), size: Number.MAX_SAFE_INTEGER }));
  assert.equal(imageSize(parse({ ...image, layers: huge }), 100), Number.MAX_SAFE_INTEGER);
});

test('the type shown of a referrer is its own, else its config’s; an index without one has none', () => {
  assert.equal(effectiveArtifactType(parse({ ...image, artifactType: 'a/b' })), 'a/b');
  assert.equal(effectiveArtifactType(parse(image)), emptyType);
  assert.equal(effectiveArtifactType(parse({ ...image, artifactType: '' })), emptyType);
  assert.equal(effectiveArtifactType(parse({ ...index, artifactType: 'c/d' })), 'c/d');
  assert.equal(effectiveArtifactType(parse(index)), undefined);
});

test('an image configuration is known by its type alone', () => {
  for (const [mediaType, expected] of [
    ['application/vnd.oci.image.config.v1+json', true],
    ['application/vnd.docker.container.image.v1+json', true],
    [emptyType, false],
    ['application/vnd.cncf.helm.config.v1+json', false],
  ] as const) {
    assert.equal(hasImageConfig(parse({ ...image, config: { ...config, mediaType } })), expected);
  }
  assert.equal(hasImageConfig(parse(index)), false);
});

test('whatever is sent as a manifest, it is a document of one kind or a refusal about it', () => {
  const field = fc.constantFrom(
    'schemaVersion',
    'mediaType',
    'config',
    'layers',
    'manifests',
    'subject',
    'blobs',
    'annotations',
    'x',
  );
  const value = fc.oneof(
    fc.constantFrom<unknown>(
      2,
      image.layers,
      index.manifests,
      config,
      null,
      [],
      {},
      ociManifest,
      ociIndex,
      artifactManifest,
    ),
    fc.jsonValue({ maxDepth: 2 }),
  );
  const base = fc.constantFrom<Record<string, unknown>>(image, index, {});
  const type = fc.constantFrom('', ociManifest, ociIndex, dockerManifest, artifactManifest, 'x/y');
  fc.assert(
    fc.property(base, fc.dictionary(field, value, { maxKeys: 3 }), type, (start, changes, contentType) => {
      try {
        const document = parse({ ...start, ...changes }, contentType);
        assert.ok(document.kind === 'image' ? document.children.length === 0 : document.layers.length === 0);
        assert.ok(document.kind === 'image' || document.config === undefined);
      } catch (error) {
        assert.ok(isRefusal(error), `${error}`);
      }
    }),
    { numRuns: 1000 },
  );
});
