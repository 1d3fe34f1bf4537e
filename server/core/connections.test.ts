import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isAbout, namesOf, noLogin, openConnections } from '#test/connection-world.ts';
import { seedKey, seedTeam } from '#test/platform.ts';
import { listConnections } from './connection-lists.ts';
import type { Connection } from './connection-rows.ts';
import {
  createConnection,
  deleteConnection,
  getConnection,
  type NewConnection,
  revealConnection,
  updateConnection,
} from './connections.ts';
import type { Failure } from './failure.ts';

const keyFile = { type: 'service_account', private_key: 'k' };
const aws = { username: 'AKIAIOSFODNN7EXAMPLE', password: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY' };
const login = { username: 'ci', password: 'old secret' };

test('a connection is kept as it was given and found by id and slug, its secret sealed', async (t) => {
  const { platform, owner, create, reveal } = await openConnections(t);
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
    credentialsExpireAt: null,
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
  const { create } = await openConnections(t);
  const hosts: [string, Partial<NewConnection>, string][] = [
    ['dockerhub', login, 'docker.io'],
    ['ghcr', login, 'ghcr.io'],
    ['gcr', { ...noLogin, keyFile }, 'gcr.io'],
    ['gitlab', login, 'registry.gitlab.com'],
    ['digitalocean', login, 'registry.digitalocean.com'],
    ['quay', login, 'quay.io'],
  ];
  for (const [provider, input, host] of hosts) {
    assert.equal((await create({ name: provider, provider, ...input })).host, host);
  }
  for (const provider of ['artifact-registry', 'ecr', 'acr', 'oci']) {
    const input = provider === 'artifact-registry' ? { ...noLogin, keyFile } : provider === 'ecr' ? aws : login;
    await assert.rejects(create({ name: provider, provider, ...input }), isAbout('/url'), provider);
    await assert.rejects(create({ name: provider, provider, ...input, url: '' }), isAbout('/url'), provider);
  }
});

test('what cannot be a connection is refused with the field at fault, made or changed', async (t) => {
  const { create, update } = await openConnections(t);
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
    [{ tokenHost: 'https://tokens.example.com/auth' }, '/tokenHost'],
    [{ username: 'ci', password: '' }, '/password'],
    [{ username: '', password: 'x' }, '/username'],
    [{ ...noLogin, keyFile }, '/keyFile'],
    [{ projects: ['nowhere'] }, '/projectIds'],
    [{ projects: Array.from({ length: 101 }, (_, i) => `p${i}`) }, '/projectIds'],
  ];
  for (const [input, field] of cases) {
    await assert.rejects(create({ name: 'Two', ...input }), isAbout(field), `create ${JSON.stringify(input)}`);
    await assert.rejects(update(input), isAbout(field), `update ${JSON.stringify(input)}`);
  }
});

test('a name is taken once in the team, in whatever case, and a slug for ever', async (t) => {
  const { platform, team, owner, create, update } = await openConnections(t);
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
  const { platform, owner, create, update } = await openConnections(t);
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
  const folded = namesOf(await listConnections(platform, owner, { limit: 50 })).map((name) => name.toLowerCase());
  assert.equal(new Set(folded).size, folded.length);
});

test("another team's connection and one that never was are refused in the same words", async (t) => {
  const { platform, create } = await openConnections(t);
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
  assert.deepEqual(namesOf(await listConnections(platform, owner, { limit: 9 })), []);
});

test('the list is paged, searched, filtered and sorted', async (t) => {
  const { platform, owner, shop, create } = await openConnections(t);
  await create({ name: 'b', provider: 'quay' });
  await create({ name: 'A_%' });
  await create({ name: 'c', projects: ['shop'] });
  const list = async (input: object) => namesOf(await listConnections(platform, owner, { limit: 9, ...input }));
  assert.deepEqual(await list({}), ['b', 'A_%', 'c']);
  assert.deepEqual(await list({ sort: { by: 'name', descending: false } }), ['A_%', 'b', 'c']);
  assert.deepEqual(await list({ sort: { by: 'name', descending: true } }), ['c', 'b', 'A_%']);
  assert.deepEqual(await list({ search: '_%' }), ['A_%']);
  assert.deepEqual(await list({ search: 'a' }), ['A_%']);
  assert.deepEqual(await list({ provider: 'quay' }), ['b']);
  assert.deepEqual(await list({ status: 'passed' }), []);
  assert.deepEqual(await list({ project: 'blog' }), ['b', 'A_%']);
  assert.deepEqual(await list({ project: shop.id }), ['b', 'A_%', 'c']);
  await assert.rejects(list({ project: 'nowhere' }), isAbout('/project'));
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
        seen.push(...namesOf(page));
        after = page.nextCursor;
      } while (after);
      assert.deepEqual(seen, await list({ sort }));
    }
  }
});

test('each thing that is done with connections needs its own permission', async (t) => {
  const { platform, team, create } = await openConnections(t);
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
  const { platform, owner, create } = await openConnections(t);
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

test('a change says in the audit log which fields, and a change of nothing changes nothing', async (t) => {
  const { platform, shop, create, update } = await openConnections(t);
  const made = await create({ projects: ['shop'] });
  const events = () => platform.db.selectFrom('audit_events').select('detail').orderBy('id').execute();
  const written = (await events()).length;
  platform.clock.advance(1000);
  for (const nothing of [{}, { name: 'One', projects: [shop.id] }, { url: made.url, description: '' }]) {
    assert.deepEqual(await update(nothing), made);
  }
  assert.equal((await events()).length, written);
  const change = { description: 'x', namespace: 'acme', password: 'another', projects: null };
  assert.equal((await update(change)).updatedAt, platform.now());
  const { changed, projectIdsBefore, projectIds } = JSON.parse((await events()).at(-1)?.detail ?? '');
  assert.deepEqual(changed, ['description', 'namespace', 'secret', 'projectIds']);
  assert.deepEqual([projectIdsBefore, projectIds], [[shop.id], null]);
});
