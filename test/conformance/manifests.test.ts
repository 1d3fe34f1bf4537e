import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { type Algorithm, digest, expectContent, expectStatus, pushBlob, useRegistry } from './registry.ts';

const registry = useRegistry();

const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const INDEX = 'application/vnd.oci.image.index.v1+json';
const CONFIG = 'application/vnd.oci.image.config.v1+json';
const LAYER = 'application/vnd.oci.image.layer.v1.tar+gzip';
const FOREIGN = 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip';
const EMPTY = 'application/vnd.oci.empty.v1+json';

type Descriptor = { mediaType: string; digest: string; size: number } & Record<string, unknown>;
/** A manifest in a graph; what it needs is pushed before it. */
type Node = { type: string; bytes: Buffer; blobs: Buffer[]; children: Node[]; tag?: string };
type Fields = Record<string, unknown>;

function describe(mediaType: string, bytes: Buffer, algorithm?: Algorithm, more: Fields = {}): Descriptor {
  return { mediaType, digest: digest(bytes, algorithm), size: bytes.length, ...more };
}

function image(
  fields: Fields = {},
  { layers = 2, algorithm = 'sha256' as Algorithm, descriptor = {} as Fields } = {},
): Node {
  const config = Buffer.from(
    JSON.stringify({ os: 'linux', architecture: 'amd64', nonce: randomBytes(8).toString('hex') }),
  );
  const blobs = Array.from({ length: layers }, () => randomBytes(200));
  const body = {
    schemaVersion: 2,
    mediaType: MANIFEST,
    config: describe(CONFIG, config, algorithm, descriptor),
    layers: blobs.map((bytes) => describe(LAYER, bytes, algorithm)),
    ...fields,
  };
  return { type: MANIFEST, bytes: Buffer.from(JSON.stringify(body, null, 1)), blobs: [config, ...blobs], children: [] };
}

function artifact(fields: Fields = {}): Node {
  const [empty, payload] = [Buffer.from('{}'), randomBytes(99)];
  const body = {
    schemaVersion: 2,
    mediaType: MANIFEST,
    artifactType: 'application/vnd.lading.example',
    config: describe(EMPTY, empty),
    layers: [describe('application/octet-stream', payload)],
    ...fields,
  };
  return { type: MANIFEST, bytes: Buffer.from(JSON.stringify(body)), blobs: [empty, payload], children: [] };
}

function index(children: Node[], fields: Fields = {}): Node {
  const manifests = children.map((child) =>
    describe(child.type, child.bytes, undefined, { platform: { os: 'linux', architecture: 'amd64' } }),
  );
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: INDEX, manifests, ...fields }));
  return { type: INDEX, bytes, blobs: [], children };
}

/** Everything the graph needs, each thing after what it needs itself. */
function inOrder(node: Node): Node[] {
  return [...node.children.flatMap(inOrder), node];
}

async function putManifest(repository: string, node: Node, reference: string, wanted = 201) {
  const path = `/v2/${repository}/manifests/${reference}`;
  return expectStatus(
    await registry.ask('PUT', path, { body: node.bytes, headers: { 'content-type': node.type } }),
    wanted,
  );
}

const subjectOf = (node: Node): Descriptor | undefined => JSON.parse(node.bytes.toString()).subject;

async function referrers(repository: string, name: string, query = ''): Promise<Descriptor[]> {
  const answer = expectStatus(await registry.ask('GET', `/v2/${repository}/referrers/${name}${query}`), 200);
  assert.equal(answer.headers.get('content-type'), INDEX);
  const body = JSON.parse(answer.bytes.toString());
  assert.equal(body.schemaVersion, 2);
  return body.manifests;
}

const plain = image();
const missing = describe(MANIFEST, Buffer.from('nobody pushes this'));
const foreign = { ...describe(FOREIGN, randomBytes(10)), urls: ['https://example.com/layer'] };
const graphs: Record<string, Node> = {
  'an image': plain,
  'an image without layers': image({}, { layers: 0 }),
  'an image with sha512 blobs': image({}, { algorithm: 'sha512' }),
  'an image with a layer that is kept elsewhere': image({ layers: [foreign] }),
  'an image with data in a descriptor': image({}, { descriptor: { data: Buffer.from('{}').toString('base64') } }),
  'an image with fields of its own': image({
    'org.example.field': { a: [1, 2.5, null], z: '\u00e9' },
    annotations: { k: 'v' },
  }),
  'an artifact': artifact(),
  'an index': index([image(), image()]),
  'an index of an index': index([index([image()]), image()]),
  'an index of artifacts': index([artifact(), artifact()], { artifactType: 'application/vnd.lading.list' }),
  'an artifact about an image': {
    ...artifact({ subject: describe(MANIFEST, plain.bytes), annotations: { of: 'plain' } }),
    children: [plain],
  },
  'an artifact about what is not there': artifact({ subject: missing }),
  'an index about an image': index([plain], {
    subject: describe(MANIFEST, plain.bytes),
    artifactType: 'application/vnd.lading.list',
    annotations: { n: '1' },
  }),
};

for (const [name, graph] of Object.entries(graphs)) {
  test(`${name} is pushed, listed, pulled byte for byte and deleted`, async () => {
    const repository = registry.repository();
    const nodes = inOrder(graph);
    const algorithm: Algorithm = name.includes('sha512') ? 'sha512' : 'sha256';
    const blobs = new Map<string, Buffer>();
    for (const node of nodes)
      for (const bytes of node.blobs) blobs.set(await pushBlob(registry, repository, bytes, algorithm), bytes);
    const tags = nodes.map((_, i) => `tag-${i}`);
    for (const [i, node] of nodes.entries()) {
      const own = digest(node.bytes, algorithm);
      // A manifest named by sha512 can only be pushed by digest; tags name what was hashed with sha256.
      const answer = await putManifest(repository, node, algorithm === 'sha512' ? own : `${tags[i]}`);
      assert.equal(answer.headers.get('docker-content-digest'), own);
      assert.equal(answer.headers.get('oci-subject'), subjectOf(node)?.digest ?? null);
      await expectContent(registry, `/v2/${repository}/manifests/${own}`, node.bytes, own, node.type);
      if (algorithm === 'sha256')
        await expectContent(registry, `/v2/${repository}/manifests/${tags[i]}`, node.bytes, own, node.type);
    }
    if (algorithm === 'sha256') {
      const listed = expectStatus(await registry.ask('GET', `/v2/${repository}/tags/list`), 200);
      assert.deepEqual(JSON.parse(listed.bytes.toString()), { name: repository, tags: [...tags].sort() });
    }
    for (const node of nodes) await expectReferrer(repository, node);

    if (algorithm === 'sha256')
      await expectDeletion(
        repository,
        tags.map((tag) => `manifests/${tag}`),
      );
    await expectDeletion(repository, nodes.map((node) => `manifests/${digest(node.bytes, algorithm)}`).reverse());
    await expectDeletion(
      repository,
      [...blobs.keys()].map((blob) => `blobs/${blob}`),
    );
  });
}

/** A manifest with a subject is listed under it with its type and all its annotations. */
async function expectReferrer(repository: string, node: Node): Promise<void> {
  const subject = subjectOf(node);
  if (subject === undefined) return;
  const body = JSON.parse(node.bytes.toString());
  const found = await referrers(repository, subject.digest);
  const type = body.artifactType;
  assert.deepEqual(found, [
    {
      ...describe(node.type, node.bytes),
      ...(type ? { artifactType: type } : {}),
      ...(body.annotations ? { annotations: body.annotations } : {}),
    },
  ]);
}

async function expectDeletion(repository: string, names: string[]): Promise<void> {
  for (const name of new Set(names)) {
    expectStatus(await registry.ask('DELETE', `/v2/${repository}/${name}`), 202);
    expectStatus(await registry.ask('GET', `/v2/${repository}/${name}`), 404);
    expectStatus(await registry.ask('HEAD', `/v2/${repository}/${name}`), 404);
  }
}

test('a manifest pushed by digest takes ten tags at once, under sha256 and under sha512', async () => {
  for (const algorithm of ['sha256', 'sha512'] as Algorithm[]) {
    const repository = registry.repository();
    const node = image({}, { algorithm });
    for (const bytes of node.blobs) await pushBlob(registry, repository, bytes, algorithm);
    const own = digest(node.bytes, algorithm);
    const tags = Array.from({ length: 10 }, (_, i) => `t${i}`);
    const answer = await putManifest(repository, node, `${own}?${tags.map((tag) => `tag=${tag}`).join('&')}`);
    assert.deepEqual((answer.headers.get('oci-tag') ?? '').split(/, ?/).sort(), tags);
    for (const tag of tags)
      await expectContent(registry, `/v2/${repository}/manifests/${tag}`, node.bytes, own, node.type);
  }
});

test('a moved tag names the new manifest at once and the old one stays under its digest', async () => {
  const repository = registry.repository();
  const [old, young] = [image(), image()];
  for (const node of [old, young]) {
    for (const bytes of node.blobs) await pushBlob(registry, repository, bytes);
    await putManifest(repository, node, 'moving');
    await expectContent(registry, `/v2/${repository}/manifests/moving`, node.bytes, digest(node.bytes), node.type);
  }
  await expectContent(
    registry,
    `/v2/${repository}/manifests/${digest(old.bytes)}`,
    old.bytes,
    digest(old.bytes),
    old.type,
  );
});

test('what is unknown is 404 and what is malformed is refused', async () => {
  const repository = registry.repository();
  const path = `/v2/${repository}/manifests`;
  for (const reference of ['unknown', digest('unknown'), digest('unknown', 'sha512'), '.INVALID_MANIFEST_NAME']) {
    expectStatus(await registry.ask('GET', `${path}/${reference}`), 404);
    expectStatus(await registry.ask('HEAD', `${path}/${reference}`), 404);
  }
  const node = image();
  for (const bytes of node.blobs) await pushBlob(registry, repository, bytes);
  await putManifest(repository, node, 'sha256:baddigeststring', 400);
  await putManifest(repository, node, digest('other bytes'), 400);
  expectStatus(await registry.ask('GET', `${path}/sha256:baddigeststring`), 404, 400);
  await putManifest(repository, { ...node, type: INDEX }, 'wrong-type', 400);
  await putManifest(repository, { ...node, bytes: Buffer.from('{"schemaVersion":2') }, 'cut', 400);
});

test('a manifest whose parts are missing is refused and each missing part is named', async () => {
  const repository = registry.repository();
  const node = image({}, { layers: 2 });
  const answer = await putManifest(repository, node, 'v1', 400);
  const { errors } = JSON.parse(answer.bytes.toString());
  assert.deepEqual(
    errors.map((error: { code: string }) => error.code),
    Array(3).fill('MANIFEST_BLOB_UNKNOWN'),
  );
  assert.deepEqual(
    errors.map((error: { detail: { digest: string } }) => error.detail.digest).sort(),
    node.blobs.map((bytes) => digest(bytes)).sort(),
  );
});

test('a manifest of four megabytes is taken, a larger one refused', async () => {
  const repository = registry.repository();
  const limit = 4 * 1024 * 1024;
  const small = image({ annotations: { pad: '' } });
  for (const bytes of small.blobs) await pushBlob(registry, repository, bytes);
  const padded = (size: number) => {
    const body = JSON.parse(small.bytes.toString());
    body.annotations.pad = 'x'.repeat(size - Buffer.byteLength(JSON.stringify(body)));
    return { ...small, bytes: Buffer.from(JSON.stringify(body)) };
  };
  const largest = padded(limit);
  assert.equal(largest.bytes.length, limit);
  await putManifest(repository, largest, 'largest');
  await expectContent(registry, `/v2/${repository}/manifests/largest`, largest.bytes, digest(largest.bytes));
  await putManifest(repository, padded(limit + 1), 'too-large', 413);
});
