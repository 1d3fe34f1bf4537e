import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Json, type Native, openNative } from '#test/native-client.ts';
import { type Ask, digestOf, imageType, pushBlob } from '#test/oci-client.ts';

const indexType = 'application/vnd.oci.image.index.v1+json';
const configType = 'application/vnd.oci.image.config.v1+json';
const layerType = 'application/vnd.oci.image.layer.v1.tar';
const images = '/registries/acme/repositories/app/images';

const describe = (mediaType: string, text: string) => ({
  mediaType,
  digest: digestOf(text),
  size: Buffer.byteLength(text),
});

async function put(oci: Ask, reference: string, manifest: Json): Promise<{ digest: string; size: number }> {
  const body = JSON.stringify({ schemaVersion: 2, ...manifest });
  const ref = reference === '' ? digestOf(body) : reference;
  const headers = { 'content-type': manifest.mediaType };
  const answer = await oci('PUT', `/v2/acme/app/manifests/${ref}`, { headers, body });
  assert.equal(answer.status, 201, answer.text);
  return { digest: digestOf(body), size: Buffer.byteLength(body) };
}

type Parts = { os?: string; architecture?: string; created?: string; layers?: string[]; more?: object };

async function pushImage(oci: Ask, reference: string, parts: Parts = {}) {
  const { os = 'linux', architecture = 'amd64', created, layers = ['layer'], more = {} } = parts;
  const config = JSON.stringify({ os, architecture, ...(created && { created }), rootfs: { type: 'layers' } });
  for (const text of [config, ...layers]) await pushBlob(oci, 'acme/app', text);
  const described = layers.map((text) => describe(layerType, text));
  const pushed = await put(oci, reference, {
    mediaType: imageType,
    config: describe(configType, config),
    layers: described,
    ...more,
  });
  return { ...pushed, config: describe(configType, config), layers: described };
}

const names = (list: Json) => list.json.items.map((one: Json) => one.tags.join('+') || one.digest);

test('an image shows what it is, its layers in order with doubles, and its size with each digest once', async (t) => {
  const { call, oci, platform } = await openNative(t);
  const pushed = await pushImage(oci, 'v1', {
    created: '2020-02-03T04:05:06Z',
    layers: ['zz', 'a', 'zz'],
  });
  await put(oci, 'latest', {
    mediaType: imageType,
    config: pushed.config,
    layers: pushed.layers,
  });
  const { status, json } = await call(`GET ${images}/${pushed.digest}`);
  assert.equal(status, 200);
  assert.deepEqual(json, {
    digest: pushed.digest,
    kind: 'image',
    mediaType: imageType,
    artifactType: null,
    configMediaType: configType,
    tags: ['latest', 'v1'],
    hasMoreTags: false,
    os: 'linux',
    architecture: 'amd64',
    sizeBytes: pushed.size + pushed.config.size + 'zz'.length + 'a'.length,
    layers: ['zz', 'a', 'zz'].map((text) => ({
      digest: digestOf(text),
      mediaType: layerType,
      sizeBytes: text.length,
    })),
    entries: [],
    subject: null,
    createdAt: '2020-02-03T04:05:06.000Z',
    pushedAt: new Date(platform.now()).toISOString(),
  });
  assert.deepEqual((await call(`GET ${images}`)).json.items, [json]);
});

test('layers are shown of manifests of every length', async (t) => {
  const { call, oci } = await openNative(t);
  for (const length of [10, 20_000, 200_000]) {
    const more = { annotations: { padding: 'x'.repeat(length) } };
    const { digest } = await pushImage(oci, `v${length}`, { layers: ['a', 'b'], more });
    const shown = [(await call(`GET ${images}/${digest}`)).json, ...(await call(`GET ${images}`)).json.items];
    for (const { layers } of shown) {
      assert.deepEqual(
        layers.map((one: Json) => one.digest),
        [digestOf('a'), digestOf('b')],
      );
    }
  }
});

test('a build time that cannot be true gives way to the time of the push', async (t) => {
  const { call, oci, platform } = await openNative(t);
  const pushedAt = new Date(platform.now()).toISOString();
  for (const created of ['1970-01-01T00:00:00Z', '1980-01-01T00:00:01Z', '0001-01-01T00:00:00Z']) {
    const { digest } = await pushImage(oci, 'v1', { created });
    assert.equal((await call(`GET ${images}/${digest}`)).json.createdAt, pushedAt, created);
  }
});

test('an index has the size of itself and all it lists, each digest once, and its children are images without tags', async (t) => {
  const { call, oci } = await openNative(t);
  const [amd, arm] = [
    await pushImage(oci, '', { layers: ['shared', 'amd'] }),
    await pushImage(oci, '', { architecture: 'arm64', layers: ['shared', 'arm'] }),
  ];
  const entries = [
    { mediaType: imageType, digest: amd.digest, size: amd.size, platform: { os: 'linux', architecture: 'amd64' } },
    {
      mediaType: imageType,
      digest: arm.digest,
      size: arm.size,
      platform: { os: 'linux', architecture: 'arm64', variant: 'v8' },
    },
  ];
  const index = await put(oci, 'v1', { mediaType: indexType, manifests: entries });
  const { json } = await call(`GET ${images}/${index.digest}`);
  const distinct = [index, amd, arm, amd.config, arm.config, ...amd.layers, ...arm.layers.slice(1)];
  assert.equal(json.kind, 'index');
  assert.equal(json.os, '');
  assert.equal(json.architecture, '');
  assert.deepEqual(json.layers, []);
  assert.equal(
    json.sizeBytes,
    distinct.reduce((sum, one) => sum + one.size, 0),
  );
  assert.deepEqual(json.entries, [
    { digest: amd.digest, mediaType: imageType, sizeBytes: amd.size, os: 'linux', architecture: 'amd64', variant: '' },
    {
      digest: arm.digest,
      mediaType: imageType,
      sizeBytes: arm.size,
      os: 'linux',
      architecture: 'arm64',
      variant: 'v8',
    },
  ]);
  const listed = names(await call(`GET ${images}`));
  assert.deepEqual(new Set(listed), new Set(['v1', amd.digest, arm.digest]));
  const refused = await call(`DELETE ${images}/${amd.digest}`);
  assert.equal(refused.status, 409);
  assert.equal(refused.json.type, '/problems/in_use');
  assert.equal((await call(`DELETE ${images}/${index.digest}`)).status, 204);
  assert.equal((await call(`DELETE ${images}/${amd.digest}`)).status, 204, 'no index lists it any more');
});

test('attachments are listed only when asked for', async (t) => {
  const { call, oci } = await openNative(t);
  const image = await pushImage(oci, 'v1');
  const subject = { mediaType: imageType, digest: image.digest, size: image.size };
  const sbom = await pushImage(oci, '', { layers: ['sbom'], more: { subject, artifactType: 'application/spdx+json' } });
  const cosignTag = `${image.digest.replace(':', '-')}.sig`;
  await pushImage(oci, cosignTag, { layers: ['signature'] });
  // A signature whose subject is elsewhere is an image like any other, or nobody would ever see it.
  const foreignTag = `sha256-${'ab'.repeat(32)}.sig`;
  await pushImage(oci, foreignTag, { layers: ['foreign'] });
  assert.deepEqual(new Set(names(await call(`GET ${images}`))), new Set(['v1', foreignTag]));
  const all = await call(`GET ${images}?attachments=true`);
  assert.deepEqual(new Set(names(all)), new Set(['v1', foreignTag, cosignTag, sbom.digest]));
  const shown = all.json.items.find((one: Json) => one.digest === sbom.digest);
  assert.equal(shown.subject, image.digest);
  assert.equal(shown.artifactType, 'application/spdx+json');
  assert.equal((await call(`GET ${images}?attachments=yes`)).status, 400);
});

async function pushMany({ oci, platform }: Native, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    // Two of each moment: the digest decides between them.
    if (i % 2 === 0) platform.clock.advance(1000);
    await pushImage(oci, `t${i}`, { layers: [`layer ${i}`] });
  }
}

test('pages of images go on where the page before ended, newest push first, while others push', async (t) => {
  const native = await openNative(t);
  await pushMany(native, 7);
  const seen: string[] = [];
  const times: string[] = [];
  for (let cursor: string | null = ''; cursor !== null; ) {
    const { json } = await native.call(`GET ${images}?limit=2${cursor && `&cursor=${cursor}`}`);
    seen.push(...json.items.map((one: Json) => one.tags[0]));
    times.push(...json.items.map((one: Json) => one.pushedAt));
    cursor = json.nextCursor;
    assert.ok(seen.length <= 7, 'a page repeats what was on another');
    native.platform.clock.advance(1000);
    await pushImage(native.oci, `new${seen.length}`, { layers: [`new ${seen.length}`] });
  }
  assert.deepEqual([...seen].sort(), ['t0', 't1', 't2', 't3', 't4', 't5', 't6']);
  assert.deepEqual(times, [...times].sort().reverse());
});

test('search finds a part of a tag or the beginning of a digest, in any case and never as a pattern', async (t) => {
  const native = await openNative(t);
  await pushMany(native, 3);
  const { digest } = await pushImage(native.oci, 'Release_1', { layers: ['release'] });
  const search = async (text: string) => names(await native.call(`GET ${images}?search=${encodeURIComponent(text)}`));
  assert.deepEqual(await search('release'), ['Release_1']);
  assert.deepEqual(await search(digest.slice('sha256:'.length, 20)), ['Release_1']);
  assert.deepEqual(await search(digest.slice(0, 12)), ['Release_1']);
  assert.deepEqual(await search('sha256:'), []);
  assert.deepEqual(await search(digest.toUpperCase()), ['Release_1']);
  assert.deepEqual(await search('_'), ['Release_1']);
  assert.deepEqual(await search('%'), []);
  assert.equal((await search('t')).length, 3);
});

test('an image with a thousand tags shows a hundred of them and says that there are more', async (t) => {
  const { call, oci, platform } = await openNative(t);
  const { digest } = await pushImage(oci, 'first');
  const { repository_id } = await platform.db.selectFrom('tags').select('repository_id').executeTakeFirstOrThrow();
  const tag = (name: string) => ({ repository_id, name, digest, belongs_to: null, created_at: 1, updated_at: 1 });
  const rows = Array.from({ length: 6000 }, (_, i) => tag(`n${String(i).padStart(4, '0')}`));
  for (let i = 0; i < rows.length; i += 1000)
    await platform.db
      .insertInto('tags')
      .values(rows.slice(i, i + 1000))
      .execute();
  const [image] = (await call(`GET ${images}`)).json.items;
  assert.equal(image.tags.length, 100);
  assert.equal(image.tags[0], 'first');
  assert.equal(image.tags[99], 'n0098');
  assert.equal(image.hasMoreTags, true);
});

test('deleting an image takes its tags along and frees its manifest', async (t) => {
  const { call, oci } = await openNative(t);
  const { digest, size } = await pushImage(oci, 'v1');
  await pushImage(oci, 'v2', { layers: ['other'] });
  const before = (await call('GET /registries/acme')).json.sizeBytes;
  assert.equal((await call(`DELETE ${images}/${digest}`)).status, 204);
  assert.equal((await call('GET /registries/acme')).json.sizeBytes, before - size);
  assert.equal((await call(`GET ${images}/${digest}`)).status, 404);
  assert.equal((await call(`DELETE ${images}/${digest}`)).status, 404);
  assert.equal((await oci('GET', '/v2/acme/app/manifests/v1')).status, 404);
  const events = (await call(`GET /audit-events?action=manifest.delete`)).json.items;
  assert.equal(events.length, 1);
  assert.equal(events[0].target.id, digest);
});
