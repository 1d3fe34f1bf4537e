import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isAbout, namesOf, openConnections } from '#test/connection-world.ts';
import { seedKey } from '#test/platform.ts';
import { listConnections } from './connection-lists.ts';
import {
  createConnection,
  deleteConnection,
  getConnection,
  revealConnection,
  updateConnection,
} from './connections.ts';
import { deleteProject } from './project-deletion.ts';
import { createProject } from './projects.ts';

test('a key bound to projects sees what is for the whole team, and changes only what is wholly theirs', async (t) => {
  const { platform, team, owner, shop, blog, create } = await openConnections(t);
  await create({ name: 'Everybody' });
  await create({ name: 'Both', projects: ['shop', 'blog'] });
  await create({ name: 'Blog only', projects: [blog.id] });
  const { actor } = await seedKey(platform, team.teamId, { projectIds: [shop.id] });
  const mine = await createConnection(platform, actor, { name: 'Mine', provider: 'quay' });
  assert.deepEqual(mine.projectIds, [shop.id], 'what it makes is for its projects');
  assert.deepEqual(namesOf(await listConnections(platform, actor, { limit: 9 })), ['Everybody', 'Both', 'Mine']);
  const both = await getConnection(platform, actor, 'both');
  assert.deepEqual(both.projectIds, [shop.id], 'and does not learn of other projects');
  await assert.rejects(getConnection(platform, actor, 'blog-only'), { reason: 'not_found' });
  await assert.rejects(revealConnection(platform, actor, 'blog-only'), { reason: 'not_found' });
  for (const connection of ['everybody', 'both']) {
    const change = { connection, description: 'x' };
    await assert.rejects(updateConnection(platform, actor, change), { reason: 'denied' }, connection);
    await assert.rejects(deleteConnection(platform, actor, { connection }), { reason: 'denied' }, connection);
  }
  await assert.rejects(updateConnection(platform, actor, { connection: 'mine', projects: null }), { reason: 'denied' });
  await assert.rejects(
    updateConnection(platform, actor, { connection: 'mine', projects: ['blog'] }),
    isAbout('/projectIds'),
  );
  const wide = { name: 'Wide', provider: 'quay', projects: null };
  await assert.rejects(createConnection(platform, actor, wide), { reason: 'denied' });
  await assert.rejects(createConnection(platform, actor, { ...wide, projects: ['blog'] }), isAbout('/projectIds'));
  assert.equal((await updateConnection(platform, actor, { connection: 'mine', description: 'x' })).description, 'x');
  await deleteConnection(platform, actor, { connection: 'mine' });
  assert.equal((await getConnection(platform, owner, 'both')).projectIds?.length, 2);
});

test('who works for one project changes only what no other project shares', async (t) => {
  const { platform, owner, shop, create } = await openConnections(t);
  await create({ name: 'Everybody' });
  await create({ name: 'Both', projects: ['shop', 'blog'] });
  await create({ name: 'Own', projects: ['shop'] });
  await create({ name: 'Foreign', projects: ['blog'] });
  const input = (connection: string) => ({ connection, projectId: shop.id });
  const page = await listConnections(platform, owner, { limit: 9, projectId: shop.id });
  assert.deepEqual(namesOf(page), ['Everybody', 'Both', 'Own']);
  for (const connection of ['everybody', 'both']) {
    await assert.rejects(updateConnection(platform, owner, input(connection)), { reason: 'conflict' });
    await assert.rejects(deleteConnection(platform, owner, input(connection)), { reason: 'conflict' });
  }
  await assert.rejects(updateConnection(platform, owner, input('foreign')), { reason: 'not_found' });
  await updateConnection(platform, owner, { ...input('own'), description: 'x' });
  await deleteConnection(platform, owner, input('own'));
});

test('what was restricted to a project that ended is restricted to nothing', async (t) => {
  const { platform, team, owner, shop, create, update } = await openConnections(t);
  await create({ projects: [shop.id] });
  await create({ name: 'Both', projects: ['shop', 'blog'] });
  const { actor } = await seedKey(platform, team.teamId, { projectIds: [shop.id] });
  await deleteProject(platform, owner, { project: 'shop' });
  assert.deepEqual((await getConnection(platform, owner, 'one')).projectIds, []);
  assert.equal((await getConnection(platform, owner, 'both')).projectIds?.length, 1);
  await assert.rejects(getConnection(platform, actor, 'one'), { reason: 'not_found' });
  const again = await createProject(platform, owner, { name: 'Shop' });
  assert.deepEqual(namesOf(await listConnections(platform, owner, { limit: 9, projectId: again.project.id })), []);
  assert.deepEqual((await update({ projects: [again.project.id] })).projectIds, [again.project.id]);
  assert.equal((await update({ projects: null })).projectIds, null);
});

test('a connection made for a project while it is deleted is refused, or restricted to nothing', async (t) => {
  const { platform, owner, create } = await openConnections(t);
  const [, made] = await Promise.allSettled([
    deleteProject(platform, owner, { project: 'shop' }),
    create({ projects: ['shop'] }),
  ]);
  if (made.status === 'rejected') assert.equal(made.reason.reason, 'invalid');
  else assert.deepEqual((await getConnection(platform, owner, 'one')).projectIds, []);
  assert.deepEqual(await platform.db.selectFrom('connection_projects').selectAll().execute(), []);
});

// Who opened a password to the whole team is what one asks after it was misused.
test('the audit log says which projects a connection was given to, and when it was given to all', async (t) => {
  const { platform, shop, blog, create, update } = await openConnections(t);
  await create({ projects: ['shop'] });
  await update({ projects: ['shop', 'blog'] });
  await update({ description: 'no matter of projects' });
  await update({ projects: null });
  const events = await platform.db
    .selectFrom('audit_events')
    .select('detail')
    .where('target_kind', '=', 'connection')
    .orderBy('id')
    .execute();
  assert.deepEqual(
    events.map(({ detail }) => JSON.parse(detail).projectIds),
    [[shop.id], [shop.id, blog.id].sort(), undefined, null],
  );
});
