import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openTestPlatform, seedKey, seedTeam } from '#test/platform.ts';
import { findActorBySecret } from './actors.ts';
import { listAuditEvents } from './audit-events.ts';
import { bootstrap, makeOwnerKey } from './bootstrap.ts';
import { createProject } from './projects.ts';
import { ensureRegions } from './regions.ts';

test('the first start makes the team, its project, its registry and the owner, the second nothing', async (t) => {
  const platform = await openTestPlatform(t);
  const made = await bootstrap(platform);
  assert.ok(made);
  const { db } = platform;
  const slugs = async (table: 'teams' | 'projects') => (await db.selectFrom(table).select('slug').execute())[0]?.slug;
  assert.deepEqual([await slugs('teams'), await slugs('projects')], ['default', 'default']);
  const registries = await db.selectFrom('registries').select(['name', 'is_managed']).execute();
  assert.deepEqual(
    registries.map((row) => ({ ...row })),
    [{ name: 'default', is_managed: 1 }],
  );
  assert.deepEqual([made.registryName, made.isNewTeam], ['default', true]);
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

test('where no key could make keys any more, the next start makes another owner key, however many start', async (t) => {
  const platform = await openTestPlatform(t);
  const made = await bootstrap(platform);
  const owner = await findActorBySecret(platform, made?.secret ?? '');
  assert.ok(owner);
  await seedKey(platform, owner.teamId, { permissions: ['images:pull'] });
  const { project } = await createProject(platform, owner, { name: 'web' });
  await seedKey(platform, owner.teamId, { projectIds: [project.id] });
  assert.equal(await bootstrap(platform), undefined, 'while the owner has a key');
  const ends = { expires_at: platform.now() + 5, lifetime_ms: 5 };
  await platform.db.updateTable('actors').set(ends).where('id', '=', owner.id).execute();
  assert.equal(await bootstrap(platform), undefined, 'nor before it expires');
  platform.clock.advance(5);
  const again = (await Promise.all([1, 2, 3].map(() => bootstrap(platform)))).filter((one) => one !== undefined);
  assert.equal(again.length, 1);
  assert.deepEqual([again[0]?.isNewTeam, again[0]?.registryName], [false, 'default']);
  const successor = await findActorBySecret(platform, again[0]?.secret ?? '');
  assert.equal(successor?.teamId, owner.teamId);
  assert.ok(successor.permissions.has('teams:write') && successor.projectIds === null);
  const { items } = await listAuditEvents(platform, successor, { limit: 1 });
  assert.deepEqual(
    [items[0]?.action, items[0]?.target?.id, items[0]?.actor.kind],
    ['key.create', successor.id, 'system'],
  );
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

test('a team that has lost its keys gets an owner again, of that team alone', async (t) => {
  const platform = await openTestPlatform(t);
  const first = await bootstrap(platform);
  const { teamId } = await seedTeam(platform, 'acme');
  const secret = await makeOwnerKey(platform, { team: 'acme' });
  const owner = await findActorBySecret(platform, secret);
  assert.equal(owner?.teamId, teamId);
  assert.ok(owner.permissions.has('keys:write') && !owner.permissions.has('teams:write'));
  const { items } = await listAuditEvents(platform, owner, { limit: 1 });
  assert.deepEqual([items[0]?.action, items[0]?.actor.kind], ['key.create', 'system']);
  const installation = await findActorBySecret(platform, await makeOwnerKey(platform, { team: 'default' }));
  const before = await findActorBySecret(platform, first?.secret ?? '');
  assert.deepEqual([installation?.teamId, installation?.permissions], [before?.teamId, before?.permissions]);
  const refused = { reason: 'not_found', message: 'There is no team "acmee". The first teams are: default, acme.' };
  await assert.rejects(makeOwnerKey(platform, { team: 'acmee' }), refused);
});
