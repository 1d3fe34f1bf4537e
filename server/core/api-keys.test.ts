import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openTestPlatform, seedKey, seedTeam } from '#test/platform.ts';
import { findActorById, findActorBySecret } from './actors.ts';
import { createApiKey, getApiKey, listApiKeys, revokeApiKey } from './api-keys.ts';
import { listAuditEvents } from './audit-events.ts';
import { Failure } from './failure.ts';
import { createProject } from './projects.ts';

const never = '0198c0de-0000-7000-8000-000000000000';

test('a key is shown once and holds what was given', async (t) => {
  const platform = await openTestPlatform(t);
  const { owner } = await seedTeam(platform, 'acme');
  const { key, secret } = await createApiKey(platform, owner, {
    name: ' CI ',
    permissions: ['images:pull', 'images:push', 'images:pull'],
    expiry: { lifetimeMs: 1000 },
  });
  assert.equal(key.name, 'CI');
  assert.deepEqual(key.permissions, ['images:pull', 'images:push']);
  assert.equal(key.expiresAt, platform.now() + 1000);
  const actor = await findActorBySecret(platform, secret);
  assert.deepEqual([...(actor?.permissions ?? [])], ['images:pull', 'images:push']);
  const { items } = await listApiKeys(platform, owner, { limit: 10, search: 'ci' });
  assert.deepEqual(items, [{ ...key, lastUsedAt: platform.now() }]);
});

test('an expired key signs in nobody and is listed as expired', async (t) => {
  const platform = await openTestPlatform(t);
  const { owner } = await seedTeam(platform, 'acme');
  const expiry = { at: platform.now() + 500 };
  const { key, secret } = await createApiKey(platform, owner, { name: 'CI', permissions: ['*'], expiry });
  assert.ok(await findActorBySecret(platform, secret));
  platform.clock.advance(500);
  assert.equal(await findActorBySecret(platform, secret), undefined);
  assert.equal((await getApiKey(platform, owner, key.id)).status, 'expired');
});

test('nobody gives a permission that they do not hold', async (t) => {
  // Without this a key for making keys would be a key for everything.
  const platform = await openTestPlatform(t);
  const { teamId, owner } = await seedTeam(platform, 'acme');
  const { actor: all } = await seedKey(platform, teamId, { permissions: ['*'] });
  const { actor: few } = await seedKey(platform, teamId, { permissions: ['keys:write', 'images:pull'] });
  const make = (actor: typeof all, permissions: string[]) => createApiKey(platform, actor, { name: 'x', permissions });
  await assert.rejects(make(few, ['images:push']), { reason: 'denied', message: /images:push/ });
  await assert.rejects(make(few, ['*']), { reason: 'denied' });
  await assert.rejects(make(all, ['teams:write']), { reason: 'denied', message: /teams:write/ });
  await assert.rejects(make(all, ['*', 'teams:write']), { reason: 'denied' });
  await make(few, ['images:pull', 'keys:write']);
  await make(all, ['*']);
  await make(owner, ['*', 'teams:write']);
});

test('unknown permissions, projects, names and times are refused', async (t) => {
  const platform = await openTestPlatform(t);
  const { owner } = await seedTeam(platform, 'acme');
  const other = await seedTeam(platform, 'other');
  const good = { name: 'x', permissions: ['images:pull'] };
  const bad = [
    { ...good, permissions: [] },
    { ...good, permissions: ['images:*'] },
    { ...good, permissions: ['constructor'] },
    { ...good, projectIds: [] },
    { ...good, projectIds: [other.projectId] },
    { ...good, projectIds: ['default', never] },
    { ...good, name: '' },
    { ...good, expiry: { at: platform.now() } },
    { ...good, expiry: { at: 1.5 } },
    { ...good, expiry: { lifetimeMs: -1 } },
    { ...good, expiry: { lifetimeMs: Number.POSITIVE_INFINITY } },
  ];
  for (const input of bad) {
    await assert.rejects(createApiKey(platform, owner, input), { reason: 'invalid' }, JSON.stringify(input));
  }
  assert.equal((await listApiKeys(platform, owner, { limit: 10 })).items.length, 1);
});

test('a key bound to projects makes keys for them alone, and sees no others', async (t) => {
  const platform = await openTestPlatform(t);
  const { teamId, projectId, owner } = await seedTeam(platform, 'acme');
  const { project } = await createProject(platform, owner, { name: 'web' });
  const { actor } = await seedKey(platform, teamId, { permissions: ['*'], projectIds: [project.id] });
  const make = (projectIds?: string[]) => createApiKey(platform, actor, { name: 'x', permissions: ['*'], projectIds });
  assert.deepEqual((await make()).key.projectIds, [project.id], 'without a list it gets what its maker has');
  assert.deepEqual((await make(['web'])).key.projectIds, [project.id]);
  await assert.rejects(make([projectId]), { reason: 'invalid' });
  await assert.rejects(make(['web', 'default']), { reason: 'invalid' });
  const { key: foreign } = await createApiKey(platform, owner, {
    name: 'foreign',
    permissions: ['*'],
    projectIds: [projectId],
  });
  const { key: shared } = await createApiKey(platform, owner, {
    name: 'shared',
    permissions: ['*'],
    projectIds: [projectId, project.id],
  });
  const seen = (await listApiKeys(platform, actor, { limit: 10 })).items.map(({ name }) => name);
  assert.ok(seen.includes('shared') && !seen.includes('foreign'));
  await assert.rejects(getApiKey(platform, actor, foreign.id), { reason: 'not_found' });
  await assert.rejects(revokeApiKey(platform, actor, { key: foreign.id }), { reason: 'not_found' });
  await assert.rejects(revokeApiKey(platform, actor, { key: shared.id }), { reason: 'denied' });
  await assert.rejects(revokeApiKey(platform, actor, { key: owner.id }), { reason: 'denied' });
});

test('a revoked key opens nothing from the next request on, through its access tokens neither', async (t) => {
  const platform = await openTestPlatform(t);
  const { owner } = await seedTeam(platform, 'acme');
  const { key, secret } = await createApiKey(platform, owner, { name: 'CI', permissions: ['*'] });
  assert.ok(await findActorBySecret(platform, secret));
  assert.ok(await findActorById(platform, key.id, 1));
  await revokeApiKey(platform, owner, { key: key.id });
  assert.equal(await findActorBySecret(platform, secret), undefined);
  assert.equal(await findActorById(platform, key.id, 1), undefined);
  assert.equal(await findActorById(platform, key.id, 1, { orExpired: true }), undefined);
  for (const use of [getApiKey(platform, owner, key.id), revokeApiKey(platform, owner, { key: key.id })]) {
    await assert.rejects(use, { reason: 'not_found' });
  }
});

test("another team's keys are not found, in the words used for those that never were", async (t) => {
  const platform = await openTestPlatform(t);
  const [acme, other] = [await seedTeam(platform, 'acme'), await seedTeam(platform, 'other')];
  const messages = [];
  for (const id of [acme.owner.id, never, 'x', 'a\0', '%']) {
    for (const use of [
      () => getApiKey(platform, other.owner, id),
      () => revokeApiKey(platform, other.owner, { key: id }),
    ]) {
      const failure = await use().catch((error) => error);
      assert.ok(failure instanceof Failure && failure.reason === 'not_found', id);
      messages.push(failure.message.replace(JSON.stringify(id), '…'));
    }
  }
  assert.equal(new Set(messages).size, 1);
  assert.ok(await findActorBySecret(platform, acme.secret));
  const seen = await listApiKeys(platform, other.owner, { limit: 10 });
  assert.deepEqual(
    seen.items.map(({ id }) => id),
    [other.owner.id],
  );
});

test('no secret and no hash is in a list, an answer, a search or the audit log', async (t) => {
  const platform = await openTestPlatform(t);
  const { owner } = await seedTeam(platform, 'acme');
  const { key, secret } = await createApiKey(platform, owner, { name: 'CI', permissions: ['*'] });
  await revokeApiKey(platform, owner, { key: owner.id });
  const { secret_hash } = await platform.db
    .selectFrom('actors')
    .select('secret_hash')
    .where('id', '=', key.id)
    .executeTakeFirstOrThrow();
  const shown = JSON.stringify([
    key,
    await getApiKey(platform, owner, key.id),
    await listApiKeys(platform, owner, { limit: 10 }),
    await listAuditEvents(platform, owner, { limit: 10 }),
  ]);
  assert.ok(!shown.includes(secret) && !shown.includes(secret_hash));
  for (const search of [secret.slice(8, 20), secret_hash.slice(0, 12)]) {
    assert.deepEqual((await listApiKeys(platform, owner, { limit: 10, search })).items, []);
  }
});

test('managing keys needs its permission, whatever else a key may do', async (t) => {
  const platform = await openTestPlatform(t);
  const { teamId, owner } = await seedTeam(platform, 'acme');
  const { actor } = await seedKey(platform, teamId, { permissions: ['keys:read', 'tokens:write'] });
  assert.ok((await listApiKeys(platform, actor, { limit: 10 })).items.length > 0);
  await assert.rejects(createApiKey(platform, actor, { name: 'x', permissions: ['keys:read'] }), { reason: 'denied' });
  await assert.rejects(revokeApiKey(platform, actor, { key: owner.id }), { reason: 'denied' });
  const { actor: writer } = await seedKey(platform, teamId, { permissions: ['keys:write'] });
  await assert.rejects(listApiKeys(platform, writer, { limit: 10 }), { reason: 'denied' });
  await assert.rejects(getApiKey(platform, writer, owner.id), { reason: 'denied' });
});

test('the last key that can make keys is not revoked, however many are at it', async (t) => {
  // Without this one call would lock everybody out for good.
  const platform = await openTestPlatform(t);
  const { teamId, owner } = await seedTeam(platform, 'acme');
  await seedTeam(platform, 'other');
  const revoke = (key: string) => revokeApiKey(platform, owner, { key });
  const refused = { reason: 'conflict', message: /Make another one .* keys:write first/ };
  await seedKey(platform, teamId, { permissions: ['keys:read', 'images:pull'] });
  const { project } = await createProject(platform, owner, { name: 'web' });
  await seedKey(platform, teamId, { projectIds: [project.id] });
  const expiry = { lifetimeMs: 1000 };
  const { key: brief } = await createApiKey(platform, owner, { name: 'brief', permissions: ['*'], expiry });
  platform.clock.advance(1000);
  await assert.rejects(revoke(owner.id), refused);
  await revoke(brief.id);
  const makers = [owner.id];
  for (const name of ['a', 'b', 'c']) {
    makers.push((await createApiKey(platform, owner, { name, permissions: ['keys:write'] })).key.id);
  }
  const done = await Promise.allSettled(makers.map(revoke));
  assert.equal(done.filter(({ status }) => status === 'fulfilled').length, makers.length - 1);
});

test('a key that ends soon is no replacement for the last one that does not, and the refusal says when it ends', async (t) => {
  // Without this a team is locked out on the day the other one ends, and nobody has been told.
  const platform = await openTestPlatform(t);
  const { owner } = await seedTeam(platform, 'acme');
  const day = 24 * 3600 * 1000;
  const make = async (name: string, days: number | null) => {
    const expiry = days === null ? null : { lifetimeMs: days * day };
    return (await createApiKey(platform, owner, { name, permissions: ['keys:write'], expiry })).key;
  };
  const revoke = (key: string) => revokeApiKey(platform, owner, { key });
  const short = await make('short', 29);
  const end = new Date(short.expiresAt ?? 0).toISOString().replaceAll('.', '\\.');
  await assert.rejects(revoke(owner.id), { reason: 'conflict', message: new RegExp(`at ${end}; .* does not end`) });
  const shorter = await make('shorter', 7);
  await revoke(shorter.id);
  const month = await make('month', 30);
  await revoke(owner.id);
  // Of two that end, the one that ends first can go.
  await revoke(short.id);
  await assert.rejects(revoke(month.id), { reason: 'conflict', message: /^This is the last API key/ });
});
