import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openTestPlatform, seedTeam } from '#test/platform.ts';
import { ensureRegions, getRegion } from './regions.ts';

const local = { slug: 'local', name: 'Local', host: 'localhost:8080' };
const second = { slug: 'eu', name: 'Europe', host: 'eu.example.org' };

test('a region keeps its id over restarts, renames and new hosts', async (t) => {
  const { db, config } = await openTestPlatform(t);
  const [again] = await ensureRegions(db, [{ ...local, name: 'Here', host: 'other:1' }]);
  assert.deepEqual(again, { id: config.regions[0]?.id, slug: 'local', name: 'Here', host: 'other:1' });
});

test('regions come in the order of the configuration, also when replicas start together', async (t) => {
  const { db } = await openTestPlatform(t);
  const starts = await Promise.all([1, 2, 3].map(() => ensureRegions(db, [second, local])));
  assert.deepEqual(
    starts[0]?.map(({ slug }) => slug),
    ['eu', 'local'],
  );
  assert.deepEqual(starts[1], starts[0]);
  assert.deepEqual(starts[2], starts[0]);
});

test('a region that holds registries cannot be left out; an empty one can, and comes back as the same', async (t) => {
  const platform = await openTestPlatform(t);
  const { db } = platform;
  await seedTeam(platform, 'acme');
  const [eu] = await ensureRegions(db, [second, local]);
  await ensureRegions(db, [local]);
  assert.deepEqual((await ensureRegions(db, [local, second]))[1], eu);
  await assert.rejects(ensureRegions(db, [second]), { reason: 'in_use', message: /no longer lists local,/ });
});

test('a region is found by slug or id, the first without either', async (t) => {
  const platform = await openTestPlatform(t);
  const [region] = platform.config.regions;
  assert.equal(getRegion(platform), region);
  assert.equal(getRegion(platform, 'local'), region);
  assert.equal(getRegion(platform, region?.id), region);
  assert.throws(() => getRegion(platform, 'mars'), { reason: 'invalid', message: /There are: local\.$/ });
});
