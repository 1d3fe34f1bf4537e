import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createConnection } from '#core/connections.ts';
import { body, openPaperspace } from '#test/paperspace-client.ts';

const fields = { name: 'mine', url: 'https://registry.example.com', username: 'alice', password: 'planted-password' };

test('form A answers its own fields and statuses, and nothing of form B', async (t) => {
  const { a, team } = await openPaperspace(t);
  const made = await a('POST ', { body: { ...fields, kind: 'ghcr', namespace: 'ignored' } });
  const { id, ...rest } = made.json;
  const { password: _, ...shown } = fields;
  const expected = { ...shown, teamId: team.teamId, dtCreated: '2026-01-01T00:00:00.000Z' };
  assert.deepEqual([made.status, rest], [201, expected]);
  assert.deepEqual((await a(`GET /${id}`)).json, made.json);
  assert.deepEqual((await a('GET ')).json, [made.json]);
  const deleted = await a(`DELETE /${id}`);
  assert.deepEqual([deleted.status, deleted.text], [204, '']);
  assert.deepEqual((await a('GET ')).json, []);
});

test('a change in form A gives all four fields, and leaves alone what it has no words for', async (t) => {
  const { a, b } = await openPaperspace(t);
  const made = (await b('POST ', { body: body('mine', { kind: 'ghcr', url: 'ghcr.io' }) })).json;
  for (const field of Object.keys(fields)) {
    const { [field as keyof typeof fields]: _, ...rest } = { ...fields, url: 'ghcr.io' };
    const refused = await a(`PUT /${made.id}`, { body: rest });
    assert.deepEqual([refused.status, refused.json.issues], [400, [{ message: `${field}: is missing` }]]);
  }
  const changed = await a(`PUT /${made.id}`, { body: { ...fields, name: 'renamed', url: 'https://ghcr.io' } });
  assert.deepEqual([changed.status, changed.json.name], [200, 'renamed']);
  const { kind, namespace, name, url } = (await b(`GET /${made.id}`)).json;
  assert.deepEqual([kind, namespace, name, url], ['ghcr', 'team', 'renamed', 'https://ghcr.io']);
});

test('form A lists everything at once, newest first', async (t) => {
  const { a, platform, team } = await openPaperspace(t);
  const names = Array.from({ length: 501 }, (_, i) => `registry ${i}`);
  for (const name of names) await createConnection(platform, team.owner, { name, provider: 'oci', url: 'example.com' });
  const listed = (await a('GET ?limit=1&after=x&order=asc')).json;
  assert.deepEqual(
    listed.map((one: { name: string }) => one.name),
    names.toReversed(),
  );
});
