import assert from 'node:assert/strict';
import { test } from 'node:test';
import { recordAudit } from '#core/audit.ts';
import { beginObject } from '#core/objects.ts';
import { deleteRegistry } from '#core/registries.ts';
import { loginOf, openClusterWorld } from '#test/cluster-world.ts';
import { openConnectionWorld } from '#test/connection-world.ts';
import { basic, openOci, pushImage, withAuthorization } from '#test/oci-client.ts';
import { seedTeam } from '#test/platform.ts';
import { startJobs } from './jobs.ts';

/** Waits for what the jobs, which are real and run on their own, bring about. */
async function comesTrue(condition: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 15_000;
  while (!(await condition())) {
    assert.ok(Date.now() < deadline, 'it never came about');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

test('a registry that was deleted is emptied, and its bytes go from the store', async (t) => {
  const { platform, ask } = await openOci(t);
  const team = await seedTeam(platform, 'acme');
  await pushImage(withAuthorization(ask, basic(team.secret)), 'acme/app', 'v1');
  await deleteRegistry(platform, team.owner, { registry: team.registryName });
  const jobs = startJobs(platform, { auditRetentionDays: 365 });
  t.after(() => jobs.stop());
  const { db } = platform;
  await comesTrue(async () => (await db.selectFrom('registries').select('id').execute()).length === 0);
  assert.deepEqual(await db.selectFrom('blobs').select('digest').execute(), []);
});

test('what an earlier writer left is doomed and removed once its time is over', async (t) => {
  const { platform } = await openOci(t);
  const team = await seedTeam(platform, 'acme');
  await beginObject(platform, team.registryId, 1000);
  // Another process's: this one would renew what it writes itself.
  platform.local.writers.clear();
  platform.clock.advance(6 * 60_000);
  const jobs = startJobs(platform, { auditRetentionDays: 365 });
  t.after(() => jobs.stop());
  const { db } = platform;
  await comesTrue(async () => {
    const { reserved } = await db.selectFrom('registries').select('reserved').executeTakeFirstOrThrow();
    return reserved === 0;
  });
});

test('a cluster is supplied soon after a registry was connected to it', async (t) => {
  const { platform, kubernetes, connect, integration } = await openClusterWorld(t);
  const jobs = startJobs(platform, { auditRetentionDays: 365 });
  t.after(() => jobs.stop());
  await connect();
  await comesTrue(async () => (await integration()).status === 'supplied');
  assert.equal(loginOf(kubernetes).username, 'token');
});

test('a connection is tested soon after it was made', async (t) => {
  const { platform, connect, seen } = await openConnectionWorld(t);
  const config = { ...platform.config, connectionCheckIntervalMs: 6 * 3600_000 };
  const { id } = await connect();
  const jobs = startJobs({ ...platform, config }, { auditRetentionDays: 365 });
  t.after(() => jobs.stop());
  await comesTrue(async () => (await seen(id)).status === 'passed');
});

test('audit events go when they are older than they must be kept, and no sooner', async (t) => {
  const { platform } = await openOci(t);
  const team = await seedTeam(platform, 'acme');
  const record = (name: string) =>
    recordAudit(platform, team.owner, { action: 'test.event', target: { kind: 'test', id: name, name } });
  await record('old');
  platform.clock.advance(2 * 24 * 3600_000);
  await record('young');
  platform.clock.advance(8 * 24 * 3600_000 + 1);
  const jobs = startJobs(platform, { auditRetentionDays: 9 });
  t.after(() => jobs.stop());
  const namesLeft = async () =>
    (await platform.db.selectFrom('audit_events').select('target_name').execute()).map((row) => row.target_name);
  await comesTrue(async () => !(await namesLeft()).includes('old'));
  assert.deepEqual(await namesLeft(), ['young']);
});
