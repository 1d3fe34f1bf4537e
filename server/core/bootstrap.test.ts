import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openTestPlatform } from '#test/platform.ts';
import { findActorBySecret } from './actors.ts';
import { bootstrap } from './bootstrap.ts';
import { createProject } from './projects.ts';
import { ensureRegions } from './regions.ts';

test('the first start makes the team, its project, its registry and the owner, the second nothing', async (t) => {
  const platform = await openTestPlatform(t);
  const made = await bootstrap(platform);
  assert.ok(made);
  assert.equal(made.team.slug, 'default');
  assert.equal(made.project.slug, 'default');
  assert.deepEqual(
    made.registries.map(({ name, isManaged }) => [name, isManaged]),
    [['default', true]],
  );
  assert.match(made.secret, /^ldg_key_[A-Za-z0-9_-]{43}$/);
  const owner = await findActorBySecret(platform, made.secret);
  assert.ok(owner?.permissions.has('teams:write') && owner.permissions.has('keys:write'));
  assert.equal(await bootstrap(platform, { givenKey: 'k'.repeat(40) }), undefined);
  assert.equal(await bootstrap(platform, { givenKey: 'too short, and not looked at' }), undefined);
  assert.equal(
    await findActorBySecret(platform, 'k'.repeat(40)),
    undefined,
    'a given key is read only at the first start',
  );
});

test('a given key is the first owner key, if it is long enough', async (t) => {
  const platform = await openTestPlatform(t);
  await assert.rejects(bootstrap(platform, { givenKey: 'k'.repeat(31) }), { reason: 'invalid' });
  const made = await bootstrap(platform, { givenKey: 'k'.repeat(32) });
  assert.equal(made?.secret, 'k'.repeat(32));
  assert.ok(await findActorBySecret(platform, 'k'.repeat(32)));
});

test('replicas that start together make one team', async (t) => {
  const platform = await openTestPlatform(t);
  const made = await Promise.all([1, 2, 3].map(() => bootstrap(platform)));
  assert.equal(made.filter((team) => team !== undefined).length, 1);
  assert.equal((await platform.db.selectFrom('actors').selectAll().execute()).length, 1);
});

test('the owner key is nowhere in the database but as a hash', async (t) => {
  const platform = await openTestPlatform(t);
  const made = await bootstrap(platform);
  for (const table of ['actors', 'audit_events', 'teams', 'registries', 'operations'] as const) {
    const text = JSON.stringify(await platform.db.selectFrom(table).selectAll().execute());
    assert.ok(!text.includes(made?.secret ?? ''), table);
  }
});

test('a region added later gets the managed registries of the projects that are there', async (t) => {
  const platform = await openTestPlatform(t);
  const made = await bootstrap(platform);
  const owner = await findActorBySecret(platform, made?.secret ?? '');
  assert.ok(owner);
  const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];
  for (const name of names) await createProject(platform, owner, { name });
  const regions = await ensureRegions(platform.db, [
    { slug: 'local', name: 'Local', host: 'a' },
    { slug: 'eu', name: 'Europe', host: 'b' },
  ]);
  const later = { ...platform, config: { ...platform.config, regions } };
  await Promise.all([1, 2, 3, 4, 5].map(() => bootstrap(later)));
  const rows = await platform.db
    .selectFrom('registries')
    .selectAll()
    .where('region_id', '=', regions[1]?.id ?? '')
    .execute();
  assert.ok(rows.every(({ is_managed }) => is_managed === 1));
  assert.deepEqual(rows.map(({ name }) => name).sort(), [...names, 'default'].sort());
});
