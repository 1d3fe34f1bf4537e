import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Json, openNative } from '#test/native-client.ts';
import { pushImage } from '#test/oci-client.ts';

const tags = '/registries/acme/repositories/app/tags';
const names = (answer: Json) => answer.json.items.map((one: Json) => one.name);

test('tags are listed byte by byte, searched, sorted and paged, with what they point to', async (t) => {
  const { call, oci, platform } = await openNative(t);
  const digest = await pushImage(oci, 'acme/app', 'v1');
  for (const tag of ['V2', 'a_b', 'latest']) await pushImage(oci, 'acme/app', tag);
  assert.deepEqual(names(await call(`GET ${tags}`)), ['V2', 'a_b', 'latest', 'v1']);
  assert.deepEqual(names(await call(`GET ${tags}?sort=-name&limit=2`)), ['v1', 'latest']);
  assert.deepEqual(names(await call(`GET ${tags}?search=v`)), ['V2', 'v1']);
  assert.deepEqual(names(await call(`GET ${tags}?search=_`)), ['a_b']);
  const first = await call(`GET ${tags}?limit=3`);
  assert.deepEqual(names(await call(`GET ${tags}?limit=3&cursor=${first.json.nextCursor}`)), ['v1']);
  const created = new Date(platform.now()).toISOString();
  assert.deepEqual(first.json.items[0], { name: 'V2', digest, createdAt: created, updatedAt: created });
});

test('a tag that moves keeps the time it was made', async (t) => {
  const { call, oci, platform } = await openNative(t);
  await pushImage(oci, 'acme/app', 'v1');
  const [before] = (await call(`GET ${tags}`)).json.items;
  platform.clock.advance(60_000);
  const digest = await pushImage(oci, 'acme/app', 'v1', ['other']);
  const [after] = (await call(`GET ${tags}`)).json.items;
  assert.deepEqual(after, { ...before, digest, updatedAt: new Date(platform.now()).toISOString() });
});

test('deleting a tag leaves the image, which is found by its digest', async (t) => {
  const { call, oci } = await openNative(t);
  const digest = await pushImage(oci, 'acme/app', 'v1');
  const deleted = await call(`DELETE ${tags}/v1`);
  assert.equal(deleted.status, 204);
  assert.equal(deleted.text, '');
  assert.equal((await call(`DELETE ${tags}/v1`)).status, 404);
  assert.equal((await call(`DELETE ${tags}/-bad`)).status, 400);
  const image = await call(`GET /registries/acme/repositories/app/images/${digest}`);
  assert.deepEqual(image.json.tags, []);
  const [event] = (await call('GET /audit-events?action=tag.delete')).json.items;
  assert.equal(event.target.name, 'acme/app:v1');
});
