import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openTestPlatform, seedTeam } from '#test/platform.ts';
import { keysOf, loginOf, openPullSecretWorld, ownHost, ownSecretOf } from '#test/pull-secret-world.ts';
import { findActorBySecret } from './actors.ts';
import { hashSecret } from './ids.ts';
import { holdsRight } from './permissions.ts';
import { deleteProject } from './project-deletion.ts';
import { getPullSecret } from './pull-secrets.ts';
import { endProjectPullToken, makePullToken } from './pull-tokens.ts';
import { createRegistry } from './registries.ts';

const dayMs = 24 * 60 * 60_000;

test('the hosted part pulls from the registries of the project and of the team, and does nothing else', async (t) => {
  const { platform, team, owner, shop, read } = await openPullSecretWorld(t);
  const wide = await createRegistry(platform, owner, { name: 'wide' });
  const own = await createRegistry(platform, owner, { name: 'own', project: 'shop' });
  const foreign = await createRegistry(platform, owner, { name: 'foreign', project: 'default' });
  const rival = await seedTeam(platform, 'rival');
  const token = await findActorBySecret(platform, ownSecretOf(await read()));
  assert.ok(token);
  assert.deepEqual([token.kind, token.teamId, token.projectIds], ['pull', team.teamId, [shop.id]]);
  const may = (
    registry: { id: string; teamId: string; projectId: string | null },
    action: 'pull' | 'push' | 'delete',
  ) => holdsRight(token, { ...registry, isPublic: false }, action);
  assert.deepEqual([may(wide, 'pull'), may(own, 'pull'), may(foreign, 'pull')], [true, true, false]);
  assert.ok(!may({ id: rival.registryId, teamId: rival.teamId, projectId: null }, 'pull'));
  for (const registry of [wide, own]) assert.ok(!may(registry, 'push') && !may(registry, 'delete'));
});

test('each region has an entry, all with one token', async (t) => {
  const base = await openTestPlatform(t);
  const [first] = base.config.regions;
  assert.ok(first);
  const regions = [first, { ...first, slug: 'two', name: 'Two', host: 'two.example.com' }];
  const platform = { ...base, config: { ...base.config, regions } };
  const team = await seedTeam(platform, 'acme');
  const secret = await getPullSecret(platform, team.owner, { project: 'default' });
  assert.deepEqual(keysOf(secret), [ownHost, 'two.example.com']);
  assert.deepEqual(loginOf(secret, ownHost), loginOf(secret, 'two.example.com'));
});

test('two who ask at once get the same token, and so does who asks later', async (t) => {
  const { platform, read } = await openPullSecretWorld(t);
  const secrets = await Promise.all(Array.from({ length: 8 }, () => read()));
  platform.clock.advance(80 * dayMs);
  const all = new Set([...secrets, await read()].map(ownSecretOf));
  assert.equal(all.size, 1);
  const tokens = await platform.db.selectFrom('actors').select('id').where('kind', '=', 'pull').execute();
  assert.equal(tokens.length, 1);
  assert.notEqual(ownSecretOf(await read('default')), [...all][0], 'two projects share a token');
});

test('what is handed out is good for a week, and copies of the token before last to their own end', async (t) => {
  const { platform, read } = await openPullSecretWorld(t);
  const first = await read();
  assert.equal(first.expiresAt, platform.now() + 90 * dayMs);
  platform.clock.advance(83 * dayMs);
  assert.equal(ownSecretOf(await read()), ownSecretOf(first), 'a week is left');
  platform.clock.advance(1);
  const second = await read();
  assert.notEqual(ownSecretOf(second), ownSecretOf(first));
  assert.equal(second.expiresAt, platform.now() + 90 * dayMs);
  platform.clock.advance(7 * dayMs - 2);
  assert.ok(await findActorBySecret(platform, ownSecretOf(first)), 'the old one ended early');
  platform.clock.advance(1000);
  assert.equal(await findActorBySecret(platform, ownSecretOf(first)), undefined);
  assert.ok(await findActorBySecret(platform, ownSecretOf(second)));
  // The next renewal takes away what has ended.
  platform.clock.advance(77 * dayMs);
  const third = await read();
  const tokens = await platform.db.selectFrom('actors').select('id').where('kind', '=', 'pull').execute();
  assert.equal(tokens.length, 2);
  for (const secret of [second, third]) assert.ok(await findActorBySecret(platform, ownSecretOf(secret)));
});

test('no hand-out at any time gives less than a week', async (t) => {
  const { platform, read } = await openPullSecretWorld(t);
  for (let day = 0; day < 200; day++) {
    const { expiresAt } = await read();
    assert.ok(expiresAt - platform.now() >= 7 * dayMs, `day ${day}`);
    platform.clock.advance(dayMs + 12_345);
  }
});

test('a token that was ended is replaced', async (t) => {
  const { platform, read } = await openPullSecretWorld(t);
  const first = ownSecretOf(await read());
  await platform.db.updateTable('actors').set({ revoked_at: 1 }).where('kind', '=', 'pull').execute();
  const second = ownSecretOf(await read());
  assert.notEqual(second, first);
  assert.ok(await findActorBySecret(platform, second));
});

// Without it a pull secret that leaked would pull for three months.
test('a token that was given away is ended in all copies, and the next hand-out has another', async (t) => {
  const { platform, owner, team, shop, read } = await openPullSecretWorld(t);
  const kept = await makePullToken(platform, {
    teamId: team.teamId,
    name: 'cluster',
    registry: { id: team.registryId, projectId: shop.id },
  });
  const before = ownSecretOf(await read());
  platform.clock.advance(84 * dayMs);
  const [now, other] = [ownSecretOf(await read()), ownSecretOf(await read('default'))];
  for (const secret of [before, now]) assert.ok(await findActorBySecret(platform, secret));
  await endProjectPullToken(platform, owner, { project: 'shop' });
  for (const secret of [before, now]) assert.equal(await findActorBySecret(platform, secret), undefined);
  for (const secret of [other, kept.secret]) assert.ok(await findActorBySecret(platform, secret));
  const fresh = ownSecretOf(await read());
  assert.notEqual(fresh, now);
  assert.ok(await findActorBySecret(platform, fresh));
  const events = await platform.db.selectFrom('audit_events').select(['action', 'target_id']).execute();
  assert.ok(events.some(({ action, target_id }) => action === 'pull-secret.end' && target_id === shop.id));
});

test('with its project the token dies at once, the one before it too', async (t) => {
  const { platform, owner, read } = await openPullSecretWorld(t);
  const first = ownSecretOf(await read());
  platform.clock.advance(84 * dayMs);
  const second = ownSecretOf(await read());
  for (const secret of [first, second]) assert.ok(await findActorBySecret(platform, secret));
  await deleteProject(platform, owner, { project: 'shop' });
  for (const secret of [first, second]) assert.equal(await findActorBySecret(platform, secret), undefined);
  assert.deepEqual(await platform.db.selectFrom('project_pull_tokens').selectAll().execute(), []);
});

test('the secret is stored sealed and as a hash alone', async (t) => {
  const { platform, read } = await openPullSecretWorld(t);
  const secret = ownSecretOf(await read());
  const rows = [
    ...(await platform.db.selectFrom('project_pull_tokens').selectAll().execute()),
    ...(await platform.db.selectFrom('actors').selectAll().execute()),
    ...(await platform.db.selectFrom('audit_events').selectAll().execute()),
  ];
  assert.ok(rows.length > 2);
  const text = JSON.stringify(rows);
  for (const form of [
    secret,
    Buffer.from(secret).toString('base64'),
    Buffer.from(`token:${secret}`).toString('base64'),
  ]) {
    assert.ok(!text.includes(form.replace(/=+$/, '')));
  }
});

test('a renewal takes away nothing but what it replaces', async (t) => {
  const { platform, team, shop, read } = await openPullSecretWorld(t);
  const registry = { id: team.registryId, projectId: shop.id };
  // Of a cluster, whose integration ends it when it has another.
  const kept = await makePullToken(platform, { teamId: team.teamId, name: 'cluster', registry });
  const [first, other] = [await read(), await read('default')];
  platform.clock.advance(91 * dayMs);
  await read();
  const ids = await platform.db.selectFrom('actors').select(['id', 'secret_hash']).where('kind', '=', 'pull').execute();
  assert.ok(ids.some(({ id }) => id === kept.id));
  const hashes = ids.map((row) => row.secret_hash);
  assert.ok(hashes.includes(hashSecret(ownSecretOf(other))));
  assert.ok(!hashes.includes(hashSecret(ownSecretOf(first))));
});
