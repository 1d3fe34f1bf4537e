import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Scope } from '#test/database.ts';
import { openTestPlatform, type SeededTeam, seedKey, seedTeam, type TestPlatform } from '#test/platform.ts';
import { findActorBySecret } from './actors.ts';
import { revokeApiKey } from './api-keys.ts';
import { testConnection } from './connection-tests.ts';
import { createConnection, deleteConnection, type NewConnection, updateConnection } from './connections.ts';
import { holdsRight } from './permissions.ts';
import { deleteProject } from './project-deletion.ts';
import { createProject } from './projects.ts';
import { getPullSecret, type PullSecret } from './pull-secrets.ts';
import { createRegistry } from './registries.ts';
import { type Upstream, type UpstreamLogin, upstreamSteps } from './upstream.ts';

const dayMs = 24 * 60 * 60_000;
const host = 'localhost:8080';

async function open(t: Scope, overrides: Parameters<typeof openTestPlatform>[1] = {}) {
  const platform = await openTestPlatform(t, overrides);
  const team = await seedTeam(platform, 'acme');
  const { project: shop } = await createProject(platform, team.owner, { name: 'shop' });
  const connect = (input: Partial<NewConnection> & { name: string }) => connectAs(platform, team, input);
  const read = (project = 'shop', actor = team.owner) => getPullSecret(platform, actor, { project });
  return { platform, team, owner: team.owner, shop, connect, read };
}

function connectAs(platform: TestPlatform, { owner }: SeededTeam, input: Partial<NewConnection> & { name: string }) {
  const { name } = input;
  const given = { provider: 'oci', url: `${name}.example.com`, username: `${name}-user`, password: `${name}-password` };
  return createConnection(platform, owner, { ...given, ...input });
}

const keysOf = ({ entries }: PullSecret) => entries.map(({ key }) => key);
const login = ({ config }: PullSecret, key: string) => {
  const entry = config.auths[key];
  assert.ok(entry, `${key} is not among ${Object.keys(config.auths)}`);
  assert.equal(Buffer.from(entry.auth, 'base64').toString(), `${entry.username}:${entry.password}`);
  return [entry.username, entry.password];
};
const hostedSecret = (secret: PullSecret) => login(secret, host)[1] ?? '';

test('a project gets what the whole team may use and what is for it, and nothing else', async (t) => {
  const { platform, team, connect, read } = await open(t);
  await connect({ name: 'everyone' });
  await connect({ name: 'mine', projects: ['shop'] });
  await connect({ name: 'shared', projects: ['shop', 'default'] });
  await connect({ name: 'foreign', projects: ['default'] });
  await connect({ name: 'anonymous', username: '', password: '' });
  const rival = await seedTeam(platform, 'rival');
  await connectAs(platform, rival, { name: 'rivals' });
  const [mine, theirs] = [await read('shop'), await read(team.projectId)];
  assert.deepEqual(keysOf(mine), [host, 'everyone.example.com', 'mine.example.com', 'shared.example.com']);
  assert.deepEqual(keysOf(theirs), [host, 'everyone.example.com', 'shared.example.com', 'foreign.example.com']);
  assert.deepEqual(Object.keys(mine.config.auths), keysOf(mine));
  assert.deepEqual(login(mine, 'mine.example.com'), ['mine-user', 'mine-password']);
  assert.deepEqual(mine.warnings, []);
});

test('a connection whose only project ended is in no pull secret', async (t) => {
  const { platform, owner, connect, read } = await open(t);
  await connect({ name: 'gone', projects: ['shop'] });
  await deleteProject(platform, owner, { project: 'shop' });
  assert.deepEqual(keysOf(await read('default')), [host]);
});

// What may be asked for, by whom: every combination of a key's projects and the project that is named.
test('a key bound to projects gets theirs, and any other is not found in the words for what never was', async (t) => {
  const { platform, team, shop, connect, read } = await open(t);
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
        assert.deepEqual(keysOf(outcome), [host, 'everyone.example.com', `${own}.example.com`]);
      } else {
        assert.equal(outcome.reason, 'not_found', `${name} for ${projectIds}`);
        refusals.add(outcome.message.replace(ref, '…'));
      }
    }
  }
  assert.equal(refusals.size, 1, [...refusals].join('\n'));
});

test('without a project, a key bound to exactly one means that one', async (t) => {
  const { platform, team, shop, owner } = await open(t);
  const { actor } = await seedKey(platform, team.teamId, { projectIds: [shop.id] });
  assert.equal((await getPullSecret(platform, actor, {})).project.id, shop.id);
  const two = await seedKey(platform, team.teamId, { projectIds: [shop.id, team.projectId] });
  for (const one of [two.actor, owner]) {
    await assert.rejects(getPullSecret(platform, one, {}), { reason: 'invalid', message: /which project/ });
  }
});

test('it takes its own permission, of an API key that is not revoked', async (t) => {
  const { platform, owner, team, read } = await open(t);
  const { actor } = await seedKey(platform, team.teamId, { permissions: ['connections:reveal', 'projects:read'] });
  await assert.rejects(read('shop', actor), { reason: 'denied', message: /pull-secrets:read/ });
  const token = await findActorBySecret(platform, hostedSecret(await read()));
  assert.ok(token);
  await assert.rejects(read('shop', token), { reason: 'unauthenticated' });
  const late = await seedKey(platform, team.teamId);
  await revokeApiKey(platform, owner, { key: late.actor.id });
  await assert.rejects(read('shop', late.actor), { reason: 'unauthenticated' });
});

test('the hosted part pulls from the registries of the project and of the team, and does nothing else', async (t) => {
  const { platform, team, owner, shop, read } = await open(t);
  const wide = await createRegistry(platform, owner, { name: 'wide' });
  const own = await createRegistry(platform, owner, { name: 'own', project: 'shop' });
  const foreign = await createRegistry(platform, owner, { name: 'foreign', project: 'default' });
  const rival = await seedTeam(platform, 'rival');
  const token = await findActorBySecret(platform, hostedSecret(await read()));
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
  assert.deepEqual(keysOf(secret), [host, 'two.example.com']);
  assert.deepEqual(login(secret, host), login(secret, 'two.example.com'));
});

test('two who ask at once get the same token, and so does who asks later', async (t) => {
  const { platform, read } = await open(t);
  const secrets = await Promise.all([read(), read(), read(), read()]);
  platform.clock.advance(80 * dayMs);
  const all = new Set([...secrets, await read()].map(hostedSecret));
  assert.equal(all.size, 1);
  const tokens = await platform.db.selectFrom('actors').select('id').where('kind', '=', 'pull').execute();
  assert.equal(tokens.length, 1);
  assert.notEqual(hostedSecret(await read('default')), [...all][0], 'two projects share a token');
});

test('what is handed out is good for a week, and copies of the token before last to their own end', async (t) => {
  const { platform, read } = await open(t);
  const first = await read();
  assert.equal(first.expiresAt, platform.now() + 90 * dayMs);
  platform.clock.advance(83 * dayMs);
  assert.equal(hostedSecret(await read()), hostedSecret(first), 'a week is left');
  platform.clock.advance(1);
  const second = await read();
  assert.notEqual(hostedSecret(second), hostedSecret(first));
  assert.equal(second.expiresAt, platform.now() + 90 * dayMs);
  platform.clock.advance(7 * dayMs - 2);
  assert.ok(await findActorBySecret(platform, hostedSecret(first)), 'the old one ended early');
  platform.clock.advance(1000);
  assert.equal(await findActorBySecret(platform, hostedSecret(first)), undefined);
  assert.ok(await findActorBySecret(platform, hostedSecret(second)));
  // The next renewal takes away what has ended.
  platform.clock.advance(77 * dayMs);
  const third = await read();
  const tokens = await platform.db.selectFrom('actors').select('id').where('kind', '=', 'pull').execute();
  assert.equal(tokens.length, 2);
  for (const secret of [second, third]) assert.ok(await findActorBySecret(platform, hostedSecret(secret)));
});

test('no hand-out at any time gives less than a week', async (t) => {
  const { platform, read } = await open(t);
  for (let day = 0; day < 200; day++) {
    const { expiresAt } = await read();
    assert.ok(expiresAt - platform.now() >= 7 * dayMs, `day ${day}`);
    platform.clock.advance(dayMs + 12_345);
  }
});

test('a token that was ended is replaced', async (t) => {
  const { platform, read } = await open(t);
  const first = hostedSecret(await read());
  await platform.db.updateTable('actors').set({ revoked_at: 1 }).where('kind', '=', 'pull').execute();
  const second = hostedSecret(await read());
  assert.notEqual(second, first);
  assert.ok(await findActorBySecret(platform, second));
});

test('with its project the token dies at once, the one before it too', async (t) => {
  const { platform, owner, read } = await open(t);
  const first = hostedSecret(await read());
  platform.clock.advance(84 * dayMs);
  const second = hostedSecret(await read());
  for (const secret of [first, second]) assert.ok(await findActorBySecret(platform, secret));
  await deleteProject(platform, owner, { project: 'shop' });
  for (const secret of [first, second]) assert.equal(await findActorBySecret(platform, secret), undefined);
  assert.deepEqual(await platform.db.selectFrom('project_pull_tokens').selectAll().execute(), []);
});

test('a hand-out while its project or a connection is deleted comes before or after, and leaves nothing', async (t) => {
  const { platform, owner, connect, read } = await open(t);
  const connection = await connect({ name: 'late' });
  const [first, gone, second, project] = await Promise.allSettled([
    read(),
    deleteConnection(platform, owner, { connection: connection.id }),
    read(),
    deleteProject(platform, owner, { project: 'shop' }),
  ]);
  assert.equal(gone.status, 'fulfilled', String((gone as { reason?: unknown }).reason));
  assert.equal(project.status, 'fulfilled', String((project as { reason?: unknown }).reason));
  for (const one of [first, second]) {
    if (one.status === 'rejected') assert.equal(one.reason.reason, 'not_found');
    else assert.equal(await findActorBySecret(platform, hostedSecret(one.value)), undefined);
  }
  assert.deepEqual(await platform.db.selectFrom('connection_uses').selectAll().execute(), []);
  assert.deepEqual(await platform.db.selectFrom('project_pull_tokens').selectAll().execute(), []);
});

test('each hand-out is in the audit log and counted for its connections, without any secret', async (t) => {
  const { platform, team, owner, shop, connect, read } = await open(t);
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
  for (const hidden of ['one-password', 'late-password', hostedSecret(secret), 'ldg_']) {
    assert.ok(!text.includes(hidden), hidden);
  }
});

test('Docker Hub has the key that docker looks up, whatever its host is called', async (t) => {
  for (const url of ['docker.io', 'https://index.docker.io/v1/', 'registry-1.docker.io', 'hub.docker.com']) {
    const { connect, read } = await open(t);
    await connect({ name: 'hub', provider: url === 'docker.io' ? 'dockerhub' : 'oci', url, namespace: 'acme' });
    const secret = await read();
    assert.deepEqual(keysOf(secret), [host, 'https://index.docker.io/v1/'], url);
    assert.deepEqual(login(secret, 'https://index.docker.io/v1/'), ['hub-user', 'hub-password']);
  }
});

test('a key file is the password of _json_key, and Docker auths are an entry for each host', async (t) => {
  const { connect, read } = await open(t);
  const keyFile = JSON.stringify({ type: 'service_account', private_key: '-----BEGIN\nx: y\n' });
  await connect({ name: 'google', provider: 'gcr', url: 'eu.gcr.io', username: '_json_key', password: keyFile });
  const auths = {
    'a.example.com': { auth: Buffer.from('ann:p:w').toString('base64') },
    'b.example.com:5000': { username: 'bob', password: 'pw' },
  };
  await connect({ name: 'several', url: 'a.example.com', username: undefined, password: undefined, auths });
  const secret = await read();
  assert.deepEqual(login(secret, 'eu.gcr.io'), ['_json_key', keyFile]);
  assert.deepEqual(login(secret, 'a.example.com'), ['ann', 'p:w']);
  assert.deepEqual(login(secret, 'b.example.com:5000'), ['bob', 'pw']);
});

test('where several share a host the oldest has it, and each its namespace', async (t) => {
  const { connect, read } = await open(t);
  await connect({ name: 'first', url: 'ghcr.io', provider: 'ghcr', namespace: 'Acme' });
  await connect({ name: 'second', url: 'https://ghcr.io/', provider: 'ghcr', namespace: '/other/team/' });
  await connect({ name: 'third', url: 'ghcr.io', provider: 'oci' });
  await connect({ name: 'fourth', url: 'ghcr.io', provider: 'oci', namespace: 'acme' });
  const secret = await read();
  assert.deepEqual(keysOf(secret), [host, 'ghcr.io', 'ghcr.io/acme', 'ghcr.io/other/team']);
  assert.deepEqual(login(secret, 'ghcr.io'), ['first-user', 'first-password']);
  assert.deepEqual(login(secret, 'ghcr.io/acme'), ['first-user', 'first-password']);
  assert.deepEqual(login(secret, 'ghcr.io/other/team'), ['second-user', 'second-password']);
  assert.equal(secret.warnings.length, 3);
  assert.match(secret.warnings[0] ?? '', /first and second.*first, has.*second has ghcr\.io\/other\/team/);
  assert.match(secret.warnings[1] ?? '', /first and third.*third is left out/);
  assert.match(secret.warnings[2] ?? '', /first and fourth.*fourth is left out/);
});

test('a connection to a host of ours never takes the entry of our registries', async (t) => {
  const { connect, read } = await open(t);
  await connect({ name: 'odd', url: host });
  await connect({ name: 'path', url: host, namespace: 'their/app' });
  const secret = await read();
  assert.deepEqual(keysOf(secret), [host, `${host}/their/app`]);
  assert.equal(login(secret, host)[0], 'token');
  assert.deepEqual(login(secret, `${host}/their/app`), ['path-user', 'path-password']);
  assert.match(secret.warnings[0] ?? '', /localhost:8080 is a host of this platform.*odd is left out/);
  assert.match(secret.warnings[1] ?? '', /path has localhost:8080\/their\/app/);
});

const ecrHost = '123456789012.dkr.ecr.eu-west-1.amazonaws.com';
const ecr = { provider: 'ecr', url: ecrHost, username: 'AKIAABCDEFGHIJKLMNOP', password: 'a'.repeat(40) };

/** ECR's part alone, as `Upstream` promises it: there is no way to AWS from a test. */
function upstreamWith(logIn: Upstream['logIn']): { upstream: Upstream } {
  return { upstream: { logIn, check: () => assert.fail('nothing is tested here') } };
}

/** A registry that lets everybody in and says when their credentials end. */
function upstreamThatTells(credentialsExpireAt: number): { upstream: Upstream } {
  const steps = upstreamSteps.map((step) => ({ step, result: 'passed' as const, message: 'It is well.' }));
  const check = async () => ({ steps, latencyMs: 1, rateLimit: null, credentialsExpireAt });
  return { upstream: { check, logIn: () => assert.fail('nobody needs a token here') } };
}

test('ECR gives a token for the access key, and the secret ends with it', async (t) => {
  const asked: unknown[] = [];
  const end = Date.UTC(2026, 0, 1) + 12 * 60 * 60_000;
  const { connect, read } = await open(
    t,
    upstreamWith(async (target) => {
      asked.push({ ...target });
      return { username: 'AWS', password: 'twelve-hours', expiresAt: end };
    }),
  );
  await connect({ name: 'aws', ...ecr, namespace: 'team', awsRegion: 'eu-west-1' });
  await connect({ name: 'other' });
  const secret = await read();
  assert.deepEqual(login(secret, ecrHost), ['AWS', 'twelve-hours']);
  assert.equal(secret.expiresAt, end);
  const credentials = { username: ecr.username, password: ecr.password };
  const target = { provider: 'ecr', scheme: 'https', host: ecrHost, namespace: 'team', credentials };
  assert.deepEqual(asked, [{ ...target, tokenHost: null, awsRegion: 'eu-west-1' }]);
  assert.ok(!JSON.stringify(secret).includes(ecr.password), 'the access key itself is handed out');
});

test('where a provider gives no token, that connection is a warning and the others are handed out', async (t) => {
  const fault = { step: 'token', message: 'AWS does not know the access key id.' } as const;
  const { platform, connect, read } = await open(
    t,
    upstreamWith(async () => fault),
  );
  await connect({ name: 'aws', ...ecr });
  const other = await connect({ name: 'other' });
  const secret = await read();
  assert.deepEqual(keysOf(secret), [host, 'other.example.com']);
  assert.deepEqual(secret.warnings, ['Connection aws is left out: AWS does not know the access key id.']);
  const uses = await platform.db.selectFrom('connection_uses').select('connection_id').execute();
  assert.deepEqual(
    uses.map(({ connection_id }) => connection_id),
    [other.id],
  );
});

test('it ends with stored credentials whose registry has told their end; those that ended are a warning', async (t) => {
  const start = Date.UTC(2026, 0, 1);
  const { platform, owner, connect, read } = await open(t, upstreamThatTells(start + 10 * dayMs));
  await connect({ name: 'ending' });
  assert.equal((await read()).expiresAt, start + 90 * dayMs, 'nobody has asked the registry yet');
  await testConnection(platform, owner, { connection: 'ending' });
  const secret = await read();
  assert.equal(secret.expiresAt, start + 10 * dayMs);
  assert.deepEqual(secret.warnings, []);
  platform.clock.advance(10 * dayMs);
  const late = await read();
  assert.equal(late.expiresAt, start + 90 * dayMs);
  assert.match(late.warnings.join(), /ending has stored ended at 2026-01-11T00:00:00\.000Z/);
  await updateConnection(platform, owner, { connection: 'ending', password: 'a new one' });
  assert.deepEqual((await read()).warnings, [], 'what was told of the old secret is said of the new one');
});

test('a token of a secret that was replaced while it was fetched is not handed out', async (t) => {
  let answer: (login: UpstreamLogin) => void = () => {};
  let reached: () => void = () => {};
  const isAsked = new Promise<void>((resolve) => {
    reached = resolve;
  });
  const { platform, owner, connect, read } = await open(
    t,
    upstreamWith(() => {
      reached();
      return new Promise((resolve) => {
        answer = resolve;
      });
    }),
  );
  await connect({ name: 'aws', ...ecr });
  const secret = read();
  await isAsked;
  // Nothing is locked while AWS is asked, or this would wait for it.
  await updateConnection(platform, owner, { connection: 'aws', password: 'b'.repeat(40) });
  answer({ username: 'AWS', password: 'old', expiresAt: null });
  assert.deepEqual(keysOf(await secret), [host]);
  assert.match((await secret).warnings[0] ?? '', /aws is left out: it was changed.*again/);
});

test('a stored secret that does not open is a warning and keeps nothing from the others', async (t) => {
  const { platform, connect, read } = await open(t);
  await connect({ name: 'damaged' });
  const other = await connect({ name: 'other' });
  const moved = await platform.db.selectFrom('connections').selectAll().where('id', '=', other.id).executeTakeFirst();
  await platform.db
    .updateTable('connections')
    .set({ sealed_secret: moved?.sealed_secret ?? '' })
    .where('slug', '=', 'damaged')
    .execute();
  const secret = await read();
  assert.deepEqual(keysOf(secret), [host, 'other.example.com']);
  assert.match(secret.warnings[0] ?? '', /damaged is left out: its stored secret cannot be opened/);
});

test('what is handed out for more connections than a statement takes is all there', async (t) => {
  const { connect, read } = await open(t);
  for (let i = 0; i < 501; i++) await connect({ name: `c${i}` });
  const secret = await read();
  assert.equal(Object.keys(secret.config.auths).length, 502);
});
