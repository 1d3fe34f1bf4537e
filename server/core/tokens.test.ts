import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openTestPlatform, seedKey, seedTeam } from '#test/platform.ts';
import { type Actor, findActorById, findActorBySecret, insertActor } from './actors.ts';
import { createApiKey } from './api-keys.ts';
import { listAuditEvents } from './audit-events.ts';
import { Failure } from './failure.ts';
import { hashSecret, newId } from './ids.ts';
import { holdsRight } from './permissions.ts';
import { createProject } from './projects.ts';
import { createRegistry } from './registries.ts';
import { deleteToken, refreshToken, regenerateToken, revokeToken, updateToken } from './token-changes.ts';
import type { TokenMode } from './token-rows.ts';
import { countTokens, createToken, findTokenBySecret, getToken, listTokens, type TokenOrder } from './tokens.ts';

const never = '0198c0de-0000-7000-8000-000000000000';
const hour = 3600_000;

async function open(t: Parameters<typeof openTestPlatform>[0]) {
  const platform = await openTestPlatform(t);
  const team = await seedTeam(platform, 'acme');
  return { platform, owner: team.owner, team };
}

function rights(actor: Actor | undefined, registry: { id: string; teamId: string; projectId: string | null }) {
  if (!actor) return 'nobody';
  const actions = ['pull', 'push', 'delete'] as const;
  return actions.filter((action) => holdsRight(actor, { ...registry, isPublic: false }, action)).join(' ');
}

test('ro pulls, rw pulls, pushes and deletes, on the registries named and on no others', async (t) => {
  const { platform, owner, team } = await open(t);
  const common = await createRegistry(platform, owner, { name: 'common' });
  const own = { id: team.registryId, teamId: team.teamId, projectId: team.projectId };
  const foreign = await seedTeam(platform, 'other');
  const theirs = { id: foreign.registryId, teamId: foreign.teamId, projectId: foreign.projectId };
  const cases: [TokenMode, string[] | null, string, string][] = [
    ['ro', null, 'pull', 'pull'],
    ['rw', null, 'pull push delete', 'pull push delete'],
    ['ro', [own.id], 'pull', ''],
    ['rw', [own.id], 'pull push delete', ''],
    ['rw', [common.id], '', 'pull push delete'],
    ['rw', [common.id, own.id], 'pull push delete', 'pull push delete'],
  ];
  for (const [mode, registryIds, onOwn, onCommon] of cases) {
    const { secret } = await createToken(platform, owner, { mode, registryIds });
    const actor = await findActorBySecret(platform, secret);
    assert.deepEqual([rights(actor, own), rights(actor, common)], [onOwn, onCommon], `${mode} ${registryIds}`);
    assert.equal(rights(actor, theirs), '');
    await assert.rejects(listTokens(platform, actor as Actor, { limit: 1 }), { reason: 'unauthenticated' });
  }
});

test('a token is answered as it is kept, its secret never again', async (t) => {
  const { platform, owner, team } = await open(t);
  const { token, secret } = await createToken(platform, owner, {
    name: 'deploy',
    mode: 'ro',
    registryIds: [team.registryId, team.registryId],
    expiry: { lifetimeMs: hour },
  });
  assert.deepEqual(token, {
    id: token.id,
    teamId: team.teamId,
    name: 'deploy',
    mode: 'ro',
    registryIds: [team.registryId],
    projectIds: [team.projectId],
    status: 'active',
    createdAt: platform.now(),
    expiresAt: platform.now() + hour,
    lastUsedAt: null,
  });
  assert.deepEqual(await getToken(platform, owner, token.id), token);
  assert.deepEqual(await findTokenBySecret(platform, owner, secret), token);
  await findActorBySecret(platform, secret);
  assert.equal((await getToken(platform, owner, token.id)).lastUsedAt, platform.now());
  await revokeToken(platform, owner, { token: token.id });
  await regenerateToken(platform, owner, { token: token.id });
  const hash = hashSecret(secret);
  const shown = JSON.stringify([
    await listTokens(platform, owner, { limit: 10 }),
    await listAuditEvents(platform, owner, { limit: 10 }),
  ]);
  assert.ok(!shown.includes(secret) && !shown.includes(hash));
});

test('none, unknown and foreign registries, and times past, are refused', async (t) => {
  const { platform, owner } = await open(t);
  const other = await seedTeam(platform, 'other');
  for (const registryIds of [[], [never], [other.registryId], ['acme'], ["x'"], ['a\0']]) {
    await assert.rejects(createToken(platform, owner, { mode: 'ro', registryIds }), { reason: 'invalid' });
  }
  for (const expiry of [{ at: platform.now() }, { at: 0 }, { lifetimeMs: 0 }]) {
    await assert.rejects(createToken(platform, owner, { mode: 'ro', registryIds: null, expiry }), {
      reason: 'invalid',
    });
  }
  const messages = [];
  for (const id of [never, other.registryId]) {
    const failure = await createToken(platform, owner, { mode: 'ro', registryIds: [id] }).catch((error) => error);
    messages.push(failure.message.replace(id, '…'));
  }
  assert.equal(messages[0], messages[1], 'a foreign registry and a missing one are refused in the same words');
});

test('nobody makes, widens, prolongs or renews a token beyond what they hold', async (t) => {
  // Without this, `tokens:write` alone would push, by making a token or by taking over a stronger one.
  const { platform, owner, team } = await open(t);
  const permissions = ['tokens:write', 'tokens:read', 'images:pull'];
  const { actor: puller } = await seedKey(platform, team.teamId, { permissions });
  await assert.rejects(createToken(platform, puller, { mode: 'rw', registryIds: null }), { reason: 'denied' });
  const { token: own } = await createToken(platform, puller, { mode: 'ro', registryIds: null });
  await assert.rejects(updateToken(platform, puller, { token: own.id, mode: 'rw' }), { reason: 'denied' });
  const { token: strong } = await createToken(platform, owner, { mode: 'rw', registryIds: [team.registryId] });
  const refused = [
    () => regenerateToken(platform, puller, { token: strong.id }),
    () => refreshToken(platform, puller, { token: strong.id }),
    () => updateToken(platform, puller, { token: strong.id, registryIds: null }),
    () => updateToken(platform, puller, { token: strong.id, expiry: null }),
  ];
  for (const use of refused) await assert.rejects(use(), { reason: 'denied' });
  const narrowed = await updateToken(platform, puller, { token: strong.id, name: 'renamed', mode: 'ro' });
  assert.deepEqual([narrowed.name, narrowed.mode], ['renamed', 'ro'], 'narrowing is always allowed');
});

test('a key bound to projects makes tokens for their registries alone, and widens none', async (t) => {
  const { platform, owner, team } = await open(t);
  const { project, registries } = await createProject(platform, owner, { name: 'web' });
  const [web] = registries;
  assert.ok(web);
  const common = await createRegistry(platform, owner, { name: 'common' });
  const own = { id: team.registryId, teamId: team.teamId, projectId: team.projectId };
  const { actor } = await seedKey(platform, team.teamId, { permissions: ['*'], projectIds: [project.id] });
  await assert.rejects(createToken(platform, actor, { mode: 'ro', registryIds: [own.id] }), { reason: 'invalid' });
  await assert.rejects(createToken(platform, actor, { mode: 'ro', registryIds: [common.id] }), { reason: 'denied' });
  const { token, secret } = await createToken(platform, actor, { mode: 'rw', registryIds: null });
  const made = await findActorBySecret(platform, secret);
  assert.deepEqual(
    [web, common, own].map((registry) => rights(made, registry)),
    ['pull push delete', 'pull', ''],
  );
  const change = { token: token.id, registryIds: [own.id] };
  await assert.rejects(updateToken(platform, actor, change), { reason: 'invalid' });
  const { token: foreign } = await createToken(platform, owner, { mode: 'ro', registryIds: [own.id] });
  const { token: wide } = await createToken(platform, owner, { mode: 'ro', registryIds: null });
  for (const use of [revokeToken, deleteToken, refreshToken, regenerateToken, updateToken]) {
    await assert.rejects(use(platform, actor, { token: foreign.id }), { reason: 'not_found' });
    await assert.rejects(use(platform, actor, { token: wide.id }), { reason: 'denied' });
  }
  await assert.rejects(getToken(platform, actor, foreign.id), { reason: 'not_found' });
  const seen = await listTokens(platform, actor, { limit: 10 });
  assert.deepEqual(
    seen.items.map(({ id }) => id),
    [token.id, wide.id],
  );
  const { actor: puller } = await seedKey(platform, team.teamId, { permissions: ['tokens:write', 'images:pull'] });
  await assert.rejects(
    updateToken(platform, puller, { token: token.id, registryIds: null }),
    { reason: 'denied' },
    'all of the team is more than all of a project',
  );
});

test('a change, a revocation and a new secret count from the next request on', async (t) => {
  const { platform, owner, team } = await open(t);
  const own = { id: team.registryId, teamId: team.teamId, projectId: team.projectId };
  const { token, secret } = await createToken(platform, owner, { mode: 'rw', registryIds: null });
  assert.equal(rights(await findActorBySecret(platform, secret), own), 'pull push delete');
  await updateToken(platform, owner, { token: token.id, mode: 'ro' });
  assert.equal(rights(await findActorBySecret(platform, secret), own), 'pull');
  assert.equal(rights(await findActorById(platform, token.id, 1), own), 'pull');
  const { secret: next } = await regenerateToken(platform, owner, { token: token.id });
  assert.equal(await findActorBySecret(platform, secret), undefined);
  assert.equal(await findActorById(platform, token.id, 1), undefined, 'access tokens of the old secret are dead');
  assert.ok(await findActorBySecret(platform, next));
  assert.ok(await findActorById(platform, token.id, 2));
  await revokeToken(platform, owner, { token: token.id });
  assert.equal(await findActorBySecret(platform, next), undefined);
  assert.equal(await findActorById(platform, token.id, 2, { orExpired: true }), undefined);
});

test('refresh prolongs by the lifetime or to a time given, wakes an expired token and no revoked one', async (t) => {
  const { platform, owner } = await open(t);
  const expiry = { lifetimeMs: hour };
  const { token, secret } = await createToken(platform, owner, { mode: 'ro', registryIds: null, expiry });
  const change = { token: token.id };
  platform.clock.advance(2 * hour);
  assert.equal((await getToken(platform, owner, token.id)).status, 'expired');
  assert.equal(await findActorBySecret(platform, secret), undefined);
  const woken = await refreshToken(platform, owner, change);
  assert.deepEqual([woken.status, woken.expiresAt], ['active', platform.now() + hour]);
  assert.ok(await findActorBySecret(platform, secret));
  await revokeToken(platform, owner, change);
  const at = platform.now() + 5 * hour;
  const revoked = await refreshToken(platform, owner, { ...change, expiry: { at } });
  assert.deepEqual([revoked.status, revoked.expiresAt], ['revoked', at]);
  assert.equal(await findActorBySecret(platform, secret), undefined);
  await assert.rejects(refreshToken(platform, owner, { ...change, expiry: { at: platform.now() } }), {
    reason: 'invalid',
  });
  assert.equal((await refreshToken(platform, owner, { ...change, expiry: null })).expiresAt, null);
  assert.equal((await refreshToken(platform, owner, change)).expiresAt, null, 'what never ends has no lifetime to add');
});

test('regenerate makes an expired or revoked token active again, with the same id and rights', async (t) => {
  const { platform, owner, team } = await open(t);
  const expiry = { lifetimeMs: hour };
  const { token } = await createToken(platform, owner, { mode: 'ro', registryIds: [team.registryId], expiry });
  platform.clock.advance(2 * hour);
  const expired = await regenerateToken(platform, owner, { token: token.id });
  assert.deepEqual(expired.token, { ...token, expiresAt: platform.now() + hour });
  await revokeToken(platform, owner, { token: token.id });
  platform.clock.advance(1000);
  const revoked = await regenerateToken(platform, owner, { token: token.id });
  assert.deepEqual(revoked.token, expired.token, 'an end still to come stays');
  assert.notEqual(revoked.secret, expired.secret);
  assert.ok(await findActorBySecret(platform, revoked.secret));
});

test('revoking twice is no fault and keeps the token; deleting forgets it', async (t) => {
  const { platform, owner } = await open(t);
  const { token, secret } = await createToken(platform, owner, { mode: 'ro', registryIds: null });
  for (const _ of [1, 2]) {
    assert.equal((await revokeToken(platform, owner, { token: token.id })).status, 'revoked');
  }
  assert.equal((await findTokenBySecret(platform, owner, secret))?.status, 'revoked');
  await deleteToken(platform, owner, { token: token.id });
  assert.equal(await findTokenBySecret(platform, owner, secret), undefined);
  for (const use of [deleteToken, revokeToken, refreshToken, regenerateToken, updateToken]) {
    await assert.rejects(use(platform, owner, { token: token.id }), { reason: 'not_found' });
  }
});

test("another team's tokens, keys and robots are not found, in the words used for what never was", async (t) => {
  const { platform, owner, team } = await open(t);
  const other = await seedTeam(platform, 'other');
  const { token, secret } = await createToken(platform, owner, { mode: 'rw', registryIds: null });
  const robot = await seedRobot(platform, team);
  const messages = [];
  for (const [actor, id] of [
    [other.owner, token.id],
    [other.owner, never],
    [other.owner, 'x\0'],
    [owner, owner.id],
    [owner, robot.id],
  ] as const) {
    for (const use of [
      () => getToken(platform, actor, id),
      () => updateToken(platform, actor, { token: id, mode: 'rw' }),
      () => refreshToken(platform, actor, { token: id }),
      () => regenerateToken(platform, actor, { token: id }),
      () => revokeToken(platform, actor, { token: id }),
      () => deleteToken(platform, actor, { token: id }),
    ]) {
      const failure = await use().catch((error) => error);
      assert.ok(failure instanceof Failure && failure.reason === 'not_found', id);
      messages.push(failure.message.replace(JSON.stringify(id), '…'));
    }
  }
  assert.equal(new Set(messages).size, 1);
  assert.equal(await findTokenBySecret(platform, other.owner, secret), undefined);
  assert.deepEqual((await listTokens(platform, other.owner, { limit: 10 })).items, []);
  const listed = await listTokens(platform, owner, { limit: 10 });
  assert.deepEqual(
    listed.items.map(({ id }) => id),
    [token.id],
    'robots are not tokens of the list',
  );
  assert.ok(await findActorBySecret(platform, secret));
});

async function seedRobot(platform: Parameters<typeof getToken>[0], team: Awaited<ReturnType<typeof seedTeam>>) {
  const id = newId();
  await insertActor(platform, {
    id,
    kind: 'robot',
    team_id: team.teamId,
    name: 'scanner-1',
    secret_hash: hashSecret('robot'),
    generation: 1,
    permissions: JSON.stringify(['images:pull', 'images:push', 'tokens:write', 'keys:write']),
    project_ids: JSON.stringify([team.projectId]),
    registry_ids: JSON.stringify([team.registryId]),
    lifetime_ms: null,
    expires_at: null,
    revoked_at: null,
    last_used_at: null,
    created_at: platform.now(),
  });
  return { id };
}

test('a robot manages nothing, whatever its row says and whatever its name is', async (t) => {
  const { platform, owner, team } = await open(t);
  await seedRobot(platform, team);
  const robot = await findActorBySecret(platform, 'robot');
  assert.ok(robot);
  const { token } = await createToken(platform, owner, { mode: 'ro', registryIds: null });
  for (const use of [
    createToken(platform, robot, { mode: 'ro', registryIds: [team.registryId] }),
    updateToken(platform, robot, { token: token.id, mode: 'ro' }),
    regenerateToken(platform, robot, { token: token.id }),
    deleteToken(platform, robot, { token: token.id }),
    createApiKey(platform, robot, { name: 'x', permissions: ['images:pull'] }),
  ]) {
    await assert.rejects(use, { reason: 'unauthenticated' });
  }
});

test('tokens are listed in every order, searched by name and chosen by mode', async (t) => {
  const { platform, owner } = await open(t);
  const made = [
    { name: 'b', mode: 'ro', expiry: null },
    { name: 'A', mode: 'rw', expiry: { lifetimeMs: 2 * hour } },
    { name: '', mode: 'ro', expiry: { lifetimeMs: hour } },
  ] as const;
  const secrets = [];
  for (const input of made) {
    platform.clock.advance(1000);
    secrets.push((await createToken(platform, owner, { ...input, registryIds: null })).secret);
  }
  await findActorBySecret(platform, secrets[1] ?? '');
  const orders: Record<TokenOrder['by'], string[]> = {
    createdAt: ['b', 'A', ''],
    name: ['', 'A', 'b'],
    expiresAt: ['', 'A', 'b'],
    lastUsedAt: ['b', '', 'A'],
  };
  for (const [by, expected] of Object.entries(orders) as [TokenOrder['by'], string[]][]) {
    for (const descending of [false, true]) {
      const sort = { by, descending };
      const first = await listTokens(platform, owner, { limit: 2, sort });
      const second = await listTokens(platform, owner, { limit: 2, sort, after: first.nextCursor });
      const names = [...first.items, ...second.items].map(({ name }) => name);
      assert.deepEqual(names, descending ? expected.toReversed() : expected, `${by} ${descending}`);
    }
  }
  assert.equal(await countTokens(platform, owner, { mode: 'ro' }), 2);
  assert.equal(await countTokens(platform, owner, { search: 'a', mode: 'rw' }), 1);
  assert.deepEqual(
    (await listTokens(platform, owner, { limit: 9, mode: 'rw' })).items.map(({ name }) => name),
    ['A'],
  );
});

test('an own list of registries stays good as an input when one of them has gone', async (t) => {
  const { platform, owner } = await open(t);
  const [a, b] = [
    await createRegistry(platform, owner, { name: 'a' }),
    await createRegistry(platform, owner, { name: 'b' }),
  ];
  const { token } = await createToken(platform, owner, { mode: 'ro', registryIds: [a.id, b.id] });
  await platform.db.deleteFrom('registries').where('id', '=', a.id).execute();
  const same = await updateToken(platform, owner, { token: token.id, registryIds: token.registryIds });
  assert.deepEqual(same.registryIds, token.registryIds);
  const fewer = await updateToken(platform, owner, { token: token.id, registryIds: [b.id] });
  assert.deepEqual(fewer.registryIds, [b.id]);
  await assert.rejects(updateToken(platform, owner, { token: token.id, registryIds: [a.id] }), { reason: 'invalid' });
});

test('two changes at once both count', async (t) => {
  const { platform, owner } = await open(t);
  const { token } = await createToken(platform, owner, { mode: 'rw', registryIds: null, name: 'old' });
  await Promise.all([
    updateToken(platform, owner, { token: token.id, mode: 'ro' }),
    updateToken(platform, owner, { token: token.id, name: 'new' }),
  ]);
  const { name, mode } = await getToken(platform, owner, token.id);
  assert.deepEqual([name, mode], ['new', 'ro']);
});
