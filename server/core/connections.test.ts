import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openConnectionWorld } from '#test/connection-world.ts';
import { openTestPlatform, seedKey, seedTeam } from '#test/platform.ts';
import { type Connection, openSecret, replacementContext, secretContext } from './connection-rows.ts';
import {
  type ConnectionChange,
  createConnection,
  deleteConnection,
  getConnection,
  listConnections,
  type NewConnection,
  revealConnection,
  updateConnection,
} from './connections.ts';
import type { Failure } from './failure.ts';
import { deleteProject } from './project-deletion.ts';
import { createProject } from './projects.ts';

const keyFile = { type: 'service_account', private_key: 'k' };
const aws = { username: 'AKIAIOSFODNN7EXAMPLE', password: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY' };
const login = { username: 'ci', password: 'old secret' };

async function open(t: Parameters<typeof openTestPlatform>[0]) {
  const platform = await openTestPlatform(t);
  const team = await seedTeam(platform, 'acme');
  const { owner } = team;
  const { project: shop } = await createProject(platform, owner, { name: 'Shop' });
  const { project: blog } = await createProject(platform, owner, { name: 'Blog' });
  return {
    platform,
    team,
    owner,
    shop,
    blog,
    create: (input: Partial<NewConnection> = {}) =>
      createConnection(platform, owner, { name: 'One', provider: 'ghcr', ...login, ...input }),
    update: (change: Partial<ConnectionChange>) => updateConnection(platform, owner, { connection: 'one', ...change }),
    reveal: (ref = 'one') => revealConnection(platform, owner, ref),
  };
}

const names = ({ items }: { items: readonly Connection[] }) => items.map(({ name }) => name);

test('a connection is kept as it was given and found by id and slug, its secret sealed', async (t) => {
  const { platform, owner, create, reveal } = await open(t);
  const made = await create({ name: ' Über uns ', url: 'https://ghcr.io/acme', namespace: 'acme', description: 'x' });
  const { id, createdAt: _, updatedAt: __, ...rest } = made;
  assert.deepEqual(rest, {
    teamId: owner.teamId,
    name: 'Über uns',
    slug: 'uber-uns',
    description: 'x',
    provider: 'ghcr',
    url: 'https://ghcr.io/acme',
    host: 'ghcr.io',
    namespace: 'acme',
    username: 'ci',
    hasSecret: true,
    hasReplacement: false,
    awsRegion: null,
    tokenHost: null,
    projectIds: null,
    status: 'untested',
    testedAt: null,
  });
  assert.deepEqual(await getConnection(platform, owner, id), made);
  assert.deepEqual(await getConnection(platform, owner, 'uber-uns'), made);
  assert.deepEqual((await reveal('uber-uns')).secret, { kind: 'password', password: 'old secret' });
  const rows = await platform.db.selectFrom('connections').selectAll().execute();
  assert.ok(!JSON.stringify(rows).includes('old secret'));
  const events = await platform.db.selectFrom('audit_events').selectAll().execute();
  assert.ok(!JSON.stringify(events).includes('old secret'));
  assert.deepEqual(
    events.map(({ action }) => action).filter((action) => action.startsWith('connection')),
    ['connection.create', 'connection.reveal'],
  );
});

test('each provider leads to its default host, or asks for one', async (t) => {
  const { create } = await open(t);
  const hosts: [string, Partial<NewConnection>, string][] = [
    ['dockerhub', login, 'docker.io'],
    ['ghcr', login, 'ghcr.io'],
    ['gcr', { ...nothing, keyFile }, 'gcr.io'],
    ['gitlab', login, 'registry.gitlab.com'],
    ['digitalocean', login, 'registry.digitalocean.com'],
    ['quay', login, 'quay.io'],
  ];
  for (const [provider, input, host] of hosts) {
    assert.equal((await create({ name: provider, provider, ...input })).host, host);
  }
  for (const provider of ['artifact-registry', 'ecr', 'acr', 'oci']) {
    const input = provider === 'artifact-registry' ? { ...nothing, keyFile } : provider === 'ecr' ? aws : login;
    await assert.rejects(create({ name: provider, provider, ...input }), isAbout('/url'), provider);
    await assert.rejects(create({ name: provider, provider, ...input, url: '' }), isAbout('/url'), provider);
  }
});

const nothing = { username: undefined, password: undefined };
const isAbout = (field: string) => (failure: Failure) =>
  failure.reason === 'invalid' && Object.keys(failure.detail.fields ?? {})[0] === field;

test('what cannot be a connection is refused with the field at fault, made or changed', async (t) => {
  const { create, update } = await open(t);
  await create();
  const cases: [Partial<NewConnection>, string][] = [
    [{ name: '' }, '/name'],
    [{ name: 'x'.repeat(101) }, '/name'],
    [{ name: 'a\u202eb' }, '/name'],
    [{ name: '0198c0de-0000-7000-8000-00000000000A' }, '/name'],
    [{ provider: 'legacy' }, '/provider'],
    [{ provider: 'toString' }, '/provider'],
    [{ provider: 'acr' }, '/url'],
    [{ url: 'https://ghcr.io.evil.example' }, '/url'],
    [{ url: 'http://ghcr.io' }, '/url'],
    [{ namespace: 'a b' }, '/namespace'],
    [{ namespace: 'x'.repeat(256) }, '/namespace'],
    [{ description: 'a\0b' }, '/description'],
    [{ awsRegion: 'evil.example/' }, '/awsRegion'],
    [{ tokenHost: 'http://tokens.example.com' }, '/tokenHost'],
    [{ tokenHost: 'a b' }, '/tokenHost'],
    [{ username: 'ci', password: '' }, '/password'],
    [{ username: '', password: 'x' }, '/username'],
    [{ ...nothing, keyFile }, '/keyFile'],
    [{ projects: ['nowhere'] }, '/projectIds'],
    [{ projects: Array.from({ length: 101 }, (_, i) => `p${i}`) }, '/projectIds'],
  ];
  for (const [input, field] of cases) {
    await assert.rejects(create({ name: 'Two', ...input }), isAbout(field), `create ${JSON.stringify(input)}`);
    await assert.rejects(update(input), isAbout(field), `update ${JSON.stringify(input)}`);
  }
});

test('a name is taken once in the team, in whatever case, and a slug for ever', async (t) => {
  const { platform, team, owner, create, update } = await open(t);
  await create({ name: 'Prod' });
  await assert.rejects(create({ name: 'PROD' }), { reason: 'conflict', message: /of this name/ });
  await assert.rejects(create({ name: 'prod!' }), { reason: 'conflict', message: /derived/ });
  const other = await create({ name: 'Стейдж' });
  assert.equal(other.slug, `connection-${other.id.slice(-12)}`);
  await assert.rejects(update({ connection: other.slug, name: 'pROD' }), { reason: 'conflict' });
  assert.equal((await update({ connection: 'prod', name: 'PROD' })).name, 'PROD');
  const renamed = await update({ connection: 'prod', name: 'Else' });
  assert.equal(renamed.slug, 'prod');
  await assert.rejects(create({ name: 'Prod' }), { reason: 'conflict', message: /derived/ });
  const stranger = await seedTeam(platform, 'other');
  assert.equal((await createConnection(platform, stranger.owner, { name: 'Else', provider: 'quay' })).slug, 'else');
  await deleteConnection(platform, owner, { connection: 'prod' });
  assert.equal((await create({ name: 'Prod' })).teamId, team.teamId);
});

test('of many who take one name at once, one gets it', async (t) => {
  const { platform, owner, create, update } = await open(t);
  for (const name of ['A', 'B', 'C']) await create({ name });
  const made = await Promise.allSettled(['Same', 'same', 'SAME', 'sAME'].map((name) => create({ name })));
  assert.deepEqual(made.map(({ status }) => status).sort(), ['fulfilled', 'rejected', 'rejected', 'rejected']);
  const renamed = await Promise.allSettled(['a', 'b', 'c'].map((connection) => update({ connection, name: 'New' })));
  assert.deepEqual(renamed.map(({ status }) => status).sort(), ['fulfilled', 'rejected', 'rejected']);
  const mixed = await Promise.allSettled([
    create({ name: 'Third' }),
    update({ connection: 'a', name: 'third' }),
    create({ name: 'THIRD' }),
    update({ connection: 'b', name: 'tHIRD' }),
  ]);
  assert.equal(mixed.filter(({ status }) => status === 'fulfilled').length, 1);
  for (const one of [...made, ...renamed, ...mixed]) {
    if (one.status === 'rejected') assert.equal(one.reason.reason, 'conflict');
  }
  const folded = names(await listConnections(platform, owner, { limit: 50 })).map((name) => name.toLowerCase());
  assert.equal(new Set(folded).size, folded.length);
});

// Without this test whoever may change a connection could send its password to a server of their own.
test('a stored secret goes to no other place: it must be given again', async (t) => {
  const { create, update, reveal } = await open(t);
  await create({ provider: 'oci', url: 'registry.example.com:5000', tokenHost: 'tokens.example.com' });
  const moves: Partial<ConnectionChange>[] = [
    { url: 'evil.example' },
    { url: 'registry.example.com' },
    { url: 'registry.example.com:5001' },
    { url: 'https://registry.example.com.evil.example:5000' },
    { provider: 'gitlab' },
    { provider: 'quay' },
    { tokenHost: 'evil.example' },
    { url: 'evil.example', username: 'mallory' },
    { url: 'evil.example', namespace: 'x', projects: [] },
  ];
  const before = await reveal();
  for (const move of moves) {
    await assert.rejects(
      update(move),
      (failure: Failure) =>
        isAbout('/password')(failure) && /it was entered for registry\.example\.com:5000/.test(failure.message),
      JSON.stringify(move),
    );
  }
  assert.deepEqual(await reveal(), before, 'nothing has changed');
  const same = { url: 'https://REGISTRY.example.com.:5000/path', namespace: 'team', description: 'x' };
  assert.equal((await update(same)).host, 'registry.example.com:5000');
  assert.equal((await update({ tokenHost: null })).tokenHost, null);
  await assert.rejects(update({ tokenHost: 'tokens.example.com' }), isAbout('/password'), 'what was taken away is new');
  const moved = await update({ url: 'new.example.com', password: 'new secret' });
  assert.deepEqual([moved.host, moved.username], ['new.example.com', 'ci']);
  assert.deepEqual((await reveal()).secret, { kind: 'password', password: 'new secret' });
  const anonymous = await update({ url: 'third.example.com', password: '' });
  assert.deepEqual([anonymous.host, anonymous.hasSecret, anonymous.username], ['third.example.com', false, '']);
  assert.equal(
    (await update({ url: 'fourth.example.com' })).host,
    'fourth.example.com',
    'there is nothing to give away',
  );
});

test('from http to https a secret may go, and not back', async (t) => {
  const { connect, platform, owner } = await openConnectionWorld(t);
  const { id } = await connect({ url: 'https://127.0.0.1:5000' });
  const update = (url: string) => updateConnection(platform, owner, { connection: id, url });
  await assert.rejects(update('http://127.0.0.1:5000'), isAbout('/password'));
  const other = await connect({ name: 'other', url: 'http://127.0.0.1:5000' });
  const change = { connection: other.id, url: 'https://127.0.0.1:5000' };
  assert.equal((await updateConnection(platform, owner, change)).url, 'https://127.0.0.1:5000');
});

test('a user name changes alone where the password is the same, and where that can be', async (t) => {
  const { create, update, reveal } = await open(t);
  await create();
  assert.equal((await update({ username: 'robot' })).username, 'robot');
  assert.deepEqual((await reveal()).secret, { kind: 'password', password: 'old secret' });
  await assert.rejects(update({ username: '' }), isAbout('/username'));
  await assert.rejects(update({ username: 'a:b' }), isAbout('/username'));
  await create({ name: 'Two', ...nothing });
  await assert.rejects(update({ connection: 'two', username: 'x' }), isAbout('/password'));
  await create({ name: 'Three', provider: 'gcr', ...nothing, keyFile });
  await assert.rejects(update({ connection: 'three', username: 'oauth2accesstoken' }), isAbout('/password'));
  await create({ name: 'Four', provider: 'ecr', url: '123456789012.dkr.ecr.eu-west-1.amazonaws.com', ...aws });
  await assert.rejects(update({ connection: 'four', username: 'AKIAIOSFODNN7EXAMPLF' }), isAbout('/password'));
  const both = await update({ connection: 'two', username: 'x', password: 'y' });
  assert.deepEqual([both.username, both.hasSecret], ['x', true]);
});

test('Docker auths bring host and user name where there is one, and hosts beside it where there are more', async (t) => {
  const { create, update, reveal } = await open(t);
  const entry = (username: string) => ({ auth: Buffer.from(`${username}:p`).toString('base64') });
  const one = await create({ provider: 'oci', ...nothing, auths: { 'https://a.example.com/v1/': entry('me') } });
  assert.deepEqual([one.url, one.host, one.username], ['a.example.com', 'a.example.com', 'me']);
  const two = await create({
    name: 'Two',
    provider: 'oci',
    ...nothing,
    auths: { 'b.example.com': entry('b'), 'c.example.com': entry('c') },
  });
  assert.deepEqual([two.url, two.username], ['b.example.com', '']);
  const { secret } = await reveal('two');
  assert.deepEqual(secret?.kind === 'auths' && Object.keys(secret.auths), ['b.example.com', 'c.example.com']);
  const wrong = {
    name: 'Three',
    provider: 'oci',
    url: 'd.example.com',
    ...nothing,
    auths: { 'b.example.com': entry('b') },
  };
  await assert.rejects(create(wrong), isAbout('/url'));
  await assert.rejects(update({ connection: 'two', url: 'c.example.com' }), isAbout('/password'));
  const beside = { connection: 'two', url: 'd.example.com', auths: { 'b.example.com': entry('b') } };
  await assert.rejects(update(beside), isAbout('/url'));
  const moved = await update({ connection: 'two', auths: { 'e.example.com': entry('e') } });
  assert.deepEqual([moved.host, moved.username], ['e.example.com', 'e']);
});

test('a key bound to projects sees what is for the whole team, and changes only what is wholly theirs', async (t) => {
  const { platform, team, owner, shop, blog, create } = await open(t);
  await create({ name: 'Everybody' });
  await create({ name: 'Both', projects: ['shop', 'blog'] });
  await create({ name: 'Blog only', projects: [blog.id] });
  const { actor } = await seedKey(platform, team.teamId, { projectIds: [shop.id] });
  const mine = await createConnection(platform, actor, { name: 'Mine', provider: 'quay' });
  assert.deepEqual(mine.projectIds, [shop.id], 'what it makes is for its projects');
  assert.deepEqual(names(await listConnections(platform, actor, { limit: 9 })), ['Everybody', 'Both', 'Mine']);
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
  const { platform, owner, shop, create } = await open(t);
  await create({ name: 'Everybody' });
  await create({ name: 'Both', projects: ['shop', 'blog'] });
  await create({ name: 'Own', projects: ['shop'] });
  await create({ name: 'Foreign', projects: ['blog'] });
  const input = (connection: string) => ({ connection, projectId: shop.id });
  const page = await listConnections(platform, owner, { limit: 9, projectId: shop.id });
  assert.deepEqual(names(page), ['Everybody', 'Both', 'Own']);
  for (const connection of ['everybody', 'both']) {
    await assert.rejects(updateConnection(platform, owner, input(connection)), { reason: 'conflict' });
    await assert.rejects(deleteConnection(platform, owner, input(connection)), { reason: 'conflict' });
  }
  await assert.rejects(updateConnection(platform, owner, input('foreign')), { reason: 'not_found' });
  await updateConnection(platform, owner, { ...input('own'), description: 'x' });
  await deleteConnection(platform, owner, input('own'));
});

test('what was restricted to a project that ended is restricted to nothing', async (t) => {
  const { platform, team, owner, shop, create, update } = await open(t);
  await create({ projects: [shop.id] });
  await create({ name: 'Both', projects: ['shop', 'blog'] });
  const { actor } = await seedKey(platform, team.teamId, { projectIds: [shop.id] });
  await deleteProject(platform, owner, { project: 'shop' });
  assert.deepEqual((await getConnection(platform, owner, 'one')).projectIds, []);
  assert.equal((await getConnection(platform, owner, 'both')).projectIds?.length, 1);
  await assert.rejects(getConnection(platform, actor, 'one'), { reason: 'not_found' });
  const again = await createProject(platform, owner, { name: 'Shop' });
  assert.deepEqual(names(await listConnections(platform, owner, { limit: 9, projectId: again.project.id })), []);
  assert.deepEqual((await update({ projects: [again.project.id] })).projectIds, [again.project.id]);
  assert.equal((await update({ projects: null })).projectIds, null);
});

test('a connection made for a project while it is deleted is refused, or restricted to nothing', async (t) => {
  const { platform, owner, create } = await open(t);
  const [, made] = await Promise.allSettled([
    deleteProject(platform, owner, { project: 'shop' }),
    create({ projects: ['shop'] }),
  ]);
  if (made.status === 'rejected') assert.equal(made.reason.reason, 'invalid');
  else assert.deepEqual((await getConnection(platform, owner, 'one')).projectIds, []);
  assert.deepEqual(await platform.db.selectFrom('connection_projects').selectAll().execute(), []);
});

test("another team's connection and one that never was are refused in the same words", async (t) => {
  const { platform, create } = await open(t);
  const { id } = await create();
  const { owner } = await seedTeam(platform, 'other');
  const said = new Set<string>();
  for (const ref of [id, '0198c0de-0000-7000-8000-000000000000', 'one', 'nothing', 'a\0b', '%', 'x'.repeat(2000), '']) {
    const asked: (() => Promise<unknown>)[] = [
      () => getConnection(platform, owner, ref),
      () => updateConnection(platform, owner, { connection: ref, description: 'x' }),
      () => deleteConnection(platform, owner, { connection: ref }),
      () => revealConnection(platform, owner, ref),
    ];
    for (const ask of asked) {
      const failure = await ask().then(
        () => assert.fail('it was found'),
        (error: Failure) => error,
      );
      assert.equal(failure.reason, 'not_found', ref.slice(0, 40));
      said.add(failure.message.replace(JSON.stringify(ref.slice(0, 80)), '…'));
    }
  }
  assert.equal(said.size, 1);
  assert.deepEqual(names(await listConnections(platform, owner, { limit: 9 })), []);
});

// Without this test who can write rows could read a password by moving it to a connection of their own.
test('a sealed secret opens in its own row and in its own place there', async (t) => {
  const { platform, create } = await open(t);
  const [one, two] = [await create(), await create({ name: 'Two', password: 'another' })];
  const row = (id: string) =>
    platform.db.selectFrom('connections').selectAll().where('id', '=', id).executeTakeFirstOrThrow();
  const { sealed_secret: sealed } = await row(one.id);
  assert.ok(sealed);
  await platform.db.updateTable('connections').set({ sealed_secret: sealed }).where('id', '=', two.id).execute();
  const moved = await row(two.id);
  assert.throws(() => openSecret(platform, moved));
  assert.throws(() => platform.secrets.open(sealed, replacementContext(one.id)));
  assert.match(platform.secrets.open(sealed, secretContext(one.id)), /old secret/);
});

test('the list is paged, searched, filtered and sorted', async (t) => {
  const { platform, owner, shop, create } = await open(t);
  await create({ name: 'b', provider: 'quay' });
  await create({ name: 'A_%' });
  await create({ name: 'c', projects: ['shop'] });
  const list = async (input: object) => names(await listConnections(platform, owner, { limit: 9, ...input }));
  assert.deepEqual(await list({}), ['b', 'A_%', 'c']);
  assert.deepEqual(await list({ sort: { by: 'name', descending: false } }), ['A_%', 'b', 'c']);
  assert.deepEqual(await list({ sort: { by: 'name', descending: true } }), ['c', 'b', 'A_%']);
  assert.deepEqual(await list({ search: '_%' }), ['A_%']);
  assert.deepEqual(await list({ search: 'a' }), ['A_%']);
  assert.deepEqual(await list({ provider: 'quay' }), ['b']);
  assert.deepEqual(await list({ status: 'passed' }), []);
  assert.deepEqual(await list({ project: 'blog' }), ['b', 'A_%']);
  assert.deepEqual(await list({ project: shop.id }), ['b', 'A_%', 'c']);
  assert.deepEqual(await list({ project: 'nowhere' }), []);
  for (const by of ['name', 'createdAt'] as const) {
    for (const descending of [false, true]) {
      const sort = { by, descending };
      const seen: string[] = [];
      let after: Awaited<ReturnType<typeof listConnections>>['nextCursor'] = null;
      do {
        const page: Awaited<ReturnType<typeof listConnections>> = await listConnections(platform, owner, {
          limit: 1,
          after,
          sort,
        });
        seen.push(...names(page));
        after = page.nextCursor;
      } while (after);
      assert.deepEqual(seen, await list({ sort }));
    }
  }
});

test('each thing that is done with connections needs its own permission', async (t) => {
  const { platform, team, create } = await open(t);
  await create();
  const connection = 'one';
  const done: [string, (actor: typeof team.owner) => Promise<unknown>][] = [
    ['connections:create', (actor) => createConnection(platform, actor, { name: 'Two', provider: 'quay' })],
    ['connections:read', (actor) => listConnections(platform, actor, { limit: 1 })],
    ['connections:read', (actor) => getConnection(platform, actor, connection)],
    ['connections:update', (actor) => updateConnection(platform, actor, { connection, description: 'x' })],
    ['connections:reveal', (actor) => revealConnection(platform, actor, connection)],
    ['connections:delete', (actor) => deleteConnection(platform, actor, { connection })],
  ];
  const all = ['create', 'read', 'update', 'reveal', 'delete', 'test'].map((verb) => `connections:${verb}`);
  for (const [permission, act] of done) {
    const others = await seedKey(platform, team.teamId, { permissions: all.filter((one) => one !== permission) });
    await assert.rejects(act(others.actor), { reason: 'denied', message: new RegExp(permission) });
    const { actor } = await seedKey(platform, team.teamId, { permissions: [permission] });
    await act(actor);
  }
});

test('who expects another state changes nothing', async (t) => {
  const { platform, owner, create } = await open(t);
  const made = await create();
  const expect = (current: Connection) => {
    assert.deepEqual(current, made);
    throw new Error('not this one');
  };
  const input = { connection: 'one', expect };
  await assert.rejects(updateConnection(platform, owner, { ...input, description: 'x' }), /not this one/);
  await assert.rejects(deleteConnection(platform, owner, input), /not this one/);
  assert.deepEqual(await getConnection(platform, owner, 'one'), made);
});
