import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestOf, pushBlob, pushImage } from '#test/oci-client.ts';
import { type Json, openSelectel, type Selectel } from '#test/selectel-client.ts';

async function openRepositories(t: Parameters<typeof openSelectel>[0]) {
  const selectel = await openSelectel(t);
  return { ...selectel, base: `/registries/${selectel.team.registryId}/repositories` };
}

const namesOf = (list: Json) => list.map((one: Json) => one.name);

/** Three repositories, of different sizes and pushed one after the other. */
async function pushThree({ oci, clock }: Selectel): Promise<void> {
  for (const [name, layer] of Object.entries({ 'b/web': 'xx', a: 'x', 'b/api': 'xxx' })) {
    clock.advance(1000);
    await pushImage(oci, `acme/${name}`, 'v1', [layer]);
  }
}

test('a repository is shown with its size, type and time, under its encoded name', async (t) => {
  const { call, oci, base } = await openRepositories(t);
  await pushImage(oci, 'acme/team/app', 'v1', ['layer']);
  const { status, json } = await call(`GET /v1${base}/team%2Fapp`);
  assert.equal(status, 200);
  assert.deepEqual(json, {
    name: 'team/app',
    size: json.size,
    type: 'docker_image',
    updatedAt: '2026-01-01T00:00:00Z',
  });
  const registry = (await call('GET /v1/registries')).json[0];
  assert.equal(json.size, registry.size);
  assert.deepEqual((await call(`GET /v1${base}`)).json, [json]);
  const v2 = await call(`GET /v2${base}`);
  assert.deepEqual(v2.json, { filteredCount: 1, repositories: [json], totalCount: 1 });
});

test('a Helm chart is called one', async (t) => {
  const { call, oci, base } = await openRepositories(t);
  const digest = await pushBlob(oci, 'acme/chart', '{}');
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  const config = { mediaType: 'application/vnd.cncf.helm.config.v1+json', digest, size: 2 };
  const body = JSON.stringify({ schemaVersion: 2, mediaType, config, layers: [] });
  const pushed = await oci('PUT', '/v2/acme/chart/manifests/1', { headers: { 'content-type': mediaType }, body });
  assert.equal(pushed.status, 201);
  assert.equal((await call(`GET /v1${base}/chart`)).json.type, 'helm_chart');
});

test('repositories are sorted, cut and searched as asked, and counted', async (t) => {
  const selectel = await openRepositories(t);
  const { call, base } = selectel;
  await pushThree(selectel);
  const cases: [query: string, names: string[], filtered?: number][] = [
    ['', ['a', 'b/api', 'b/web']],
    ['sort_type=desc', ['b/web', 'b/api', 'a']],
    ['sort_field=updatedAt', ['b/web', 'a', 'b/api']],
    ['sort_field=updatedAt&sort_type=desc', ['b/api', 'a', 'b/web']],
    ['sort_field=size', ['a', 'b/web', 'b/api']],
    ['sort_field=size&sort_type=desc&limit=1&offset=1', ['b/web']],
    ['limit=2', ['a', 'b/api']],
    ['offset=3', []],
    ['search=B/', ['b/api', 'b/web'], 2],
    ['search=b%2F&offset=1', ['b/web'], 2],
    ['search=none', [], 0],
  ];
  for (const [query, names, filtered = 3] of cases) {
    const v1 = await call(`GET /v1${base}?${query}`);
    assert.deepEqual([v1.status, namesOf(v1.json)], [200, names], query);
    const { json } = await call(`GET /v2${base}?${query}`);
    assert.deepEqual([namesOf(json.repositories), json.filteredCount, json.totalCount], [names, filtered, 3], query);
  }
});

test('the short form has names alone, sorted by them', async (t) => {
  const selectel = await openRepositories(t);
  const { call, base } = selectel;
  await pushThree(selectel);
  const query = 'short=true&sort_field=size&sort_type=desc&limit=2';
  const expected = [{ name: 'b/web' }, { name: 'b/api' }];
  assert.deepEqual((await call(`GET /v1${base}?${query}`)).json, expected);
  const v2 = await call(`GET /v2${base}?${query}`);
  assert.deepEqual(v2.json, { filteredCount: 3, repositories: expected, totalCount: 3 });
});

test('an empty registry has an empty list', async (t) => {
  const { call, base } = await openRepositories(t);
  const v1 = await call(`GET /v1${base}`);
  assert.deepEqual([v1.status, v1.text], [200, '[]']);
  assert.deepEqual((await call(`GET /v2${base}`)).json, { filteredCount: 0, repositories: [], totalCount: 0 });
});

test('a deleted repository is gone at once, and no collection starts by itself', async (t) => {
  const { call, oci, base, team } = await openRepositories(t);
  await pushImage(oci, 'acme/team/app', 'v1', ['layer']);
  const deleted = await call(`DELETE /v1${base}/team%2Fapp`);
  assert.deepEqual([deleted.status, deleted.text], [204, '']);
  for (const request of ['GET', 'DELETE']) {
    const again = await call(`${request} /v1${base}/team%2Fapp`);
    assert.deepEqual([again.status, again.json], [404, { error: 'Repository not found.' }]);
  }
  assert.equal((await call(`GET /v1/registries/${team.registryId}`)).json.status, 'ACTIVE');
});

test('slashes that a client forgot to encode are taken for the name’s', async (t) => {
  const { call, oci, base } = await openRepositories(t);
  const digest = await pushImage(oci, 'acme/a/b/c', 'v1', ['layer']);
  for (const name of ['a%2Fb%2Fc', 'a%2fb%2fc', 'a/b/c', 'a%2Fb/c']) {
    for (const path of ['tags', 'images', 'v1', digest, encodeURIComponent(digest), 'images?x=1']) {
      assert.equal((await call(`GET /v1${base}/${name}/${path}`)).status, 200, `${name}/${path}`);
    }
    assert.equal((await call(`GET /v2${base}/${name}/images?search=v1`)).json.filteredCount, 1, name);
  }
  assert.equal((await call(`GET /v1${base}/a%252Fb%252Fc/tags`)).status, 404);
});

test('a cleanup answers what went and what did not, in the vendor’s words', async (t) => {
  const { call, oci, base, team } = await openRepositories(t);
  const one = await pushImage(oci, 'acme/app', 'a', ['one']);
  await pushImage(oci, 'acme/app', 'b', ['one']);
  const two = await pushImage(oci, 'acme/app', 'c', ['two']);
  const never = digestOf('never');
  const body = { digests: [one, never], tags: ['nix'], disable_gc: true, more: 'is ignored' };
  const { status, json } = await call(`POST /v1${base}/app/cleanup`, { body });
  assert.equal(status, 200);
  assert.deepEqual(json, {
    deleted: [{ digest: one, tags: ['a', 'b'] }],
    failed: [
      { digest: '', error: 'There is no such tag in this repository.', tags: ['nix'] },
      { digest: never, error: 'There is no such image in this repository.', tags: [] },
    ],
  });
  const registry = `GET /v1/registries/${team.registryId}`;
  assert.equal((await call(registry)).json.status, 'ACTIVE');
  const second = await call(`POST /v1${base}/app/cleanup`, { body: { tags: ['c'] } });
  assert.deepEqual(second.json, { deleted: [{ digest: two, tags: ['c'] }], failed: [] });
  assert.equal((await call(registry)).json.status, 'GARBAGE_COLLECTION');
  // A collection that waits is no reason to refuse the next one.
  const third = await call(`POST /v1${base}/app/cleanup`, { headers: { 'content-type': 'application/json' } });
  assert.deepEqual([third.status, third.json], [200, { deleted: [], failed: [] }]);
});
