import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openTestPlatform, seedKey, seedTeam } from '#test/platform.ts';
import { findActorBySecret } from './actors.ts';
import { listAuditEvents } from './audit-events.ts';
import { listRegistries } from './registries.ts';
import { createTeam, getTeam } from './teams.ts';

test('a new team has a project, a managed registry in each region, and a key that may do all but make teams', async (t) => {
  const platform = await openTestPlatform(t);
  const { owner } = await seedTeam(platform, 'first');
  const made = await createTeam(platform, owner, { name: 'Second Team' });
  assert.equal(made.team.slug, 'second-team');
  assert.equal(made.project.slug, 'default');
  assert.deepEqual(
    made.registries.map(({ name, isManaged, projectId }) => ({ name, isManaged, projectId })),
    [{ name: 'default', isManaged: true, projectId: made.project.id }],
  );
  const actor = await findActorBySecret(platform, made.secret);
  assert.equal(actor?.teamId, made.team.id);
  assert.ok(actor.permissions.has('registries:create'));
  assert.ok(!actor.permissions.has('teams:write'));
  await assert.rejects(createTeam(platform, actor, { name: 'third' }), { reason: 'denied' });
  assert.deepEqual(await getTeam(platform, actor), made.team);
});

test('teams see nothing of each other', async (t) => {
  const platform = await openTestPlatform(t);
  const { owner } = await seedTeam(platform, 'first');
  const made = await createTeam(platform, owner, { name: 'second' });
  const actor = await findActorBySecret(platform, made.secret);
  assert.ok(actor);
  const names = (await listRegistries(platform, actor, { limit: 10 })).items.map(({ id }) => id);
  assert.deepEqual(names, [made.registries[0]?.id]);
  const theirs = await listAuditEvents(platform, actor, { limit: 10 });
  assert.deepEqual(
    theirs.items.map(({ action, actor }) => [action, actor.id]),
    [['key.create', owner.id]],
  );
  const ours = await listAuditEvents(platform, owner, { limit: 10 });
  assert.deepEqual(
    ours.items.map(({ action, target }) => [action, target.id]),
    [['team.create', made.team.id]],
  );
});

test('a taken slug is a conflict and leaves nothing', async (t) => {
  const platform = await openTestPlatform(t);
  const { owner } = await seedTeam(platform, 'acme');
  await assert.rejects(createTeam(platform, owner, { name: 'ACME!' }), { reason: 'conflict' });
  const teams = await platform.db.selectFrom('teams').selectAll().execute();
  assert.equal(teams.length, 1);
});

test('two teams made at the same moment with the same name are one team and one conflict', async (t) => {
  const platform = await openTestPlatform(t);
  const { owner } = await seedTeam(platform, 'acme');
  const results = await Promise.allSettled([1, 2].map(() => createTeam(platform, owner, { name: 'twin' })));
  assert.deepEqual(results.map(({ status }) => status).sort(), ['fulfilled', 'rejected']);
});

test('managed registries of teams made in the same minute have names of their own', async (t) => {
  const platform = await openTestPlatform(t);
  const { owner } = await seedTeam(platform, 'default');
  const names: (string | undefined)[] = [];
  for (const name of ['one', 'two', 'three']) {
    const { project, registries } = await createTeam(platform, owner, { name });
    const ownName = registries[0]?.name;
    assert.ok(ownName === `default-${project.id.slice(0, 8)}` || ownName === `default-${project.id.slice(-12)}`);
    names.push(ownName);
  }
  assert.equal(new Set(names).size, 3);
});

test('making teams needs teams:write by name, held by a key of the whole team', async (t) => {
  const platform = await openTestPlatform(t);
  const { teamId, projectId } = await seedTeam(platform, 'acme');
  const { actor: all } = await seedKey(platform, teamId, { permissions: ['*'] });
  await assert.rejects(createTeam(platform, all, { name: 'x' }), { reason: 'denied', message: /teams:write/ });
  const { actor: bound } = await seedKey(platform, teamId, { permissions: ['teams:write'], projectIds: [projectId] });
  await assert.rejects(createTeam(platform, bound, { name: 'x' }), { reason: 'denied' });
});
