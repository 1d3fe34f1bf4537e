import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openTestPlatform, seedKey, seedTeam } from '#test/platform.ts';
import { findActorBySecret } from './actors.ts';
import { listAuditEvents } from './audit-events.ts';
import { Failure } from './failure.ts';
import type { RepositoryName } from './names.ts';
import { claimOperation, failOperation } from './operation-runs.ts';
import { getOperation } from './operations.ts';
import { createProject } from './projects.ts';
import { ensureRegions } from './regions.ts';
import { createRegistry, deleteRegistry, getRegistry, listRegistries, updateRegistry } from './registries.ts';
import { openRepository } from './registry-access.ts';
import { createToken } from './tokens.ts';

const never = '0198c0de-0000-7000-8000-000000000000';

test('a registry is active at once, private, and limited as configured unless said otherwise', async (t) => {
  const platform = await openTestPlatform(t);
  const { owner, teamId } = await seedTeam(platform, 'acme');
  const made = await createRegistry(platform, owner, { name: 'app' });
  assert.deepEqual(made, {
    id: made.id,
    teamId,
    projectId: null,
    regionId: platform.config.regions[0]?.id,
    name: 'app',
    state: 'active',
    status: 'active',
    statusReason: null,
    isPublic: false,
    isManaged: false,
    sizeBytes: 0,
    reservedBytes: 0,
    sizeLimitBytes: platform.config.registryLimitBytes,
    repositoryCount: 0,
    createdAt: platform.now(),
    updatedAt: platform.now(),
  });
  assert.deepEqual(await getRegistry(platform, owner, made.id), made);
  assert.deepEqual(await getRegistry(platform, owner, 'app'), made);
  const open = await createRegistry(platform, owner, {
    name: 'open',
    isPublic: true,
    sizeLimitBytes: 5,
    project: 'default',
    region: 'local',
  });
  assert.deepEqual([open.isPublic, open.sizeLimitBytes, open.projectId !== null], [true, 5, true]);
});

test('names that clients could not use are refused', async (t) => {
  const platform = await openTestPlatform(t);
  const { owner } = await seedTeam(platform, 'acme');
  for (const name of ['', 'App', 'a/b', 'a--b', '-a', '../x', 'a.b', 'a'.repeat(64), never, 'а', 'a\0']) {
    await assert.rejects(createRegistry(platform, owner, { name }), { reason: 'invalid' }, name);
  }
  for (const sizeLimitBytes of [-1, 1.5, Number.NaN, 2 ** 53, Number.POSITIVE_INFINITY]) {
    await assert.rejects(createRegistry(platform, owner, { name: 'x', sizeLimitBytes }), { reason: 'invalid' });
  }
  for (const project of [never, 'nothing']) {
    await assert.rejects(createRegistry(platform, owner, { name: 'x', project }), { reason: 'invalid' });
  }
});

test('a name is taken in its region whoever has it, in the same words, and free in another', async (t) => {
  const platform = await openTestPlatform(t);
  const [acme, other] = [await seedTeam(platform, 'acme'), await seedTeam(platform, 'other')];
  await createRegistry(platform, acme.owner, { name: 'mine' });
  const refusals = [];
  for (const { owner } of [acme, other]) {
    const failure = await createRegistry(platform, owner, { name: 'mine' }).catch((error) => error);
    assert.equal(failure.reason, 'conflict');
    refusals.push(failure.message);
  }
  assert.equal(refusals[0], refusals[1]);
  const regions = await ensureRegions(platform.db, [
    { slug: 'local', name: 'Local', host: 'a' },
    { slug: 'eu', name: 'Europe', host: 'b' },
  ]);
  const both = { ...platform, config: { ...platform.config, regions } };
  const abroad = await createRegistry(both, acme.owner, { name: 'mine', region: 'eu' });
  assert.equal(abroad.regionId, regions[1]?.id);
  const first = await getRegistry(both, acme.owner, 'mine');
  assert.equal(first.regionId, regions[0]?.id, 'of a name in several regions the first region counts');
});

test('creates at the same moment cannot pass the limit of a team together', async (t) => {
  const platform = await openTestPlatform(t);
  const { owner } = await seedTeam(platform, 'acme');
  const limited = { ...platform, config: { ...platform.config, registriesPerTeam: 3 } };
  const results = await Promise.allSettled(
    ['a', 'b', 'c', 'd'].map((name) => createRegistry(limited, owner, { name })),
  );
  const refused = results.filter((result) => result.status === 'rejected');
  assert.equal(results.length - refused.length, 2, 'the team had one');
  for (const { reason } of refused) assert.equal(reason.reason, 'limit');
});

test("another team's registry is not found, in the words used for one that never was", async (t) => {
  const platform = await openTestPlatform(t);
  const [acme, other] = [await seedTeam(platform, 'acme'), await seedTeam(platform, 'other')];
  const messages = [];
  for (const ref of [acme.registryId, never, 'acme', 'nothing', 'A\0', "'"]) {
    for (const use of [
      () => getRegistry(platform, other.owner, ref),
      () => updateRegistry(platform, other.owner, { registry: ref, isPublic: true }),
      () => deleteRegistry(platform, other.owner, { registry: ref }),
    ]) {
      const failure = await use().catch((error) => error);
      assert.ok(failure instanceof Failure && failure.reason === 'not_found', ref);
      messages.push(failure.message.replace(JSON.stringify(ref), '…'));
    }
  }
  assert.equal(new Set(messages).size, 1);
  assert.equal((await getRegistry(platform, acme.owner, acme.registryId)).isPublic, false);
  for (const project of [acme.projectId, 'nowhere']) {
    const refused = { reason: 'invalid', message: 'project names no project that this API key sees.' };
    await assert.rejects(listRegistries(platform, other.owner, { limit: 10, project }), refused, project);
  }
});

test("a key bound to a project sees its registries and the team's, and changes its own alone", async (t) => {
  const platform = await openTestPlatform(t);
  const { owner, teamId, registryId } = await seedTeam(platform, 'acme');
  const { project } = await createProject(platform, owner, { name: 'web' });
  const common = await createRegistry(platform, owner, { name: 'common' });
  const { actor } = await seedKey(platform, teamId, { projectIds: [project.id] });
  const own = await createRegistry(platform, actor, { name: 'own' });
  assert.equal(own.projectId, project.id, 'without a project it is the only one the key has');
  const listed = await listRegistries(platform, actor, { limit: 10 });
  assert.deepEqual(
    listed.items.map(({ name }) => name),
    ['common', 'own', 'web'],
  );
  await assert.rejects(getRegistry(platform, actor, registryId), { reason: 'not_found' });
  await assert.rejects(createRegistry(platform, actor, { name: 'x', project: 'default' }), { reason: 'invalid' });
  for (const use of [updateRegistry, deleteRegistry]) {
    await assert.rejects(use(platform, actor, { registry: common.id }), { reason: 'denied' });
    await assert.rejects(use(platform, actor, { registry: registryId }), { reason: 'not_found' });
  }
  assert.equal((await updateRegistry(platform, actor, { registry: 'own', isPublic: true })).isPublic, true);
});

test('an update changes what is given, and nothing if the caller expected another state', async (t) => {
  const platform = await openTestPlatform(t);
  const { owner } = await seedTeam(platform, 'acme');
  platform.clock.advance(1000);
  const changed = await updateRegistry(platform, owner, { registry: 'acme', sizeLimitBytes: 0 });
  assert.deepEqual([changed.sizeLimitBytes, changed.isPublic, changed.updatedAt], [0, false, platform.now()]);
  const expect = (current: { sizeLimitBytes: number }) => {
    if (current.sizeLimitBytes !== 7) throw new Failure('precondition', 'It changed meanwhile.');
  };
  for (const use of [updateRegistry, deleteRegistry]) {
    await assert.rejects(use(platform, owner, { registry: 'acme', expect }), { reason: 'precondition' });
  }
  assert.deepEqual(await getRegistry(platform, owner, 'acme'), changed);
});

test('a deleted registry is out of use at once, cannot be changed, and keeps its name', async (t) => {
  const platform = await openTestPlatform(t);
  const { owner, registryId } = await seedTeam(platform, 'acme');
  const operation = await deleteRegistry(platform, owner, { registry: 'acme' });
  assert.deepEqual(await getOperation(platform, owner, operation.id), operation);
  assert.equal((await getRegistry(platform, owner, registryId)).status, 'deleting');
  const [region] = platform.config.regions;
  assert.ok(region);
  const query = { region, name: 'acme/app' as RepositoryName, action: 'pull' as const };
  await assert.rejects(openRepository(platform, owner, query), { reason: 'not_found' });
  for (const use of [updateRegistry, deleteRegistry]) {
    await assert.rejects(use(platform, owner, { registry: 'acme' }), { reason: 'conflict' });
  }
  await assert.rejects(createRegistry(platform, owner, { name: 'acme' }), { reason: 'conflict' });
});

test('a deletion that failed for good says why and can be asked for again', async (t) => {
  const platform = await openTestPlatform(t);
  const { owner } = await seedTeam(platform, 'acme');
  const first = await deleteRegistry(platform, owner, { registry: 'acme' });
  for (let i = 0; i < 5; i++) {
    platform.clock.advance(3600_000);
    const claimed = await claimOperation(platform, 'w', ['delete_registry']);
    assert.equal(claimed?.id, first.id, `attempt ${i + 1}`);
    assert.equal((await getRegistry(platform, owner, 'acme')).status, 'deleting');
    await failOperation(platform, claimed, 'The disk is on fire.');
  }
  assert.equal((await getOperation(platform, owner, first.id)).state, 'failed');
  const failed = await getRegistry(platform, owner, 'acme');
  assert.deepEqual([failed.state, failed.status, failed.statusReason], ['deleting', 'error', 'The disk is on fire.']);
  await assert.rejects(updateRegistry(platform, owner, { registry: 'acme', isPublic: true }), { reason: 'conflict' });
  const second = await deleteRegistry(platform, owner, { registry: 'acme' });
  assert.notEqual(second.id, first.id);
  assert.equal((await getRegistry(platform, owner, 'acme')).status, 'deleting');
});

test('each change is in the audit log once, refused ones are not', async (t) => {
  const platform = await openTestPlatform(t);
  const { owner, teamId } = await seedTeam(platform, 'acme');
  const made = await createRegistry(platform, { ...owner, address: '192.0.2.9' }, { name: 'app' });
  await assert.rejects(createRegistry(platform, owner, { name: 'app' }));
  await updateRegistry(platform, owner, { registry: 'app', isPublic: true });
  await deleteRegistry(platform, owner, { registry: 'app' });
  await assert.rejects(deleteRegistry(platform, owner, { registry: 'app' }));
  const { items } = await listAuditEvents(platform, owner, { limit: 10, targetId: made.id });
  const actions = items.map(({ action, address }) => [action, address]).sort();
  assert.deepEqual(actions, [
    ['registry.create', '192.0.2.9'],
    ['registry.delete', ''],
    ['registry.update', ''],
  ]);
  assert.equal((await listAuditEvents(platform, { ...owner, teamId: never }, { limit: 10 })).items.length, 0);
  assert.ok(teamId);
});

test('each use of registries needs its own permission, and an API key', async (t) => {
  const platform = await openTestPlatform(t);
  const { owner, teamId, registryId } = await seedTeam(platform, 'acme');
  const uses = {
    'registries:read': (actor: typeof owner) => getRegistry(platform, actor, registryId),
    'registries:create': (actor: typeof owner) => createRegistry(platform, actor, { name: 'new' }),
    'registries:update': (actor: typeof owner) => updateRegistry(platform, actor, { registry: registryId }),
    'registries:delete': (actor: typeof owner) => deleteRegistry(platform, actor, { registry: registryId }),
  };
  const { secret } = await createToken(platform, owner, { mode: 'rw', registryIds: null });
  const token = await findActorBySecret(platform, secret);
  assert.ok(token);
  const all = Object.keys(uses);
  for (const [permission, use] of Object.entries(uses)) {
    const { actor } = await seedKey(platform, teamId, { permissions: all.filter((other) => other !== permission) });
    await assert.rejects(use(actor), { reason: 'denied', message: new RegExp(permission) });
    await assert.rejects(use(token), { reason: 'unauthenticated' });
    await use((await seedKey(platform, teamId, { permissions: [permission] })).actor);
  }
});
