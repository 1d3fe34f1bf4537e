import assert from 'node:assert/strict';
import { test } from 'node:test';
import { providerIds } from '#contract/providers.ts';
import { providers } from '#core/providers.ts';
import { afterCheck, secretOfAlice } from '#test/connection-world.ts';
import { type Json, openNative } from '#test/native-client.ts';
import { loopback, openTestPlatform, seedKey } from '#test/platform.ts';
import { startRegistry } from '#test/servers/registry.ts';

async function open(t: Parameters<typeof openNative>[0]) {
  const registry = await startRegistry(t);
  const { outbound, upstream, config } = await openTestPlatform(t, {}, { allowed: loopback });
  const native = await openNative(t, { outbound, upstream });
  native.platform.config.allowsPlainHttp = config.allowsPlainHttp;
  const body = { name: 'Scripted', provider: 'oci', url: registry.url, username: 'alice', password: secretOfAlice };
  return {
    ...native,
    registry,
    body,
    make: (more: object = {}) => native.call('POST /connections', { body: { ...body, ...more } }),
  };
}

test('a connection is made, shown without its secret, changed, listed and forgotten', async (t) => {
  const { call, make, registry, team } = await open(t);
  const made = await make({ namespace: 'team', description: 'of the build farm' });
  assert.equal(made.status, 201, made.text);
  const { id, createdAt: _, updatedAt: __, ...shown } = made.json;
  assert.deepEqual(shown, {
    name: 'Scripted',
    slug: 'scripted',
    description: 'of the build farm',
    provider: 'oci',
    url: registry.url,
    host: registry.host,
    namespace: 'team',
    username: 'alice',
    hasSecret: true,
    hasReplacement: false,
    awsRegion: null,
    tokenHost: null,
    projectIds: null,
    status: 'untested',
    testedAt: null,
    lastTest: null,
    credentialsExpireAt: null,
  });
  for (const ref of [id, 'scripted']) assert.deepEqual((await call(`GET /connections/${ref}`)).json, made.json);
  const patched = await call('PATCH /connections/scripted', { body: { description: '', projectIds: ['default'] } });
  assert.deepEqual([patched.json.description, patched.json.projectIds], ['', [team.projectId]], patched.text);
  const back = await call('PATCH /connections/scripted', { body: { projectIds: patched.json.projectIds } });
  assert.deepEqual(back.json.projectIds, [team.projectId], 'what is answered can be sent');
  assert.deepEqual((await call('PATCH /connections/scripted', { body: { projectIds: [] } })).json.projectIds, []);
  assert.equal((await call('PATCH /connections/scripted', { body: { projectIds: null } })).json.projectIds, null);
  await make({ name: 'Another', provider: 'quay', url: 'quay.io' });
  const names = async (query: string) =>
    (await call(`GET /connections${query}`)).json.items.map((one: Json) => one.name);
  assert.deepEqual(await names(''), ['Scripted', 'Another']);
  assert.deepEqual(await names('?sort=name'), ['Another', 'Scripted']);
  assert.deepEqual(await names('?sort=-createdAt'), ['Another', 'Scripted']);
  assert.deepEqual(await names('?search=CRIP'), ['Scripted']);
  assert.deepEqual(await names('?provider=quay'), ['Another']);
  assert.deepEqual(await names('?status=failed'), []);
  assert.deepEqual(await names(`?project=${team.projectId}`), ['Scripted', 'Another']);
  assert.equal((await call('GET /connections?project=nowhere')).status, 400);
  assert.equal((await make()).status, 409);
  assert.equal((await call(`DELETE /connections/${id}`)).status, 204);
  assert.equal((await call(`DELETE /connections/${id}`)).status, 404);
});

// Without this test an update could send a stored password to another server.
test('a stored secret never reaches a host that it was not given for', async (t) => {
  const { call, make } = await open(t);
  const other = await startRegistry(t);
  const { id } = (await make()).json;
  const run = () => call(`POST /connections/${id}/test`);
  assert.equal((await run()).json.passed, true);
  for (const change of [{ url: other.url }, { url: other.host }, { provider: 'gitlab' }, { tokenHost: other.host }]) {
    const { status, json } = await call(`PATCH /connections/${id}`, { body: change });
    assert.equal(status, 400, JSON.stringify(change));
    assert.equal(json.errors[0].pointer, '/password');
    assert.match(json.detail, /given again: it was entered for http:\/\/127\.0\.0\.1/);
    await run();
  }
  assert.deepEqual(other.seen, []);
  const moved = await call(`PATCH /connections/${id}`, { body: { url: other.url, password: 'meant for the other' } });
  assert.equal(moved.status, 200, moved.text);
  await run();
  const old = Buffer.from(`alice:${secretOfAlice}`).toString('base64');
  assert.ok(other.seen.length > 0 && !JSON.stringify(other.seen).includes(old));
});

test('a test tells what a pull would meet, and the list of tests is a timeline', async (t) => {
  const { call, make, registry, platform } = await open(t);
  await make({ namespace: 'team' });
  registry.headers = { 'ratelimit-limit': '100;w=21600', 'ratelimit-remaining': '76;w=21600' };
  const passed = await call('POST /connections/scripted/test');
  assert.equal(passed.status, 200, passed.text);
  assert.deepEqual([passed.json.passed, passed.json.failedStep, passed.json.cause], [true, null, 'asked']);
  platform.clock.advance(1000);
  registry.users.clear();
  const failed = await call('POST /connections/scripted/test');
  assert.deepEqual([failed.json.passed, failed.json.failedStep], [false, 'token']);
  assert.match(failed.json.message, /\.$/);
  const { items } = (await call('GET /connections/scripted/tests')).json;
  assert.deepEqual(items, [failed.json, passed.json]);
  const first = (await call('GET /connections/scripted/tests?limit=1')).json;
  const second = (await call(`GET /connections/scripted/tests?limit=1&cursor=${first.nextCursor}`)).json;
  assert.deepEqual([...first.items, ...second.items, second.nextCursor], [...items, null]);
  const { status, testedAt } = (await call('GET /connections/scripted')).json;
  assert.deepEqual([status, testedAt], ['failed', failed.json.testedAt]);
});

test('what opens a connection is shown to who may see it, in the form in which it was given, and noted', async (t) => {
  const { call, make, registry, platform, team } = await open(t);
  const keyFile = { type: 'service_account', private_key: 'planted' };
  const auths = { 'r.example.com': { auth: Buffer.from('me:planted').toString('base64') } };
  const none = { username: undefined, password: undefined };
  await make();
  await make({ name: 'google', provider: 'gcr', url: undefined, ...none, keyFile });
  await make({ name: 'docker', url: undefined, ...none, auths });
  await make({ name: 'open', ...none });
  const reveal = async (ref: string) => {
    const { json, headers } = await call(`POST /connections/${ref}/reveal`);
    assert.equal(headers['cache-control'], 'no-store');
    return [json.host, json.username, json.password, json.keyFile, json.auths];
  };
  assert.deepEqual(await reveal('scripted'), [registry.host, 'alice', secretOfAlice, null, null]);
  assert.deepEqual(await reveal('google'), ['gcr.io', '_json_key', null, JSON.stringify(keyFile), null]);
  const opened = { 'r.example.com': { username: 'me', password: 'planted' } };
  assert.deepEqual(await reveal('docker'), ['r.example.com', 'me', null, null, opened]);
  assert.deepEqual(await reveal('open'), [registry.host, '', null, null, null]);
  const events = (await call('GET /audit-events?action=connection.reveal')).json.items;
  assert.deepEqual(
    events.map((one: Json) => one.target.name),
    ['open', 'docker', 'google', 'scripted'],
  );
  const { secret: key } = await seedKey(platform, team.teamId, {
    permissions: ['connections:read', 'connections:update'],
  });
  assert.equal((await call('POST /connections/scripted/reveal', { key })).status, 403);
});

test('a new secret takes its place when it passes, waits when it does not, and can be forgotten', async (t) => {
  const { call, make, registry } = await open(t);
  await make();
  const put = (body: object) => call('PUT /connections/scripted/replacement', { body });
  const waiting = await put({ password: 'new' });
  assert.equal(waiting.status, 200, waiting.text);
  assert.deepEqual([waiting.json.replaced, waiting.json.test.passed, waiting.json.username], [false, false, 'alice']);
  assert.equal(waiting.json.connection.hasReplacement, true);
  assert.equal((await call('DELETE /connections/scripted/replacement')).status, 204);
  assert.equal((await call('DELETE /connections/scripted/replacement')).status, 404);
  registry.users.set('alice', 'new');
  const taken = await put({ password: 'new' });
  assert.deepEqual([taken.json.replaced, taken.json.connection.hasReplacement], [true, false]);
  assert.equal((await call('POST /connections/scripted/reveal')).json.password, 'new');
  assert.equal((await put({})).status, 400);
});

test('an ETag of an earlier state changes nothing, and a test does not spoil one', async (t) => {
  const { call, make, platform } = await open(t);
  const { headers } = await make();
  await call('POST /connections/scripted/test');
  const ifMatch = { 'if-match': headers.etag ?? '' };
  platform.clock.advance(1);
  const patched = await call('PATCH /connections/scripted', { body: { namespace: 'x' }, headers: ifMatch });
  assert.equal(patched.status, 200, patched.text);
  assert.equal((await call('PATCH /connections/scripted', { body: { namespace: 'y' }, headers: ifMatch })).status, 412);
  assert.equal((await call('DELETE /connections/scripted', { headers: ifMatch })).status, 412);
  const fresh = { 'if-match': patched.headers.etag ?? '' };
  platform.clock.advance(1);
  const secret = await call('PATCH /connections/scripted', { body: { password: 'new' }, headers: fresh });
  assert.notEqual(secret.headers.etag, patched.headers.etag, 'a new secret is a change too');
});

test('who may use a connection and who did is seen, by keys of a project for that alone', async (t) => {
  const { call, make, platform, team } = await open(t);
  const shop = (await call('POST /projects', { body: { name: 'Shop' } })).json;
  const { id } = (await make()).json;
  const use = { connection_id: id, actor_id: 'a', actor_name: 'deploy', times: 2, last_used_at: platform.now() };
  const rows = [
    { ...use, project_id: team.projectId },
    { ...use, project_id: shop.id, last_used_at: platform.now() + 1 },
  ];
  await platform.db.insertInto('connection_uses').values(rows).execute();
  const all = (await call('GET /connections/scripted/uses')).json;
  assert.equal(all.projects, null);
  assert.deepEqual(
    all.uses.map((one: Json) => [one.projectId, one.actorName, one.times]),
    [
      [shop.id, 'deploy', 2],
      [team.projectId, 'deploy', 2],
    ],
  );
  await call('PATCH /connections/scripted', { body: { projectIds: ['shop', 'default'] } });
  const { secret: key } = await seedKey(platform, team.teamId, { projectIds: [shop.id] });
  const own = (await call('GET /connections/scripted/uses', { key })).json;
  assert.deepEqual(
    own.projects.map((one: Json) => one.slug),
    ['shop'],
  );
  assert.deepEqual(
    own.uses.map((one: Json) => one.projectId),
    [shop.id],
  );
});

test('the providers are those of the core, with what a form must ask for', async (t) => {
  const { call } = await openNative(t);
  assert.deepEqual([...providerIds], [...providers]);
  const { items, nextCursor } = (await call('GET /providers')).json;
  assert.deepEqual([items.map((one: Json) => one.id), nextCursor], [[...providers], null]);
  assert.deepEqual(items[0], {
    id: 'dockerhub',
    title: 'Docker Hub',
    defaultUrl: 'docker.io',
    hostHint: 'docker.io',
    usernameHint: 'your Docker ID or the name of your organization',
    secretHint: 'a password or an access token',
    secret: 'password',
  });
});

test('what is refused names the field, and repeats nothing of what was sent', async (t) => {
  const { make } = await open(t);
  const cases: [object, string][] = [
    [{ provider: 'dhi' }, '/provider'],
    [{ url: 'https://me:planted@example.com' }, '/url'],
    [{ url: 'http://planted.example.com' }, '/url'],
    [{ provider: 'ghcr', url: 'planted.example.com' }, '/url'],
    [{ username: 'planted', password: undefined }, '/password'],
    [{ username: undefined, password: 'planted' }, '/username'],
    [{ keyFile: 'planted' }, '/keyFile'],
    [{ keyFile: ['planted'] }, '/keyFile'],
    [{ auths: 'planted' }, '/auths'],
    [{ username: undefined, password: undefined, auths: { 'x.example.com': { auth: 'planted' } } }, '/auths'],
    [{ projectIds: ['planted'.repeat(50)] }, '/projectIds/0'],
    [{ projectIds: ['nowhere'] }, '/projectIds'],
    [{ secret: 'planted' }, '/secret'],
    [{ status: 'passed' }, '/status'],
  ];
  for (const [more, pointer] of cases) {
    const { status, json, text } = await make(more);
    assert.equal(status, 400, `${JSON.stringify(more)}: ${text}`);
    assert.equal(json.errors[0].pointer, pointer, text);
    assert.ok(!text.includes('planted'), text);
  }
});

test('two hundred tests at once against a slow registry keep nobody else waiting', async (t) => {
  const { call, make, platform } = await open(t);
  for (let i = 0; i < 200; i++) await make({ name: `c${i}` });
  const { promise: gate, resolve: openGate } = Promise.withResolvers<void>();
  Object.assign(platform, { upstream: afterCheck(platform, () => gate).upstream });
  const tests = Array.from({ length: 200 }, (_, i) => call(`POST /connections/c${i}/test`));
  while (platform.local.checkTurns.running < 32) await new Promise((resolve) => setImmediate(resolve));
  for (let i = 0; i < 20; i++) assert.equal((await call('GET /registries')).status, 200);
  assert.equal((await call('POST /registries', { body: { name: 'meanwhile' } })).status, 201);
  assert.equal(platform.local.checkTurns.running, 32);
  openGate();
  const statuses = (await Promise.all(tests)).map(({ json }) => json.passed);
  assert.deepEqual(new Set(statuses), new Set([true]));
});

test('why a connection fails, and why a new secret waits, is seen without asking for its tests', async (t) => {
  const { call, make, registry } = await open(t);
  const { id, lastTest: none } = (await make({ password: 'wrong' })).json;
  assert.equal(none, null);
  const tested = (await call(`POST /connections/${id}/test`)).json;
  const { passed, failedStep, message, testedAt } = tested;
  assert.deepEqual([passed, failedStep], [false, 'token']);
  const short = { passed, failedStep, message, testedAt };
  assert.deepEqual((await call(`GET /connections/${id}`)).json.lastTest, short);
  await make({ name: 'Untested' });
  const listed = (await call('GET /connections')).json.items;
  assert.deepEqual(
    listed.map((one: Json) => one.lastTest),
    [short, null],
  );
  const waiting = `/connections/${id}/replacement`;
  assert.equal((await call(`GET ${waiting}`)).status, 404);
  const staged = (await call(`PUT ${waiting}`, { body: { username: 'bob', password: 'planted wrong' } })).json;
  assert.deepEqual([staged.replaced, staged.connection.lastTest], [false, short], 'it says nothing of the stored one');
  const shown = await call(`GET ${waiting}`);
  assert.deepEqual([shown.json.username, shown.json.lastTest.failedStep], ['bob', 'token']);
  assert.ok(!shown.text.includes('planted'));
  registry.users.set('bob', 'planted wrong');
  assert.equal((await call(`POST /connections/${id}/test`)).json.cause, 'replacement');
  assert.equal((await call(`GET ${waiting}`)).status, 404);
  assert.equal((await call(`GET /connections/${id}`)).json.lastTest.passed, true);
  const changed = await call(`PATCH /connections/${id}`, { body: { namespace: 'elsewhere' } });
  assert.deepEqual([changed.json.status, changed.json.lastTest], ['untested', null]);
});
