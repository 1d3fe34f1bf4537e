import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openTestPlatform, seedKey, seedTeam } from '#test/platform.ts';
import type { Failure } from './failure.ts';
import { findManagedRegistry, listManagedRegistries } from './managed-registries.ts';
import { createProject } from './projects.ts';
import { createRobot, deleteRobot, findRobots, listRobots } from './robots.ts';
import { createToken, listTokens } from './tokens.ts';

async function openTeam(t: Parameters<typeof openTestPlatform>[0]) {
  const platform = await openTestPlatform(t);
  const team = await seedTeam(platform, 'acme');
  const { project, registries } = await createProject(platform, team.owner, { name: 'shop' });
  return { platform, team, project, ref: { projectId: project.id, registry: registries[0]?.id ?? '' } };
}

test('nobody makes a robot that may do more than its maker', async (t) => {
  const { platform, team, ref } = await openTeam(t);
  for (const permissions of [['tokens:write'], ['tokens:write', 'images:pull'], ['images:pull', 'images:push']]) {
    const { actor } = await seedKey(platform, team.teamId, { permissions });
    await assert.rejects(createRobot(platform, actor, ref), { reason: 'denied' }, permissions.join());
  }
  const { actor } = await seedKey(platform, team.teamId, {
    permissions: ['tokens:write', 'images:pull', 'images:push'],
  });
  assert.equal((await createRobot(platform, actor, ref)).robot.registryId, ref.registry);
});

test('a key bound to another project neither makes a robot, nor ends one, nor learns of the registry', async (t) => {
  const { platform, team, ref } = await openTeam(t);
  const bound = await seedKey(platform, team.teamId, { projectIds: [team.projectId] });
  const rival = (await seedTeam(platform, 'rival')).owner;
  const made = await createRobot(platform, team.owner, ref);
  for (const actor of [bound.actor, rival]) {
    await assert.rejects(createRobot(platform, actor, ref), { reason: 'not_found' });
    await assert.rejects(deleteRobot(platform, actor, ref), { reason: 'not_found' });
    const { projectId, registry: id } = ref;
    assert.equal(await findManagedRegistry(platform, actor, { projectId, id }), undefined);
    await assert.rejects(createRobot(platform, actor, { registry: id }), { reason: 'not_found' });
    await assert.rejects(listRobots(platform, actor, id), { reason: 'not_found' });
    assert.deepEqual(await listManagedRegistries(platform, actor, ref.projectId), []);
  }
  const robots = await findRobots(platform, team.owner, [made.registry]);
  assert.equal(robots.get(ref.registry)?.id, made.robot.id);
});

// Without the lock of the registry's row each of them finds none and makes one.
test('of many who make a robot at once, one does', async (t) => {
  const { platform, team, ref } = await openTeam(t);
  for (let round = 0; round < 5; round++) {
    const made = await Promise.allSettled(Array.from({ length: 8 }, () => createRobot(platform, team.owner, ref)));
    const refused = made.flatMap((one) => (one.status === 'rejected' ? (one.reason as Failure).reason : []));
    assert.deepEqual(
      refused,
      Array.from({ length: 7 }, () => 'conflict'),
    );
    await deleteRobot(platform, team.owner, ref);
  }
});

test('a registry of another project is not found through one’s own', async (t) => {
  const { platform, team, ref } = await openTeam(t);
  const other = await createProject(platform, team.owner, { name: 'other' });
  const crossed = { projectId: other.project.id, registry: ref.registry };
  await assert.rejects(createRobot(platform, team.owner, crossed), { reason: 'not_found' });
  const own = { projectId: team.projectId, registry: team.registryId };
  await assert.rejects(createRobot(platform, team.owner, own), { reason: 'not_found' }, 'it is not managed');
});

test('a robot is in no list of tokens, and its secret is stored nowhere', async (t) => {
  const { platform, team, ref } = await openTeam(t);
  const { secret } = await createRobot(platform, team.owner, ref);
  await createToken(platform, team.owner, { name: 'token', mode: 'ro', registryIds: null });
  const { items } = await listTokens(platform, team.owner, { limit: 10 });
  assert.deepEqual(
    items.map(({ name }) => name),
    ['token'],
  );
  for (const table of ['actors', 'audit_events'] as const) {
    assert.ok(!JSON.stringify(await platform.db.selectFrom(table).selectAll().execute()).includes(secret));
  }
});
