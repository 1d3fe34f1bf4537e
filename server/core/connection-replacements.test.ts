import assert from 'node:assert/strict';
import { test } from 'node:test';
import { afterCheck, openConnectionWorld, secretOfAlice } from '#test/connection-world.ts';
import { seedKey, seedTeam } from '#test/platform.ts';
import { sawNoSecret, startRegistry } from '#test/servers/registry.ts';
import { discardReplacement, type ReplacementInput, stageReplacement } from './connection-replacements.ts';
import { openSecret, replacementContext } from './connection-rows.ts';
import { testConnection } from './connection-tests.ts';
import { revealConnection, updateConnection } from './connections.ts';
import type { Failure } from './failure.ts';

const connection = 'scripted';

async function open(t: Parameters<typeof openConnectionWorld>[0]) {
  const world = await openConnectionWorld(t);
  const { platform, owner } = world;
  const { id } = await world.connect();
  return {
    ...world,
    id,
    stage: (input: Partial<ReplacementInput>) => stageReplacement(platform, owner, { connection, ...input }),
    test: () => testConnection(platform, owner, { connection }),
    stored: async () => {
      const { username, secret } = await revealConnection(platform, owner, connection);
      return [username, secret?.kind === 'password' ? secret.password : secret];
    },
    causes: async () =>
      (await platform.db.selectFrom('connection_tests').select(['cause', 'passed']).orderBy('id').execute()).map(
        ({ cause, passed }) => `${cause} ${passed === 1 ? 'passed' : 'failed'}`,
      ),
  };
}

test('a new secret that passes takes the place of the old one at once', async (t) => {
  const { registry, stage, stored, seen, id, causes, actionsOf, detailsOf } = await open(t);
  registry.users.set('alice', 'the new one');
  const { connection: changed, test, username } = await stage({ password: 'the new one' });
  assert.deepEqual([test.passed, test.cause, username], [true, 'replacement', 'alice']);
  assert.deepEqual([changed.hasReplacement, changed.status, changed.username], [false, 'passed', 'alice']);
  const tested = await detailsOf('connection.test');
  assert.deepEqual(tested, [{ cause: 'replacement', passed: true, failedStep: null, replaced: true }]);
  assert.deepEqual(await detailsOf('connection.stage'), [{ username: 'alice', replacementDiscarded: false }]);
  assert.deepEqual(await stored(), ['alice', 'the new one']);
  assert.deepEqual(changed, await seen(id));
  assert.deepEqual(await causes(), ['replacement passed']);
  assert.deepEqual((await actionsOf()).slice(1), [
    'connection.stage',
    'connection.replace',
    'connection.test',
    'connection.reveal',
  ]);
});

test('one that fails waits, and the old one goes on', async (t) => {
  const { stage, stored, test, seen, id, causes, registry } = await open(t);
  assert.equal((await test()).passed, true);
  const { connection: kept, test: failed } = await stage({ username: 'robot', password: 'too early' });
  assert.deepEqual([failed.passed, failed.failedStep], [false, 'token']);
  assert.deepEqual([kept.hasReplacement, kept.status, kept.username], [true, 'passed', 'alice']);
  assert.deepEqual(await stored(), ['alice', secretOfAlice]);
  assert.equal((await test()).cause, 'asked', 'a test of the connection is of what is stored');
  assert.deepEqual(await causes(), ['asked passed', 'replacement failed', 'replacement failed', 'asked passed']);
  registry.users.set('robot', 'too early');
  const taken = await test();
  assert.deepEqual([taken.cause, taken.passed], ['replacement', true]);
  assert.deepEqual(await stored(), ['robot', 'too early']);
  assert.equal((await seen(id)).hasReplacement, false);
  assert.equal((await test()).cause, 'asked');
});

test('one that waits is sealed, and nobody is shown it', async (t) => {
  const { platform, stage, rowOf, id } = await open(t);
  const answer = await stage({ password: 'planted one' });
  const row = await rowOf(id);
  const events = await platform.db.selectFrom('audit_events').selectAll().execute();
  for (const text of [JSON.stringify(answer), JSON.stringify(row), JSON.stringify(events)]) {
    assert.ok(!text.includes('planted'), text);
  }
  assert.throws(() => openSecret(platform, { ...row, sealed_secret: row.sealed_replacement }), 'bound to its place');
});

test('one that waits can be forgotten, once', async (t) => {
  const { platform, owner, stage, stored, seen, id, registry, test } = await open(t);
  await stage({ password: 'too early' });
  await discardReplacement(platform, owner, { connection });
  assert.equal((await seen(id)).hasReplacement, false);
  registry.users.set('alice', 'too early');
  assert.equal((await test()).passed, false);
  assert.deepEqual(await stored(), ['alice', secretOfAlice]);
  await assert.rejects(discardReplacement(platform, owner, { connection }), { reason: 'not_found' });
});

test('a new secret goes where the stored one goes, and nowhere else', async (t) => {
  const { registry, stage, seen, id } = await open(t);
  const stranger = await startRegistry(t);
  const entry = { username: 'alice', password: 'the new one' };
  const elsewhere = [
    { auths: { [stranger.host]: entry } },
    { auths: { [registry.host]: entry, [stranger.host]: entry } },
  ];
  for (const input of elsewhere) await assert.rejects(stage(input), { reason: 'invalid', message: /^auths must/ });
  assert.equal((await seen(id)).hasReplacement, false);
  registry.users.set('alice', 'the new one');
  const { test } = await stage({ auths: { [registry.host]: entry } });
  assert.equal(test.passed, true, test.message);
  assert.deepEqual(stranger.seen, []);
  assert.ok(sawNoSecret(stranger, 'the new one'));
});

test('what is no secret of the provider, or none at all, replaces nothing', async (t) => {
  const { stage, stored, connect, platform, owner } = await open(t);
  const bad: [Partial<ReplacementInput>, string][] = [
    [{}, '/password'],
    [{ password: '' }, '/password'],
    [{ username: '', password: 'x' }, '/username'],
    [{ username: 'a:b', password: 'x' }, '/username'],
    [{ password: 'a\nb' }, '/password'],
    [{ keyFile: {} }, '/username'],
    [{ password: 'x', auths: {} }, '/auths'],
  ];
  for (const [input, field] of bad) {
    await assert.rejects(
      stage(input),
      ({ reason, detail }: Failure) => reason === 'invalid' && Object.keys(detail.fields ?? {})[0] === field,
      JSON.stringify(input),
    );
  }
  assert.deepEqual(await stored(), ['alice', secretOfAlice]);
  const anonymous = await connect({ name: 'anonymous', username: undefined, password: undefined });
  const input = { connection: anonymous.id, username: 'alice', password: secretOfAlice };
  assert.equal((await stageReplacement(platform, owner, input)).connection.hasSecret, true);
});

test('an update meanwhile wins: what was staged before it takes no place', async (t) => {
  const { platform, owner, registry, stored, seen, id, stage, test } = await open(t);
  registry.users.set('alice', 'staged');
  const update = () => updateConnection(platform, owner, { connection, password: 'updated' });
  const racing = stageReplacement(afterCheck(platform, update), owner, { connection, password: 'staged' });
  await assert.rejects(racing, { reason: 'conflict' });
  assert.deepEqual(await stored(), ['alice', 'updated']);
  registry.users.set('alice', 'updated');
  await stage({ password: 'waits' });
  await update();
  assert.equal((await seen(id)).hasReplacement, false);
  registry.users.set('alice', 'waits');
  assert.equal((await test()).passed, false);
  assert.deepEqual(await stored(), ['alice', 'updated']);
});

test('of two that are staged at once the later one counts, and the earlier takes no place', async (t) => {
  const { platform, owner, registry, stage, stored, seen, id } = await open(t);
  registry.users.set('alice', 'first');
  let isFirst = true;
  const second = async () => {
    if (!isFirst) return;
    isFirst = false;
    await stage({ password: 'second' });
  };
  const first = stageReplacement(afterCheck(platform, second), owner, { connection, password: 'first' });
  await assert.rejects(first, { reason: 'conflict' });
  assert.deepEqual(await stored(), ['alice', secretOfAlice]);
  assert.equal((await seen(id)).hasReplacement, true, 'the second, which failed');
});

test('a rotation of the master key meanwhile keeps nothing from its place', async (t) => {
  const { platform, owner, registry, stored, rowOf, id } = await open(t);
  registry.users.set('alice', 'new');
  const rotate = async () => {
    const context = replacementContext(id);
    const { sealed_replacement: sealed } = await rowOf(id);
    const resealed = platform.secrets.seal(platform.secrets.open(sealed ?? '', context), context);
    await platform.db.updateTable('connections').set({ sealed_replacement: resealed }).where('id', '=', id).execute();
  };
  const { test } = await stageReplacement(afterCheck(platform, rotate), owner, { connection, password: 'new' });
  assert.equal(test.passed, true);
  assert.deepEqual(await stored(), ['alice', 'new']);
});

// Without this test a secret could take its place on the word of a registry that the connection led to before.
test('a test of another place decides nothing, even of the same secret staged again', async (t) => {
  const { platform, owner, registry, stage, stored, seen, id } = await open(t);
  const other = await startRegistry(t);
  registry.users.set('alice', 'same');
  let isFirst = true;
  const move = async () => {
    if (!isFirst) return;
    isFirst = false;
    await updateConnection(platform, owner, { connection, url: other.url, password: secretOfAlice });
    await stage({ password: 'same' });
  };
  const first = stageReplacement(afterCheck(platform, move), owner, { connection, password: 'same' });
  await assert.rejects(first, { reason: 'conflict' });
  assert.deepEqual(await stored(), ['alice', secretOfAlice]);
  assert.equal((await seen(id)).hasReplacement, true);
});

test('a test of the old secret says nothing of the one that has taken its place', async (t) => {
  const { platform, owner, registry, stage, seen, id } = await open(t);
  registry.users.set('alice', 'new');
  const replace = () => stage({ password: 'new' });
  await assert.rejects(testConnection(afterCheck(platform, replace), owner, { connection }), { reason: 'conflict' });
  assert.equal((await seen(id)).status, 'passed');
});

test('one that waits does not go along to another place', async (t) => {
  const { platform, owner, stage, seen, id } = await open(t);
  const other = await startRegistry(t);
  await stage({ password: 'planted one' });
  await updateConnection(platform, owner, { connection, url: other.url, password: 'another' });
  assert.equal((await seen(id)).hasReplacement, false);
  await testConnection(platform, owner, { connection });
  assert.ok(!JSON.stringify(other.seen).includes(Buffer.from('alice:planted one').toString('base64')));
  await stage({ password: 'planted one' });
  await updateConnection(platform, owner, { connection, description: 'x' });
  assert.equal((await seen(id)).hasReplacement, true, 'what is only said of it ends nothing');
});

test('replacing is for who may change the connection', async (t) => {
  const { platform, team, connect, stored } = await open(t);
  const { actor: reader } = await seedKey(platform, team.teamId, { permissions: ['connections:test'] });
  const { actor: bound } = await seedKey(platform, team.teamId, { projectIds: [team.projectId] });
  const stranger = await seedTeam(platform, 'other');
  const cases = [
    [reader, 'denied'],
    [bound, 'denied'],
    [stranger.owner, 'not_found'],
  ] as const;
  for (const [actor, reason] of cases) {
    await assert.rejects(stageReplacement(platform, actor, { connection, password: 'x' }), { reason });
    await assert.rejects(discardReplacement(platform, actor, { connection }), { reason });
  }
  assert.deepEqual(await stored(), ['alice', secretOfAlice]);
  const own = await connect({ name: 'own', projects: ['default'] });
  const input = { connection: own.id, password: secretOfAlice };
  assert.equal((await stageReplacement(platform, bound, input)).test.passed, true);
});

test('a change that ends what waits says so in the audit log', async (t) => {
  const { platform, owner, stage, detailsOf } = await open(t);
  assert.equal((await stage({ password: 'wrong' })).connection.hasReplacement, true);
  const change = { connection, namespace: 'elsewhere' };
  assert.equal((await updateConnection(platform, owner, change)).hasReplacement, false);
  await updateConnection(platform, owner, { connection, description: 'x' });
  const discarded = (await detailsOf('connection.update')).map((detail) => detail.replacementDiscarded ?? false);
  assert.deepEqual(discarded, [true, false]);
});
