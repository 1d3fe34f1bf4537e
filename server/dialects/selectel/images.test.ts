import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Ask, digestOf, imageType, pushBlob, pushImage } from '#test/oci-client.ts';
import { type Json, openSelectel } from '#test/selectel-client.ts';

const indexType = 'application/vnd.oci.image.index.v1+json';

async function openImages(t: Parameters<typeof openSelectel>[0]) {
  const selectel = await openSelectel(t);
  return { ...selectel, base: `/registries/${selectel.team.registryId}/repositories/app` };
}

async function put(oci: Ask, reference: string, manifest: Json): Promise<string> {
  const body = JSON.stringify({ schemaVersion: 2, ...manifest });
  const headers = { 'content-type': manifest.mediaType };
  const answer = await oci('PUT', `/v2/acme/app/manifests/${reference || digestOf(body)}`, { headers, body });
  assert.equal(answer.status, 201, answer.text);
  return digestOf(body);
}

async function pushBuilt(oci: Ask, reference: string, created: string): Promise<Json> {
  const config = JSON.stringify({ os: 'linux', architecture: 'arm64', created, rootfs: { type: 'layers' } });
  const texts = ['zz', 'a', 'zz'];
  for (const text of [config, ...texts]) await pushBlob(oci, 'acme/app', text);
  const layers = texts.map((text) => ({ digest: digestOf(text), size: text.length }));
  const manifest = {
    mediaType: imageType,
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: digestOf(config), size: config.length },
    layers: layers.map((layer) => ({ mediaType: 'application/vnd.oci.image.layer.v1.tar', ...layer })),
  };
  const digest = await put(oci, reference, manifest);
  const size = JSON.stringify({ schemaVersion: 2, ...manifest }).length + config.length + 'zz'.length + 'a'.length;
  return { digest, layers, size };
}

test('an image is the same in both lists and alone, by digest and by tag', async (t) => {
  const { call, oci, base } = await openImages(t);
  const { digest, layers, size } = await pushBuilt(oci, 'v1', '2020-02-03T04:05:06.789Z');
  await pushBuilt(oci, 'latest', '2020-02-03T04:05:06.789Z');
  const image = {
    architecture: 'arm64',
    createdAt: '2020-02-03T04:05:06Z',
    digest,
    layers,
    mediaType: imageType,
    os: 'linux',
    size,
    tags: ['latest', 'v1'],
  };
  const v1 = await call(`GET /v1${base}/images`);
  assert.deepEqual([v1.status, v1.json], [200, [image]]);
  assert.match(String(v1.headers['content-type']), /^application\/json/);
  assert.deepEqual((await call(`GET /v2${base}/images`)).json, { filteredCount: 1, images: [image], totalCount: 1 });
  for (const reference of ['v1', 'latest', digest, encodeURIComponent(digest)]) {
    const one = await call(`GET /v1${base}/${reference}`);
    assert.deepEqual([one.status, one.json], [200, image], reference);
    assert.equal(one.headers['docker-content-digest'], digest);
  }
});

test('the vendor’s own Go client gets the layers alone', async (t) => {
  const { call, oci, base } = await openImages(t);
  const { digest, layers } = await pushBuilt(oci, 'v1', '2020-02-03T04:05:06Z');
  const asCraas = { headers: { 'user-agent': 'craas-go/0.2.0' } };
  const one = await call(`GET /v1${base}/${digest}`, asCraas);
  assert.deepEqual([one.json, one.headers['docker-content-digest']], [layers, digest]);
  const other = await call(`GET /v1${base}/${digest}`, { headers: { 'user-agent': 'not-craas-go/0.2.0' } });
  assert.equal(other.json.digest, digest);
});

test('what says nothing of its build has the time of its push, and an index counts with all it lists', async (t) => {
  const { call, oci, base, clock } = await openImages(t);
  const child = await pushBuilt(oci, 'child', '1970-01-01T00:00:00Z');
  clock.advance(5000);
  const manifest = {
    mediaType: indexType,
    manifests: [{ mediaType: imageType, digest: child.digest, size: 1 }],
  };
  const digest = await put(oci, 'all', manifest);
  const [index, image] = (await call(`GET /v1${base}/images`)).json;
  assert.deepEqual([image.digest, image.createdAt], [child.digest, '2026-01-01T00:00:00Z']);
  assert.deepEqual(index, {
    architecture: '',
    createdAt: '2026-01-01T00:00:05Z',
    digest,
    layers: [],
    mediaType: indexType,
    os: '',
    size: JSON.stringify({ schemaVersion: 2, ...manifest }).length + child.size,
    tags: ['all'],
  });
});

test('images are listed newest first, cut, searched by tag or digest, and counted', async (t) => {
  const { call, oci, base, clock } = await openImages(t);
  const digests: string[] = [];
  for (const tag of ['one', 'two', 'three', 'four']) {
    clock.advance(1000);
    digests.unshift(await pushImage(oci, 'acme/app', tag, [tag]));
  }
  const [four = '', three, two, one] = digests;
  const cases: [query: string, images: unknown[], filtered?: number][] = [
    ['', [four, three, two, one]],
    ['limit=2&offset=1', [three, two]],
    ['offset=4', []],
    ['search=O', [four, two, one], 3],
    ['search=o&limit=1&offset=1', [two], 3],
    [`search=${four.slice(7, 30)}`, [four], 1],
    ['search=none', [], 0],
  ];
  for (const [query, images, filtered = 4] of cases) {
    const { json } = await call(`GET /v2${base}/images?${query}`);
    const found = json.images.map((image: Json) => image.digest);
    assert.deepEqual([found, json.filteredCount, json.totalCount], [images, filtered, 4], query);
    const v1 = await call(`GET /v1${base}/images?${query}`);
    assert.deepEqual(
      v1.json.map((image: Json) => image.digest),
      [four, three, two, one],
      'v1 has no pages',
    );
  }
});

// A client that keeps images by their tags must see all of them, or it deletes what it meant to keep.
test('all tags of an image are listed, and all tags of a repository', async (t) => {
  const { call, oci, base } = await openImages(t);
  const tags = Array.from({ length: 120 }, (_, i) => `t${String(i).padStart(3, '0')}`);
  const manifest = { mediaType: indexType, manifests: [] };
  for (const tag of tags) await put(oci, tag, manifest);
  assert.deepEqual((await call(`GET /v1${base}/images`)).json[0].tags, tags);
  assert.deepEqual((await call(`GET /v2${base}/images`)).json.images[0].tags, tags);
  assert.deepEqual((await call(`GET /v1${base}/t005`)).json.tags, tags);
  const listed = await call(`GET /v1${base}/tags`);
  assert.deepEqual([listed.status, listed.json], [200, tags]);
});

test('lists are whole where they have no pages', async (t) => {
  const { call, oci, base } = await openImages(t);
  const digests = new Set<string>();
  for (let i = 0; i < 250; i++) {
    digests.add(await put(oci, '', { mediaType: indexType, manifests: [], annotations: { i: String(i) } }));
  }
  const { json } = await call(`GET /v1${base}/images`);
  assert.deepEqual(new Set(json.map((image: Json) => image.digest)), digests);
  assert.equal(json.length, 250);
  const untagged = await call(`GET /v1${base}/tags`);
  assert.deepEqual([untagged.status, untagged.text], [200, '[]']);
});

test('an image is deleted by its digest alone, and not while an index lists it', async (t) => {
  const { call, oci, base } = await openImages(t);
  const child = await pushImage(oci, 'acme/app', 'amd64', ['layer']);
  const index = await put(oci, 'all', {
    mediaType: indexType,
    manifests: [{ mediaType: imageType, digest: child, size: 1 }],
  });
  const listed = await call(`DELETE /v1${base}/${child}`);
  assert.deepEqual([listed.status, Object.keys(listed.json)], [409, ['error']]);
  for (const reference of ['amd64', digestOf('never'), 'sha256:x', 'images', 'tags', 'cleanup']) {
    const refused = await call(`DELETE /v1${base}/${reference}`);
    assert.deepEqual([refused.status, refused.json], [404, { error: 'Image not found.' }], reference);
  }
  for (const digest of [index, child]) {
    const deleted = await call(`DELETE /v1${base}/${digest}`);
    assert.deepEqual([deleted.status, deleted.text], [204, '']);
    assert.equal((await call(`DELETE /v1${base}/${digest}`)).status, 404);
  }
});

test('fixed words of the API win over tags of that name', async (t) => {
  const { call, oci, base } = await openImages(t);
  for (const tag of ['images', 'tags', 'cleanup']) await pushImage(oci, 'acme/app', tag, ['layer']);
  assert.ok(Array.isArray((await call(`GET /v1${base}/images`)).json));
  assert.deepEqual((await call(`GET /v1${base}/tags`)).json, ['cleanup', 'images', 'tags']);
});
