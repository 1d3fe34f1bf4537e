import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Json, openNative } from '#test/native-client.ts';
import { pushImage } from '#test/oci-client.ts';

const actions = (answer: Json) => answer.json.items.map((one: Json) => one.action);

test('every change says who did what to which thing, when and from where', async (t) => {
  const { call, app, team, platform } = await openNative(t);
  const made = await app.inject({
    method: 'POST',
    url: '/lading/v1/registries',
    headers: { authorization: `Bearer ${team.secret}`, 'x-forwarded-for': '203.0.113.9' },
    remoteAddress: '192.0.2.7',
    payload: { name: 'web' },
  });
  const [event] = (await call('GET /audit-events')).json.items;
  assert.deepEqual(event, {
    id: event.id,
    action: 'registry.create',
    actor: { kind: 'key', id: team.owner.id, name: 'owner' },
    target: { kind: 'registry', id: made.json().id, name: 'web' },
    detail: event.detail,
    address: '192.0.2.7',
    createdAt: new Date(platform.now()).toISOString(),
  });
});

test('events are filtered by action, actor, target and time, and paged', async (t) => {
  const { call, oci, team, platform } = await openNative(t);
  await call('POST /registries', { body: { name: 'web' } });
  platform.clock.advance(60_000);
  const noon = new Date(platform.now()).toISOString();
  await call('PATCH /registries/web', { body: { isPublic: true } });
  platform.clock.advance(60_000);
  await pushImage(oci, 'acme/app', 'v1');
  const list = async (query: string) => actions(await call(`GET /audit-events?${query}`));
  assert.deepEqual(await list(''), ['manifest.push', 'registry.update', 'registry.create']);
  assert.deepEqual(await list('action=registry'), ['registry.update', 'registry.create']);
  assert.deepEqual(await list('action=registry.update'), ['registry.update']);
  assert.deepEqual(await list('action=reg%25'), []);
  assert.deepEqual(await list(`from=${noon}`), ['manifest.push', 'registry.update']);
  assert.deepEqual(await list(`to=${noon}`), ['registry.create']);
  assert.deepEqual(await list(`actorId=${team.owner.id}&targetKind=manifest`), ['manifest.push']);
  assert.deepEqual(await list('targetName=web&limit=1'), ['registry.update']);
  assert.deepEqual(await list('actorId=nobody'), []);
  const first = await call('GET /audit-events?limit=2');
  assert.deepEqual(actions(await call(`GET /audit-events?limit=2&cursor=${first.json.nextCursor}`)), [
    'registry.create',
  ]);
});
