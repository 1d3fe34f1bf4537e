import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seedKey, seedTeam } from '#test/platform.ts';
import { connectAs, keysOf, loginOf, openPullSecretWorld, ownHost, ownSecretOf } from '#test/pull-secret-world.ts';
import { findActorBySecret } from './actors.ts';
import { revokeApiKey } from './api-keys.ts';
import { removeOldUses } from './connection-uses.ts';
import { deleteConnection, updateConnection } from './connections.ts';
import { deleteProject } from './project-deletion.ts';
import { createProject } from './projects.ts';

test('a project gets what the whole team may use and what is for it, and nothing else', async (t) => {
  const { platform, team, connect, read } = await openPullSecretWorld(t);
  await connect({ name: 'everyone' });
  await connect({ name: 'mine', projects: ['shop'] });
  await connect({ name: 'shared', projects: ['shop', 'default'] });
  await connect({ name: 'foreign', projects: ['default'] });
  await connect({ name: 'anonymous', username: '', password: '' });
  const rival = await seedTeam(platform, 'rival');
  await connectAs(platform, rival, { name: 'rivals' });
  const [mine, theirs] = [await read('shop'), await read(team.projectId)];
  assert.deepEqual(keysOf(mine), [ownHost, 'everyone.example.com', 'mine.example.com', 'shared.example.com']);
  assert.deepEqual(keysOf(theirs), [ownHost, 'everyone.example.com', 'shared.example.com', 'foreign.example.com']);
  assert.deepEqual(Object.keys(mine.config.auths), keysOf(mine));
  assert.deepEqual(loginOf(mine, 'mine.example.com'), ['mine-user', 'mine-password']);
  assert.deepEqual(mine.warnings, []);
});

test('a connection whose only project ended is in no pull secret', async (t) => {
  const { platform, owner, connect, read } = await openPullSecretWorld(t);
  await connect({ name: 'gone', projects: ['shop'] });
  await deleteProject(platform, owner, { project: 'shop' });
  assert.deepEqual(keysOf(await read('default')), [ownHost]);
});

// What may be asked for, by whom: every combination of a key's projects and the project that is named.
test('a key bound to projects gets theirs, and any other is not found in the words for what never was', async (t) => {
  const { platform, team, shop, connect, read } = await openPullSecretWorld(t);
  const rival = await seedTeam(platform, 'rival');
  await connect({ name: 'everyone' });
  await connect({ name: 'mine', projects: ['shop'] });
  await connect({ name: 'foreign', projects: ['default'] });
  const bindings = [null, [shop.id], [team.projectId], [shop.id, team.projectId]];
  const refs = { shop: shop.id, default: team.projectId, rival: rival.projectId, never: 'never' };
  const refusals = new Set<string>();
  for (const projectIds of bindings) {
    const { actor } = await seedKey(platform, team.teamId, { projectIds, permissions: ['pull-secrets:read'] });
    for (const [name, ref] of Object.entries(refs)) {
      const isOurs = name === 'shop' || name === 'default';
      const outcome = await read(ref, actor).catch((error) => error);
      if (isOurs && (projectIds === null || projectIds.includes(ref))) {
        const own = name === 'shop' ? 'mine' : 'foreign';
        assert.deepEqual(keysOf(outcome), [ownHost, 'everyone.example.com', `${own}.example.com`]);
      } else {
        assert.equal(outcome.reason, 'not_found', `${name} for ${projectIds}`);
        refusals.add(outcome.message.replace(ref, '…'));
      }
    }
  }
  assert.equal(refusals.size, 1, [...refusals].join('\n'));
});

test('it takes its own permission, of an API key that is not revoked', async (t) => {
  const { platform, owner, team, read } = await openPullSecretWorld(t);
  const { actor } = await seedKey(platform, team.teamId, { permissions: ['connections:reveal', 'projects:read'] });
  await assert.rejects(read('shop', actor), { reason: 'denied', message: /pull-secrets:read/ });
  const token = await findActorBySecret(platform, ownSecretOf(await read()));
  assert.ok(token);
  await assert.rejects(read('shop', token), { reason: 'unauthenticated' });
  const late = await seedKey(platform, team.teamId);
  await revokeApiKey(platform, owner, { key: late.actor.id });
  await assert.rejects(read('shop', late.actor), { reason: 'unauthenticated' });
});

// Each round is one more chance for an engine that lets them run at once to mix them up.
const rounds = 15;

test('a hand-out while a connection is deleted comes before or after, and leaves nothing', async (t) => {
  const { platform, owner, connect, read } = await openPullSecretWorld(t);
  for (let round = 0; round < rounds; round++) {
    const { id } = await connect({ name: `round-${round}` });
    const deletion = () => deleteConnection(platform, owner, { connection: id });
    await Promise.all([read(), read('default'), deletion(), read(), read('default')]);
    assert.deepEqual(await platform.db.selectFrom('connection_uses').selectAll().execute(), []);
  }
});

test('a hand-out while its project is deleted comes before or after, and opens nothing', async (t) => {
  const { platform, owner, connect, read } = await openPullSecretWorld(t);
  await connect({ name: 'everyone' });
  for (let round = 0; round < rounds; round++) {
    const { project } = await createProject(platform, owner, { name: `round ${round}` });
    const [deletion, ...reads] = await Promise.allSettled([
      deleteProject(platform, owner, { project: project.id }),
      ...[1, 2, 3, 4].map(() => read(project.id)),
    ]);
    assert.equal(deletion.status, 'fulfilled', String(deletion.status === 'rejected' && deletion.reason));
    for (const one of reads) {
      if (one.status === 'rejected') assert.equal(one.reason.reason, 'not_found', String(one.reason));
      else assert.equal(await findActorBySecret(platform, ownSecretOf(one.value)), undefined);
    }
    assert.deepEqual(await platform.db.selectFrom('connection_uses').selectAll().execute(), []);
    assert.deepEqual(await platform.db.selectFrom('project_pull_tokens').selectAll().execute(), []);
  }
});

test('what was taken from a project is not handed out to it afterwards, however close they come', async (t) => {
  const { platform, owner, connect, read } = await openPullSecretWorld(t);
  const { id } = await connect({ name: 'mine', projects: ['shop'] });
  for (let round = 0; round < rounds; round++) {
    await updateConnection(platform, owner, { connection: id, projects: ['shop'] });
    const before = await platform.db.selectFrom('connection_uses').select('times').executeTakeFirst();
    const [, secret] = await Promise.all([
      updateConnection(platform, owner, { connection: id, projects: ['default'] }),
      read(),
    ]);
    const after = await platform.db.selectFrom('connection_uses').select('times').executeTakeFirst();
    const isHandedOut = keysOf(secret).includes('mine.example.com');
    assert.equal((after?.times ?? 0) - (before?.times ?? 0), isHandedOut ? 1 : 0);
    assert.deepEqual(keysOf(await read()), [ownHost]);
  }
});

test('each hand-out is in the audit log and counted for its connections, without any secret', async (t) => {
  const { platform, team, owner, shop, connect, read } = await openPullSecretWorld(t);
  const one = await connect({ name: 'one' });
  await connect({ name: 'late', url: 'one.example.com' });
  await connect({ name: 'foreign', projects: ['default'] });
  const { actor: ci } = await seedKey(platform, team.teamId);
  await read();
  platform.clock.advance(5000);
  await read();
  const secret = await read('shop', { ...ci, address: '192.0.2.7' });
  const uses = await platform.db.selectFrom('connection_uses').selectAll().orderBy('actor_id').execute();
  const expected = [
    { actor_id: owner.id, actor_name: owner.name, times: 2 },
    { actor_id: ci.id, actor_name: ci.name, times: 1 },
  ].map((use) => ({ connection_id: one.id, project_id: shop.id, ...use, last_used_at: platform.now() }));
  assert.deepEqual(
    uses.map((row) => ({ ...row })),
    expected.sort((a, b) => (a.actor_id < b.actor_id ? -1 : 1)),
  );
  const events = await platform.db.selectFrom('audit_events').selectAll().orderBy('id').execute();
  const reads = events.filter(({ action }) => action === 'pull-secret.read');
  assert.equal(reads.length, 3);
  const last = reads.at(-1);
  assert.deepEqual(
    [last?.actor_id, last?.address, last?.target_kind, last?.target_id, last?.target_name],
    [ci.id, '192.0.2.7', 'project', shop.id, 'shop'],
  );
  assert.deepEqual(JSON.parse(last?.detail ?? ''), { connections: [{ id: one.id, slug: 'one' }] });
  const text = JSON.stringify(events);
  for (const hidden of ['one-password', 'late-password', ownSecretOf(secret), 'ldg_']) {
    assert.ok(!text.includes(hidden), hidden);
  }
});

test('what was last used before a time is forgotten, in batches, and nothing else', async (t) => {
  const { platform, team, connect, read } = await openPullSecretWorld(t);
  for (const name of ['one', 'two', 'three']) await connect({ name });
  const { actor } = await seedKey(platform, team.teamId);
  await read('shop', actor);
  platform.clock.advance(5000);
  await read();
  const before = platform.now();
  assert.deepEqual([await removeOldUses(platform, before, 2), await removeOldUses(platform, before, 2)], [2, 1]);
  assert.equal(await removeOldUses(platform, before), 0);
  const uses = await platform.db.selectFrom('connection_uses').select('actor_id').execute();
  assert.deepEqual(new Set(uses.map((use) => use.actor_id)), new Set([team.owner.id]));
  assert.equal(uses.length, 3);
});

test('a thousand connections are handed out together, and of more than that the oldest', async (t) => {
  const { platform, connect, read } = await openPullSecretWorld(t);
  for (let i = 0; i < 1000; i++) await connect({ name: `c${i}` });
  const all = await read();
  assert.deepEqual([Object.keys(all.config.auths).length, all.warnings], [1001, []]);
  await connect({ name: 'newest' });
  const most = await read();
  assert.deepEqual(keysOf(most), keysOf(all));
  assert.match(most.warnings.join(), /more than 1000 connections/);
  const uses = await platform.db.selectFrom('connection_uses').select('times').execute();
  assert.deepEqual([uses.length, new Set(uses.map(({ times }) => times))], [1000, new Set([2])]);
});

test('a stored secret that does not open is a warning and keeps nothing from the others', async (t) => {
  const { platform, connect, read } = await openPullSecretWorld(t);
  await connect({ name: 'damaged' });
  const other = await connect({ name: 'other' });
  const moved = await platform.db.selectFrom('connections').selectAll().where('id', '=', other.id).executeTakeFirst();
  await platform.db
    .updateTable('connections')
    .set({ sealed_secret: moved?.sealed_secret ?? '' })
    .where('slug', '=', 'damaged')
    .execute();
  const secret = await read();
  assert.deepEqual(keysOf(secret), [ownHost, 'other.example.com']);
  assert.match(secret.warnings[0] ?? '', /damaged is left out: its stored secret cannot be opened/);
});
