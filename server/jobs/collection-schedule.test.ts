import assert from 'node:assert/strict';
import { test } from 'node:test';
import { claimOperation, finishOperation } from '#core/operation-runs.ts';
import { deleteRegistry } from '#core/registries.ts';
import { beforeTransaction } from '#test/interrupt.ts';
import { basic, openOci, pushImage, withAuthorization } from '#test/oci-client.ts';
import { seedTeam } from '#test/platform.ts';
import { scheduledCollections } from './collection-schedule.ts';

const hourMs = 3600_000;
const isStopping = () => false;

test('every registry that holds something is collected when the time has come, once for all replicas', async (t) => {
  const { platform, ask } = await openOci(t);
  const [team, other] = [await seedTeam(platform, 'acme'), await seedTeam(platform, 'other')];
  await seedTeam(platform, 'empty');
  for (const { secret, registryName } of [team, other]) {
    await pushImage(withAuthorization(ask, basic(secret)), `${registryName}/app`, 'v1');
  }
  const queued = async () => {
    const rows = await platform.db.selectFrom('operations').select(['registry_id', 'kind']).execute();
    return rows.filter((row) => row.kind === 'garbage_collection').map((row) => row.registry_id);
  };
  const replicas = [1, 2].map(() => scheduledCollections(platform, '30 * * * *'));
  const run = async () => {
    for (const replica of replicas) await replica.run(isStopping);
  };
  await run();
  assert.deepEqual(await queued(), []);
  platform.clock.advance(hourMs);
  await run();
  assert.deepEqual((await queued()).sort(), [team.registryId, other.registryId].sort());
  await run();
  assert.equal((await queued()).length, 2, 'a time counts once');
  await platform.db.updateTable('operations').set({ state: 'done', finished_at: platform.now() }).execute();
  await deleteRegistry(platform, other.owner, { registry: 'other' });
  platform.clock.advance(hourMs);
  await run();
  assert.equal((await queued()).filter((id) => id === team.registryId).length, 2);
  assert.equal((await queued()).filter((id) => id === other.registryId).length, 1, 'not what is being deleted');
});

test('times that came while nothing ran are made up for by one collection at most', async (t) => {
  const { platform, ask } = await openOci(t);
  const team = await seedTeam(platform, 'acme');
  await pushImage(withAuthorization(ask, basic(team.secret)), 'acme/app', 'v1');
  const job = scheduledCollections(platform, '0 * * * *');
  platform.clock.advance(30 * hourMs);
  await job.run(isStopping);
  await job.run(isStopping);
  const { length } = await platform.db.selectFrom('operations').select('id').execute();
  assert.equal(length, 1);
});

test('a collection that runs when the time comes is run once more, and not again for each replica that is late', async (t) => {
  const { platform, ask } = await openOci(t);
  const team = await seedTeam(platform, 'acme');
  await pushImage(withAuthorization(ask, basic(team.secret)), 'acme/app', 'v1');
  const replicas = [1, 2, 3].map(() => scheduledCollections(platform, '0 * * * *'));
  const [one, another, late] = replicas;
  const claim = async () => {
    const claimed = await claimOperation(platform, 'worker', ['garbage_collection']);
    assert.ok(claimed);
    return claimed;
  };
  platform.clock.advance(hourMs);
  for (const replica of replicas) await replica.run(isStopping);
  const before = await claim();
  platform.clock.advance(hourMs);
  await one?.run(isStopping);
  await another?.run(isStopping);
  platform.clock.advance(1000);
  await finishOperation(platform, before);
  const again = await claim();
  await finishOperation(platform, again);
  await late?.run(isStopping);
  const rows = await platform.db.selectFrom('operations').select(['state', 'again']).execute();
  assert.deepEqual(
    rows.map((row) => ({ ...row })),
    [{ state: 'done', again: 0 }],
  );
});

test('a collection that another replica queued and began in the same moment is not run twice', async (t) => {
  const { platform, ask } = await openOci(t);
  const team = await seedTeam(platform, 'acme');
  await pushImage(withAuthorization(ask, basic(team.secret)), 'acme/app', 'v1');
  const first = scheduledCollections(platform, '0 * * * *');
  const racing = beforeTransaction(platform, async () => {
    await first.run(isStopping);
    await claimOperation(platform, 'worker', ['garbage_collection']);
  });
  const second = scheduledCollections(racing, '0 * * * *');
  platform.clock.advance(hourMs);
  await second.run(isStopping);
  const rows = await platform.db.selectFrom('operations').select(['state', 'again']).execute();
  assert.deepEqual(
    rows.map((row) => ({ ...row })),
    [{ state: 'running', again: 0 }],
  );
});
