import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Answer, type Ask, imageType, pushBlob } from '#test/oci-client.ts';
import {
  assertHeaders,
  describe,
  imageOf,
  indexOf,
  indexType,
  openRegistry,
  outcomeOf,
  pushManifest,
  putManifest,
  sha256,
  sha512,
} from '#test/registry-client.ts';

const dockerType = 'application/vnd.docker.distribution.manifest.v2+json';
const listType = 'application/vnd.docker.distribution.manifest.list.v2+json';

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

// Edge case 20. What would break without this: a digest that no longer fits its bytes, and with it every signature.
test('a manifest comes back byte for byte, however it was written', async (t) => {
  const { owner } = await openRegistry(t);
  await pushBlobs(owner, 'acme/app', '{}', 'layer');
  const image = JSON.parse(imageOf(['layer']));
  const texts = [
    imageOf(['layer']),
    `${JSON.stringify(image, null, '\t')}\n`,
    `\r\n  ${JSON.stringify({ layers: image.layers, config: image.config, schemaVersion: 2 })}  \n\n`,
    JSON.stringify({ ...image, custom: { '': [1, null, 1e2, 1.0] }, annotations: { 'org.x': 'ä € 😀 \u2028' } }),
    JSON.stringify({ ...image, annotations: { note: 'é' } }).replace('é', '\\u00e9'),
    JSON.stringify({ ...image, config: { ...image.config, data: 'e30=', urls: [], platform: { os: 'x' } } }),
    JSON.stringify(image).replace('"schemaVersion":2', '"schemaVersion":2.0'),
    imageOf(['layer'], { artifactType: 'application/x', subject: describe('nothing', imageType) }),
  ];
  for (const [i, text] of texts.entries()) {
    const digest = sha256(text);
    assertStored(await putManifest(owner, 'acme/app', `v${i}`, text), 'acme/app', digest);
    for (const reference of [`v${i}`, digest]) {
      const get = await owner('GET', `/v2/acme/app/manifests/${reference}`);
      assert.deepEqual(get.bytes, Buffer.from(text));
      assertHeaders(get, { 'Docker-Content-Digest': digest, 'Content-Type': imageType, 'Content-Encoding': undefined });
    }
  }
});

// Contract 1.3 and 1.5. `Accept` is a legacy appendix: what was stored is what is sent.
test('HEAD and GET of a manifest say the same, whatever Accept says', async (t) => {
  const { owner } = await openRegistry(t);
  await pushBlobs(owner, 'acme/app', '{}');
  const text = imageOf([]);
  const digest = await pushManifest(owner, 'acme/app', 'v1', text);
  const accepts = [
    undefined,
    '*/*',
    indexType,
    dockerType,
    'text/html',
    `${dockerType}, ${indexType}`,
    'application/json;q=0.1',
  ];
  for (const [reference, caching] of [
    ['v1', 'no-cache'],
    [digest, 'private, max-age=31536000, immutable'],
  ] as const) {
    for (const accept of accepts) {
      const headers = { 'accept-encoding': 'gzip, zstd', ...(accept && { accept }) };
      const get = await owner('GET', `/v2/acme/app/manifests/${reference}?ns=docker.io`, { headers });
      assert.equal(get.status, 200);
      assert.equal(get.text, text);
      assertHeaders(get, {
        'Content-Type': imageType,
        'Content-Length': `${text.length}`,
        'Docker-Content-Digest': digest,
        ETag: `"${digest}"`,
        'Cache-Control': caching,
        'X-Content-Type-Options': 'nosniff',
        'Docker-Distribution-Api-Version': 'registry/2.0',
        'Content-Encoding': undefined,
        'Transfer-Encoding': undefined,
        'OCI-Namespace': undefined,
        'Accept-Ranges': undefined,
      });
      const head = await owner('HEAD', `/v2/acme/app/manifests/${reference}`, { headers });
      assert.equal(head.status, 200);
      assert.equal(head.text, '');
      const { date: _, ...got } = get.headers;
      const { date: __, ...headed } = head.headers;
      assert.deepEqual(headed, got);
    }
  }
});

test('what a client has already is 304, by tag and by digest; a moved tag is sent', async (t) => {
  const { owner } = await openRegistry(t);
  await pushBlobs(owner, 'acme/app', '{}');
  const digest = await pushManifest(owner, 'acme/app', 'v1', imageOf([]));
  const ask = (reference: string, tag: string) =>
    owner('GET', `/v2/acme/app/manifests/${reference}`, { headers: { 'if-none-match': tag } });
  for (const reference of ['v1', digest]) {
    for (const tag of [`"${digest}"`, digest, `W/"${digest}"`, `"x", "${digest}"`, '*']) {
      const answer = await ask(reference, tag);
      assert.equal(answer.status, 304, tag);
      assert.equal(answer.text, '');
      assertHeaders(answer, { ETag: `"${digest}"`, 'Docker-Content-Digest': digest });
    }
    assert.equal((await ask(reference, '"x"')).status, 200);
  }
  await pushManifest(owner, 'acme/app', 'v1', imageOf([], { annotations: { moved: 'yes' } }));
  assert.equal((await ask('v1', `"${digest}"`)).status, 200);
  assert.equal((await ask(digest, `"${digest}"`)).status, 304);
});

test('a manifest that is not there is MANIFEST_UNKNOWN, in a repository that is or is not', async (t) => {
  const { owner } = await openRegistry(t);
  await pushBlobs(owner, 'acme/app', '{}');
  for (const repository of ['acme/app', 'acme/never']) {
    for (const reference of ['latest', sha256('none'), sha512('none')]) {
      const answer = await owner('GET', `/v2/${repository}/manifests/${reference}`);
      assert.equal(outcomeOf(answer), '404 MANIFEST_UNKNOWN');
      assertHeaders(answer, { ETag: undefined, 'Cache-Control': undefined, 'Docker-Content-Digest': undefined });
    }
  }
  assert.equal(outcomeOf(await owner('DELETE', '/v2/acme/app/manifests/latest')), '404 MANIFEST_UNKNOWN');
  assert.equal(outcomeOf(await owner('DELETE', '/v2/acme/never/manifests/latest')), '404 NAME_UNKNOWN');
});

// Edge case 22.
test('a type may have parameters and is served without; one that does not fit is 400', async (t) => {
  const { owner } = await openRegistry(t);
  await pushBlobs(owner, 'acme/app', '{}');
  const bare = { ...JSON.parse(imageOf([])), mediaType: undefined };
  const index = { ...JSON.parse(indexOf([])), mediaType: undefined };
  const table: [object, string, string][] = [
    [bare, `${imageType}; charset=utf-8`, imageType],
    [{ ...bare, n: 1 }, imageType.toUpperCase(), imageType],
    [{ ...bare, n: 2 }, dockerType, dockerType],
    [{ ...bare, n: 3 }, '', imageType],
    [{ ...bare, n: 4 }, 'application/json', imageType],
    [{ ...bare, n: 5, mediaType: dockerType }, 'application/octet-stream', dockerType],
    [index, listType, listType],
    [{ ...index, n: 1 }, '', indexType],
  ];
  for (const [document, contentType, stored] of table) {
    const digest = await pushManifest(owner, 'acme/app', 'typed', JSON.stringify(document), contentType);
    assertHeaders(await owner('GET', `/v2/acme/app/manifests/${digest}`), { 'Content-Type': stored });
  }
  const refused: [object | string, string][] = [
    [{ ...bare, mediaType: dockerType }, imageType],
    [{ ...bare, manifests: [] }, imageType],
    [{ ...index, layers: [] }, indexType],
    [bare, indexType],
    [index, imageType],
    [
      { schemaVersion: 1, name: 'a', tag: 'b', fsLayers: [], history: [] },
      'application/vnd.docker.distribution.manifest.v1+prettyjws',
    ],
    [{ schemaVersion: 1, fsLayers: [] }, ''],
    [bare, 'constructor'],
    [bare, 'x'],
    [bare, 'text/plain'],
    ['', imageType],
    ['null', imageType],
    ['[]', imageType],
    ['not json', imageType],
    [`\ufeff${JSON.stringify(bare)}`, imageType],
    [`${JSON.stringify(bare)}x`, imageType],
    [`${JSON.stringify(bare).slice(0, -1)},"config":${JSON.stringify(bare.config)}}`, imageType],
    [`${JSON.stringify(bare).slice(0, -1)},"x":${'['.repeat(10_000)}${']'.repeat(10_000)}}`, imageType],
  ];
  for (const [document, contentType] of refused) {
    const text = typeof document === 'string' ? document : JSON.stringify(document);
    for (const reference of ['refused', sha256(text)]) {
      const answer = await putManifest(owner, 'acme/app', reference, text, contentType);
      assert.equal(outcomeOf(answer), '400 MANIFEST_INVALID', `${contentType} ${text.slice(0, 80)}`);
    }
  }
  assert.equal((await owner('GET', '/v2/acme/app/manifests/refused')).status, 404);
});

// Edge case 21: the conformance suite pushes 3.9 MB, containerd pulls no more than about 4 MiB.
test('4 194 304 bytes are taken, one more is 413', async (t) => {
  const { owner } = await openRegistry(t);
  await pushBlobs(owner, 'acme/app', '{}');
  const padded = (size: number) => {
    const text = imageOf([], { annotations: { padding: '' } });
    return text.replace('"padding":""', `"padding":"${'x'.repeat(size - text.length)}"`);
  };
  const largest = padded(4_194_304);
  assert.equal(Buffer.byteLength(largest), 4_194_304);
  const digest = await pushManifest(owner, 'acme/app', 'large', largest);
  assert.equal(sha256((await owner('GET', '/v2/acme/app/manifests/large')).bytes), digest);
  assert.equal(outcomeOf(await putManifest(owner, 'acme/app', 'larger', padded(4_194_305))), '413 MANIFEST_INVALID');
  assert.equal((await owner('GET', '/v2/acme/app/manifests/larger')).status, 404);
});

test('pushed by digest, the bytes must have it, under the algorithm that was named', async (t) => {
  const { owner } = await openRegistry(t);
  await pushBlobs(owner, 'acme/app', '{}');
  const text = imageOf([]);
  for (const digest of [sha256(text), sha512(text)]) {
    assertStored(await putManifest(owner, 'acme/app', digest, text), 'acme/app', digest);
    assertHeaders(await owner('GET', `/v2/acme/app/manifests/${digest}`), { 'Docker-Content-Digest': digest });
  }
  for (const digest of [sha256('other'), sha512('other')]) {
    assert.equal(outcomeOf(await putManifest(owner, 'acme/app', digest, text)), '400 DIGEST_INVALID');
    assert.equal((await owner('HEAD', `/v2/acme/app/manifests/${digest}`)).status, 404);
  }
  assert.deepEqual(JSON.parse((await owner('GET', '/v2/acme/app/tags/list')).text).tags, []);
});

test('the Location of a push leads to what was pushed', async (t) => {
  const { owner } = await openRegistry(t);
  await pushBlobs(owner, 'acme/app', '{}');
  const text = imageOf([]);
  for (const reference of ['v1', sha256(text), sha512(text)]) {
    const { headers } = await putManifest(owner, 'acme/app', reference, text);
    const accept = `${imageType}, ${indexType}`;
    assert.equal((await owner('GET', headers.location ?? '', { headers: { accept } })).text, text);
  }
});
