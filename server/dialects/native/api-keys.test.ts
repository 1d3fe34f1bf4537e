import assert from 'node:assert/strict';
import { test } from 'node:test';
import { permissionWords } from '#contract/api-keys.ts';
import { permissions } from '#core/permissions.ts';
import { type Json, openNative } from '#test/native-client.ts';
import { seedKey } from '#test/platform.ts';

test('the contract names exactly the permissions there are', () => {
  assert.deepEqual([...permissionWords], ['*', ...permissions, 'teams:write']);
});

test('an API key is made, works until it is revoked, and shows its secret once', async (t) => {
  const { call, team, platform } = await openNative(t);
  const expiresAt = new Date(platform.now() + 3600_000).toISOString();
  const made = await call('POST /api-keys', {
    body: { name: 'ci', permissions: ['registries:read'], projectIds: ['default'], expiresAt },
  });
  assert.equal(made.status, 201, made.text);
  const { secret, ...shown } = made.json;
  assert.match(secret, /^ldg_key_[\w-]{43}$/);
  assert.deepEqual(shown, {
    id: shown.id,
    name: 'ci',
    permissions: ['registries:read'],
    projectIds: [team.projectId],
    status: 'active',
    expiresAt,
    lastUsedAt: null,
    createdAt: new Date(platform.now()).toISOString(),
  });
  assert.equal((await call('GET /registries', { key: secret })).status, 200);
  assert.equal((await call('POST /registries', { key: secret, body: { name: 'x' } })).status, 403);
  for (const answer of [await call('GET /api-keys'), await call(`GET /api-keys/${shown.id}`)]) {
    assert.ok(!answer.text.includes(secret));
    assert.ok(!answer.text.includes('secret'));
  }
  assert.equal((await call(`DELETE /api-keys/${shown.id}`)).status, 204);
  assert.equal((await call('GET /registries', { key: secret })).status, 401);
  assert.equal((await call(`GET /api-keys/${shown.id}`)).status, 404);
  assert.equal((await call(`DELETE /api-keys/${shown.id}`)).status, 404);
});

test('an expired key is answered like one that never was', async (t) => {
  const { call, platform } = await openNative(t);
  const expiresAt = new Date(platform.now() + 1000).toISOString();
  const { secret } = (await call('POST /api-keys', { body: { name: 'k', permissions: ['*'], expiresAt } })).json;
  platform.clock.advance(1000);
  const refused = await Promise.all(
    [secret, 'ldg_key_unknown', 'x'].map(async (key) => {
      const { status, json, headers } = await call('GET /registries', { key });
      return { status, detail: json.detail, challenge: headers['www-authenticate'] };
    }),
  );
  assert.equal(new Set(refused.map((one) => JSON.stringify(one))).size, 1);
  assert.deepEqual(refused[0]?.status, 401);
  assert.equal(refused[0]?.challenge, 'Bearer realm="lading", error="invalid_token"');
});

test('nobody makes a key beyond what they hold', async (t) => {
  const { call, team, platform } = await openNative(t);
  const held = ['keys:read', 'keys:write', 'registries:read'];
  const bound = await seedKey(platform, team.teamId, { permissions: held, projectIds: [team.projectId] });
  const make = (body: object) => call('POST /api-keys', { key: bound.secret, body: { name: 'k', ...body } });
  for (const permission of permissionWords.filter((word) => !held.includes(word))) {
    assert.equal((await make({ permissions: [permission] })).status, 403, permission);
  }
  const wholeTeam = await make({ permissions: ['registries:read'], projectIds: null });
  assert.deepEqual(wholeTeam.json.projectIds, [team.projectId], 'a bound key makes bound keys');
  assert.equal((await make({ permissions: ['registries:read'], projectIds: ['other'] })).status, 400);
  const owner = team.owner.id;
  assert.equal((await call(`DELETE /api-keys/${owner}`, { key: bound.secret })).status, 403);
});

test('what cannot be a key is refused with the field at fault', async (t) => {
  const { call } = await openNative(t);
  const cases: [object, string][] = [
    [{ permissions: ['*'] }, '/name'],
    [{ name: 'k' }, '/permissions'],
    [{ name: 'k', permissions: [] }, '/permissions'],
    [{ name: 'k', permissions: ['registries:*'] }, '/permissions/0'],
    [{ name: 'k', permissions: ['*'], projectIds: [] }, '/projectIds'],
    [{ name: 'k', permissions: ['*'], teamId: 'x' }, '/teamId'],
    [{ name: 'k', permissions: ['*'], kind: 'system' }, '/kind'],
    [{ name: 'k', permissions: ['*'], secret: 'ldg_key_mine' }, '/secret'],
  ];
  for (const [body, pointer] of cases) {
    const { json, text } = await call('POST /api-keys', { body });
    assert.equal(json.status, 400, JSON.stringify(body));
    assert.ok(
      json.errors.some((one: Json) => one.pointer === pointer),
      text,
    );
  }
});

test('a token and a robot have no place here, through Bearer and Basic alike', async (t) => {
  const { call, app } = await openNative(t);
  const { secret } = (await call('POST /tokens', { body: { scope: 'rw', registryIds: null } })).json;
  const basic = `Basic ${Buffer.from(`any:${secret}`).toString('base64')}`;
  for (const authorization of [`Bearer ${secret}`, basic]) {
    const answer = await app.inject({ url: '/lading/v1/registries', headers: { authorization } });
    assert.equal(answer.statusCode, 401);
    assert.match(answer.json().detail, /registry token, not an API key/);
  }
});
