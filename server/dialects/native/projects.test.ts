import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Json, openNative } from '#test/native-client.ts';
import { pushImage } from '#test/oci-client.ts';
import { seedKey } from '#test/platform.ts';

test('a project is made with its managed registries, renamed, and deleted with them', async (t) => {
  const { call } = await openNative(t);
  const made = await call('POST /projects', { body: { name: 'Web Shop' } });
  assert.equal(made.status, 201, made.text);
  const { registries, ...project } = made.json;
  assert.deepEqual([project.name, project.slug], ['Web Shop', 'web-shop']);
  assert.deepEqual(
    registries.map((one: Json) => [one.name, one.isManaged, one.projectId]),
    [['web-shop', true, project.id]],
  );
  for (const ref of [project.id, 'web-shop']) assert.deepEqual((await call(`GET /projects/${ref}`)).json, project);
  assert.equal((await call('POST /projects', { body: { name: 'web shop!' } })).status, 409);
  const renamed = await call('PATCH /projects/web-shop', { body: { name: 'Store' } });
  assert.deepEqual(renamed.json, { ...project, name: 'Store' }, 'the slug stays');
  assert.deepEqual((await call('PATCH /projects/web-shop', { body: {} })).json, renamed.json);
  const ifMatch = { 'if-match': made.headers.etag ?? '' };
  assert.equal((await call('PATCH /projects/web-shop', { body: { name: 'x' }, headers: ifMatch })).status, 412);
  assert.equal((await call('DELETE /projects/web-shop')).status, 204);
  assert.equal((await call('DELETE /projects/web-shop')).status, 404);
  assert.equal((await call(`GET /registries/${registries[0].id}`)).json.status, 'deleting');
  const actions = (await call('GET /audit-events?action=project')).json.items.map((one: Json) => one.action);
  assert.deepEqual(actions, ['project.delete', 'project.update', 'project.create']);
});

test('a project whose registries hold images goes only by force', async (t) => {
  const { call, oci } = await openNative(t);
  await call('POST /projects', { body: { name: 'shop' } });
  await pushImage(oci, 'shop/app', 'v1');
  for (const query of ['', '?force=false']) assert.equal((await call(`DELETE /projects/shop${query}`)).status, 409);
  assert.equal((await call('DELETE /projects/shop?force=yes')).status, 400);
  assert.equal((await call('DELETE /projects/shop?force=true')).status, 204);
});

test('a key of a project renames its own, sees no other, and makes none', async (t) => {
  const { call, platform, team } = await openNative(t);
  await call('POST /projects', { body: { name: 'shop' } });
  const { secret: key } = await seedKey(platform, team.teamId, { projectIds: [team.projectId] });
  assert.equal((await call('POST /projects', { key, body: { name: 'x' } })).status, 403);
  assert.equal((await call('PATCH /projects/shop', { key, body: { name: 'x' } })).status, 404);
  assert.equal((await call('PATCH /projects/default', { key, body: { name: 'x' } })).json.name, 'x');
  for (const name of ['', ' ', 'x'.repeat(101), 'a\u202eb']) {
    assert.equal((await call('PATCH /projects/default', { body: { name } })).status, 400, JSON.stringify(name));
  }
});
