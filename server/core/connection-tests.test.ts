import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sql } from 'kysely';
import { afterCheck, openConnectionWorld, secretOfAlice } from '#test/connection-world.ts';
import { seedKey, seedTeam } from '#test/platform.ts';
import { startRegistry } from '#test/servers/registry.ts';
import { stageReplacement } from './connection-replacements.ts';
import { listConnectionTests, testConnection } from './connection-tests.ts';
import { deleteConnection, updateConnection } from './connections.ts';
import type { Log } from './platform.ts';
import { createProject } from './projects.ts';

test('a test tells how far it came, and is kept', async (t) => {
  const { platform, owner, connect, seen, actionsOf } = await openConnectionWorld(t);
  const { id } = await connect({ namespace: 'team' });
  const passed = await testConnection(platform, owner, { connection: 'scripted' });
  assert.deepEqual([passed.passed, passed.failedStep, passed.cause], [true, null, 'asked']);
  assert.match(passed.message, /^127\.0\.0\.1:\d+ accepts the user name and the password\. team\/app may be read\.$/);
  assert.deepEqual(
    passed.steps.map(({ step }) => step),
    ['reach', 'tls', 'registry', 'challenge', 'token', 'namespace'],
  );
  assert.equal((await seen(id)).status, 'passed');
  assert.equal((await seen(id)).testedAt, platform.now());
  await updateConnection(platform, owner, { connection: id, password: 'wrong' });
  assert.deepEqual([(await seen(id)).status, (await seen(id)).testedAt], ['untested', null]);
  platform.clock.advance(1000);
  const failed = await testConnection(platform, owner, { connection: id });
  assert.deepEqual([failed.passed, failed.failedStep], [false, 'token']);
  assert.equal((await seen(id)).status, 'failed');
  const { items } = await listConnectionTests(platform, owner, { connection: id, limit: 9 });
  assert.deepEqual(items, [failed, passed], 'newest first');
  assert.deepEqual(await actionsOf(), ['connection.create', 'connection.test', 'connection.update', 'connection.test']);
});

test('no secret is in what a test answers, keeps or logs', async (t) => {
  const lines: unknown[] = [];
  const note = (...args: unknown[]) => void lines.push(args);
  const log: Log = { debug: note, info: note, warn: note, error: note };
  const { platform, owner, connect, registry } = await openConnectionWorld(t);
  const logging = { ...platform, log };
  await connect({ password: 'planted-secret' });
  // A registry that sends back what it was sent, as some do in their errors.
  registry.before = ({ headers }) => ({ status: 401, body: `no: ${headers.authorization} planted-secret` });
  const answers = [await testConnection(logging, owner, { connection: 'scripted' })];
  registry.before = undefined;
  answers.push(await testConnection(logging, owner, { connection: 'scripted' }));
  const rows = [
    await platform.db.selectFrom('connection_tests').selectAll().execute(),
    await platform.db.selectFrom('audit_events').selectAll().execute(),
  ];
  const encoded = Buffer.from('alice:planted-secret').toString('base64');
  for (const text of [JSON.stringify(answers), JSON.stringify(rows), JSON.stringify(lines)]) {
    assert.ok(!text.includes('planted') && !text.includes(encoded), text);
  }
});

test('each host of Docker auths is tried, and the first step that fails names its host', async (t) => {
  const second = await startRegistry(t);
  const { platform, owner, registry, connect, rowOf } = await openConnectionWorld(t);
  const entry = { username: 'alice', password: secretOfAlice };
  const auths = { [registry.host]: entry };
  const { id } = await connect({ url: registry.url, username: undefined, password: undefined, auths });
  const secure = await testConnection(platform, owner, { connection: id });
  assert.equal(secure.passed, true, secure.message);
  // The second speaks no TLS, and http:// is for the connection's own URL alone.
  const both = { ...auths, [second.host]: entry };
  await updateConnection(platform, owner, { connection: id, url: registry.url, auths: both });
  const joined = await testConnection(platform, owner, { connection: id });
  assert.deepEqual([joined.passed, joined.failedStep], [false, 'tls']);
  assert.ok(joined.message.includes(second.host), joined.message);
  assert.ok(!joined.message.includes(registry.host), joined.message);
  const registryStep = joined.steps.find(({ step }) => step === 'registry');
  assert.equal(registryStep?.result, 'passed');
  assert.match(registryStep?.message ?? '', new RegExp(registry.host));
  assert.equal((await rowOf(id)).status, 'failed');
});

/** How often somebody has looked whether there is a test to wait for. */
function countLookUps(map: Map<string, unknown>): () => number {
  let times = 0;
  const get = map.get.bind(map);
  map.get = (key) => {
    times++;
    return get(key);
  };
  return () => times;
}

test('what a registry does not tell is not said', async (t) => {
  const { platform, owner, registry, connect } = await openConnectionWorld(t);
  registry.auth = 'open';
  await connect();
  const { passed, message } = await testConnection(platform, owner, { connection: 'scripted' });
  assert.equal(passed, true);
  assert.match(message, /it cannot be told whether the user name and the password are right/);
});

test('of many who ask at once, one asks the registry, and each is answered and noted', async (t) => {
  const { platform, owner, registry, connect, actionsOf } = await openConnectionWorld(t);
  await connect();
  let asked = 0;
  const { promise: gate, resolve: openGate } = Promise.withResolvers<void>();
  const counting = afterCheck(platform, () => {
    asked++;
    return gate;
  });
  const lookedUp = countLookUps(platform.local.runningTests);
  const tests = Promise.all(
    Array.from({ length: 20 }, () => testConnection(counting, owner, { connection: 'scripted' })),
  );
  while (lookedUp() < 20 || asked === 0) await new Promise((resolve) => setImmediate(resolve));
  openGate();
  const answers = await tests;
  assert.equal(asked, 1);
  assert.equal(new Set(answers.map(({ id }) => id)).size, 1);
  assert.equal((await actionsOf()).filter((action) => action === 'connection.test').length, 20);
  const { length } = await platform.db.selectFrom('connection_tests').select('id').execute();
  assert.equal(length, 1);
  assert.ok(registry.seen.length > 0);
  await testConnection(counting, owner, { connection: 'scripted' });
  assert.equal(asked, 2, 'who asks later is not answered with what was');
});

test('what was tested before a change says nothing of the connection after it', async (t) => {
  const { platform, owner, connect, seen } = await openConnectionWorld(t);
  const { id } = await connect();
  const changing = afterCheck(platform, () => updateConnection(platform, owner, { connection: id, password: 'wrong' }));
  await assert.rejects(testConnection(changing, owner, { connection: id }), { reason: 'conflict' });
  assert.equal((await seen(id)).status, 'untested');
  assert.deepEqual((await listConnectionTests(platform, owner, { connection: id, limit: 9 })).items, []);
});

test('a connection that is deleted while it is tested leaves nothing', async (t) => {
  const { platform, owner, connect } = await openConnectionWorld(t);
  const { id } = await connect();
  const deleting = afterCheck(platform, () => deleteConnection(platform, owner, { connection: id }));
  await assert.rejects(testConnection(deleting, owner, { connection: id }), { reason: 'not_found' });
  assert.deepEqual(await platform.db.selectFrom('connection_tests').selectAll().execute(), []);
});

test('a hundred tests are kept of each connection, the newest', async (t) => {
  const { platform, owner, connect } = await openConnectionWorld(t);
  const { id } = await connect();
  const other = await connect({ name: 'other' });
  await testConnection(platform, owner, { connection: other.id });
  const ids: string[] = [];
  for (let i = 0; i < 103; i++) {
    ids.push((await testConnection(platform, owner, { connection: id })).id);
    // Those of others count for nothing.
    if (i === 101) await testConnection(platform, owner, { connection: other.id });
  }
  const kept: string[] = [];
  let after: Awaited<ReturnType<typeof listConnectionTests>>['nextCursor'] = null;
  do {
    const input = { connection: id, limit: 40, after };
    const page: Awaited<ReturnType<typeof listConnectionTests>> = await listConnectionTests(platform, owner, input);
    kept.push(...page.items.map((one) => one.id));
    after = page.nextCursor;
  } while (after);
  assert.deepEqual(kept, ids.slice(3).reverse());
  assert.equal((await listConnectionTests(platform, owner, { connection: other.id, limit: 9 })).items.length, 2);
});

test('testing needs its permission, and is for whoever sees the connection', async (t) => {
  const { platform, team, owner, connect } = await openConnectionWorld(t);
  const { project } = await createProject(platform, owner, { name: 'Shop' });
  await connect();
  const hidden = await connect({ name: 'hidden', projects: ['default'] });
  const bound = await seedKey(platform, team.teamId, { permissions: ['connections:test'], projectIds: [project.id] });
  assert.equal((await testConnection(platform, bound.actor, { connection: 'scripted' })).passed, true);
  const input = { connection: hidden.id };
  await assert.rejects(testConnection(platform, bound.actor, input), { reason: 'not_found' });
  await assert.rejects(listConnectionTests(platform, bound.actor, { ...input, limit: 1 }), { reason: 'denied' });
  const reader = await seedKey(platform, team.teamId, { permissions: ['connections:read'] });
  await assert.rejects(testConnection(platform, reader.actor, input), { reason: 'denied' });
  const stranger = await seedTeam(platform, 'other');
  await assert.rejects(testConnection(platform, stranger.owner, input), { reason: 'not_found' });
  await assert.rejects(listConnectionTests(platform, stranger.owner, { ...input, limit: 1 }), { reason: 'not_found' });
});

test('the log says when a connection begins to fail and when it works again', async (t) => {
  const lines: string[] = [];
  const note = (_fields: object, message: string) => void lines.push(message);
  const { platform, owner, registry, connect } = await openConnectionWorld(t);
  const logging = { ...platform, log: { debug: note, info: note, warn: note, error: note } };
  await connect();
  const run = () => testConnection(logging, owner, { connection: 'scripted' });
  await run();
  registry.users.clear();
  for (let i = 0; i < 2; i++) await run();
  registry.users.set('alice', secretOfAlice);
  for (let i = 0; i < 2; i++) await run();
  assert.deepEqual(lines, ['a connection fails its test', 'a connection passes its test again']);
});

test('a test that cannot be written down for auditors is not stored either', async (t) => {
  const { platform, owner, connect, seen } = await openConnectionWorld(t);
  const { id } = await connect();
  await sql`alter table audit_events rename to gone`.execute(platform.db);
  await assert.rejects(testConnection(platform, owner, { connection: id }));
  await sql`alter table gone rename to audit_events`.execute(platform.db);
  assert.equal((await seen(id)).status, 'untested');
  assert.deepEqual(await platform.db.selectFrom('connection_tests').selectAll().execute(), []);
});

test('a new secret that waits and cannot be opened keeps nobody from testing the stored one', async (t) => {
  const { platform, owner, connect, seen, rowOf } = await openConnectionWorld(t);
  const { id } = await connect();
  await stageReplacement(platform, owner, { connection: id, password: 'waits' });
  // As where its master key is lost: what is sealed for another place does not open here.
  const { sealed_secret } = await rowOf(id);
  await platform.db
    .updateTable('connections')
    .set({ sealed_replacement: sealed_secret })
    .where('id', '=', id)
    .execute();
  const { passed, cause } = await testConnection(platform, owner, { connection: id });
  assert.deepEqual([passed, cause, (await seen(id)).status], [true, 'asked', 'passed']);
  assert.equal((await seen(id)).hasReplacement, true, 'only an operator knows whether its key is lost');
});
