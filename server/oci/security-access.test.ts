import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forgetActors, updateActor } from '#core/actors.ts';
import { createToken } from '#core/tokens.ts';
import {
  type Answer,
  type Ask,
  basic,
  bearer,
  digestOf,
  imageType,
  openOci,
  pushBlob,
  pushImage,
  signInFor,
  withAuthorization,
} from '#test/oci-client.ts';
import { type SeededTeam, seedTeam, type TestPlatform } from '#test/platform.ts';

/** Two teams; the first has an image and a blob of its own. */
async function open(t: Parameters<typeof openOci>[0]) {
  const { platform, app, ask } = await openOci(t);
  const team = await seedTeam(platform, 'acme');
  const other = await seedTeam(platform, 'other');
  const owner = withAuthorization(ask, basic(team.secret));
  const image = await pushImage(owner, 'acme/app', 'v1');
  const layer = digestOf('layer');
  return { platform, app, ask, team, other, owner, image, layer };
}

async function newToken(platform: TestPlatform, team: SeededTeam, mode: 'ro' | 'rw', registryIds: string[] | null) {
  return (await createToken(platform, team.owner, { mode, registryIds })).secret;
}

async function change(platform: TestPlatform, team: SeededTeam, values: Parameters<typeof updateActor>[3]) {
  await updateActor(platform, team.owner.id, team.teamId, values);
  forgetActors(platform);
}

const challengeOf = (answer: Answer) => answer.headers['www-authenticate'] ?? '';
const errorOf = (answer: Answer) => /error="([a-z_]+)"/.exec(challengeOf(answer))?.[1];
const scopeOf = (answer: Answer) => /scope="([^"]+)"/.exec(challengeOf(answer))?.[1];

async function startSession(ask: Ask, repository: string): Promise<string> {
  const { status, headers, text } = await ask('POST', `/v2/${repository}/blobs/uploads/`);
  assert.equal(status, 202, text);
  return headers.location ?? '';
}

// Security test 6: what an access token was given for is all that it opens.
test('a token for one repository opens no other', async (t) => {
  const { ask, team, owner } = await open(t);
  await pushImage(owner, 'acme/b', 'v1');
  const onApp = withAuthorization(ask, await signInFor(ask, basic(team.secret), 'repository:acme/app:pull,push'));
  assert.equal((await onApp('GET', '/v2/acme/app/manifests/v1')).status, 200);
  for (const [method, url, scope] of [
    ['GET', '/v2/acme/b/manifests/v1', 'repository:acme/b:pull'],
    ['GET', '/v2/acme/b/tags/list', 'repository:acme/b:pull'],
    ['GET', `/v2/acme/app/b/manifests/v1`, 'repository:acme/app/b:pull'],
    ['POST', '/v2/acme/b/blobs/uploads/', 'repository:acme/b:pull,push'],
    ['GET', '/v2/_catalog', 'registry:catalog:*'],
  ] as const) {
    const answer = await onApp(method, url);
    assert.deepEqual([answer.status, errorOf(answer), scopeOf(answer)], [401, 'insufficient_scope', scope], url);
  }
});

test('a token to push does not delete, one to pull does not push, and neither lends its right to a mount', async (t) => {
  const { ask, team, owner, image, layer } = await open(t);
  const hidden = await pushBlob(owner, 'acme/b', 'only in b');
  const pusher = withAuthorization(ask, await signInFor(ask, basic(team.secret), 'repository:acme/app:pull,push'));
  for (const url of [`manifests/${image}`, 'manifests/v1', `blobs/${layer}`]) {
    const answer = await pusher('DELETE', `/v2/acme/app/${url}`);
    assert.deepEqual([answer.status, errorOf(answer)], [401, 'insufficient_scope'], url);
    assert.equal(scopeOf(answer), 'repository:acme/app:delete');
  }
  assert.equal((await pusher('GET', '/v2/acme/app/manifests/v1')).status, 200);
  const puller = withAuthorization(ask, await signInFor(ask, basic(team.secret), 'repository:acme/app:pull'));
  for (const [method, url] of [
    ['POST', '/v2/acme/app/blobs/uploads/'],
    ['PUT', '/v2/acme/app/manifests/v2'],
  ] as const) {
    const answer = await puller(method, url, { headers: { 'content-type': imageType }, body: '' });
    assert.deepEqual([answer.status, errorOf(answer)], [401, 'insufficient_scope'], url);
    assert.equal(scopeOf(answer), 'repository:acme/app:pull,push');
  }
  const mount = await pusher('POST', `/v2/acme/app/blobs/uploads/?mount=${hidden}&from=acme/b`);
  assert.equal(mount.status, 202, 'the source is not in the token');
  assert.equal((await pusher('HEAD', `/v2/acme/app/blobs/${hidden}`)).status, 404);
});

test('forged and foreign tokens are 401 invalid_token on /v2 and /token, whatever they claim', async (t) => {
  const { ask, team } = await open(t);
  const good = await signInFor(ask, basic(team.secret), 'repository:acme/app:pull');
  const [head = '', body = '', signature = ''] = good.slice('Bearer '.length).split('.');
  const none = Buffer.from('{"alg":"none","typ":"JWT"}').toString('base64url');
  const elsewhere = await open(t);
  const foreign = await signInFor(elsewhere.ask, basic(elsewhere.team.secret), 'repository:acme/app:pull');
  for (const token of [`${none}.${body}.`, `${none}.${body}.${signature}`, `${head}.${body}.`, foreign.slice(7)]) {
    for (const url of ['/v2/', '/v2/acme/app/manifests/v1', '/v2/acme/none/blobs/uploads/x', '/token']) {
      const answer = await ask('GET', url, { headers: { authorization: bearer(token) } });
      assert.deepEqual([answer.status, answer.code, errorOf(answer)], [401, 'UNAUTHORIZED', 'invalid_token'], url);
    }
  }
});

test('a name that changes hands takes its old tokens nowhere: rights are asked of the registry that is there now', async (t) => {
  const { platform, ask, team, other } = await open(t);
  const token = withAuthorization(ask, await signInFor(ask, basic(team.secret), 'repository:acme/app:pull,push'));
  await platform.db.updateTable('registries').set({ name: 'old' }).where('id', '=', team.registryId).execute();
  await platform.db.updateTable('registries').set({ name: 'acme' }).where('id', '=', other.registryId).execute();
  await pushImage(withAuthorization(ask, basic(other.secret)), 'acme/app', 'theirs');
  const answer = await token('GET', '/v2/acme/app/manifests/theirs');
  assert.deepEqual([answer.status, answer.code], [404, 'NAME_UNKNOWN']);
  assert.equal((await token('POST', '/v2/acme/app/blobs/uploads/')).status, 404);
});

// Security test 7.
test('a mount that may not be looks the same whatever the reason, and is never a way to read', async (t) => {
  const { platform, ask, team, other } = await open(t);
  const theirs = withAuthorization(ask, basic(other.secret));
  const secret = await pushBlob(theirs, 'other/private', 'their secret layer');
  const own = await newToken(platform, team, 'rw', [team.registryId]);
  const pusher = withAuthorization(ask, basic(own));
  const absent = digestOf('nobody has this');
  const answers: string[] = [];
  for (const query of [
    `mount=${secret}&from=other/private`,
    `mount=${secret}&from=other%2Fprivate`,
    `mount=${secret}&from=other/none`,
    `mount=${secret}&from=none/none`,
    `mount=${secret}&from=acme/app`,
    `mount=${secret}&from=..%2F..%2Fother`,
    `mount=${secret}&from=`,
    `mount=${secret}`,
    `mount=${absent}&from=other/private`,
    `mount=${absent}`,
    `mount=blake3:${'a'.repeat(64)}&from=other/private`,
  ]) {
    const { status, headers, text } = await pusher('POST', `/v2/acme/app/blobs/uploads/?${query}`);
    const id = headers['docker-upload-uuid'] ?? '?';
    answers.push(JSON.stringify({ status, text, headers: { ...headers, date: '' } }).replaceAll(id, 'ID'));
    assert.equal(status, 202, query);
  }
  assert.equal(new Set(answers).size, 1);
  assert.equal((await pusher('GET', `/v2/acme/app/blobs/${secret}`)).status, 404);
  const mounted = await pusher('POST', `/v2/acme/new/blobs/uploads/?mount=${digestOf('layer')}&from=acme/app`);
  assert.equal(mounted.status, 201, 'one that may be must be');
});

// Security test 8.
test("an upload session is nobody else's, in no other repository, and not for ever", async (t) => {
  const { platform, ask, team, other, owner } = await open(t);
  const location = await startSession(owner, 'acme/app');
  const id = location.split('/').at(-1);
  const colleague = withAuthorization(ask, basic(await newToken(platform, team, 'rw', null)));
  const stranger = withAuthorization(ask, basic(other.secret));
  const digest = digestOf('bytes');
  await pushBlob(owner, 'acme/b', 'so that the repository is there');
  await pushBlob(stranger, 'other/app', 'so that the repository is there');
  const strangers: [Ask, string][] = [
    [colleague, location],
    [owner, `/v2/acme/b/blobs/uploads/${id}`],
    [stranger, `/v2/other/app/blobs/uploads/${id}`],
  ];
  const requests = [
    ['GET', ''],
    ['PATCH', ''],
    ['PUT', `?digest=${digest}`],
    ['DELETE', ''],
  ] as const;
  for (const [who, url] of strangers) {
    for (const [method, query] of requests) {
      const answer = await who(method, url + query, method === 'GET' ? {} : { body: 'bytes' });
      assert.deepEqual([answer.status, answer.code], [404, 'BLOB_UPLOAD_UNKNOWN'], `${method} ${url}`);
    }
  }
  assert.equal((await stranger('PATCH', location, { body: 'bytes' })).status, 404);
  const before = await owner('GET', location);
  assert.deepEqual([before.status, before.headers.range], [204, '0-0'], 'it is untouched');
  platform.clock.advance(24 * 3600_000);
  for (const [method, query] of requests) {
    assert.equal((await owner(method, location + query, method === 'GET' ? {} : { body: 'x' })).status, 404, method);
  }
});

test('of two writers to one session exactly one is taken', async (t) => {
  const { owner } = await open(t);
  const location = await startSession(owner, 'acme/app');
  const texts = ['aaaaa', 'bbbbbbb'];
  // Both say where they begin: without that, one that comes after the other's end would rightly be appended.
  const send = (body: string) =>
    owner('PATCH', location, { body, headers: { 'content-range': `0-${body.length - 1}` } });
  const answers = await Promise.all(texts.map(send));
  assert.deepEqual(answers.map((answer) => answer.status).sort(), [202, 416]);
  const kept = texts[answers.findIndex((answer) => answer.status === 202)] ?? '';
  assert.equal((await owner('PUT', `${location}?digest=${digestOf(kept)}`)).status, 201);
});

test('a session outlives its token but not the secret: expired may finish, revoked and regenerated may not', async (t) => {
  const { platform, ask, team, other } = await open(t);
  const scope = 'repository:acme/app:pull,push,delete';
  const pusher = withAuthorization(ask, await signInFor(ask, basic(team.secret), scope));
  const stranger = await signInFor(ask, basic(other.secret), 'repository:acme/app:pull,push');
  const [first, second, third] = [
    await startSession(pusher, 'acme/app'),
    await startSession(pusher, 'acme/app'),
    await startSession(pusher, 'acme/app'),
  ];
  platform.clock.advance(400_000);
  assert.equal((await pusher('PATCH', first, { body: 'late' })).status, 202);
  assert.equal((await pusher('PUT', `${first}?digest=${digestOf('late')}`)).status, 201);
  for (const [method, url] of [
    ['GET', '/v2/'],
    ['HEAD', `/v2/acme/app/blobs/${digestOf('late')}`],
    ['PUT', '/v2/acme/app/manifests/v2'],
    ['POST', '/v2/acme/app/blobs/uploads/'],
    ['DELETE', '/v2/acme/app/manifests/v1'],
    ['GET', '/token'],
  ] as const) {
    const answer = await pusher(method, url, method === 'PUT' ? { body: '{}' } : {});
    assert.deepEqual([answer.status, errorOf(answer)], [401, 'invalid_token'], `${method} ${url}`);
  }
  const theirs = withAuthorization(ask, stranger);
  assert.notEqual((await theirs('PATCH', second, { body: 'x' })).status, 202, 'an expired token of someone else');
  await change(platform, team, { generation: 2 });
  const regenerated = withAuthorization(ask, basic(team.secret));
  assert.equal((await pusher('PATCH', second, { body: 'x' })).status, 401);
  assert.equal((await regenerated('PATCH', second, { body: 'x' })).status, 404, 'another generation');
  await change(platform, team, { generation: 1, revoked_at: platform.now() });
  assert.equal((await pusher('PUT', `${third}?digest=${digestOf('')}`)).status, 401);
});

// Security test 15 on these routes: nothing that was given before outlives the right.
test('revoking, narrowing and expiring take effect with the next request', async (t) => {
  const { platform, ask, team, owner } = await open(t);
  const token = await signInFor(ask, basic(team.secret), 'repository:acme/app:pull,push,delete');
  const both = [owner, withAuthorization(ask, token)];
  const location = await startSession(owner, 'acme/app');
  await change(platform, team, { permissions: '["images:pull"]' });
  for (const who of both) {
    assert.equal((await who('GET', '/v2/acme/app/manifests/v1')).status, 200);
    const push = await who('POST', '/v2/acme/app/blobs/uploads/');
    assert.deepEqual([push.status, push.code], [403, 'DENIED']);
    assert.equal((await who('PATCH', location, { body: 'x' })).status, 403);
    assert.equal((await who('DELETE', '/v2/acme/app/manifests/v1')).status, 403);
  }
  await change(platform, team, { registry_ids: '[]' });
  for (const who of both) assert.equal((await who('GET', '/v2/acme/app/manifests/v1')).status, 403);
  await change(platform, team, { registry_ids: null, revoked_at: platform.now() });
  for (const who of both) assert.equal((await who('GET', '/v2/acme/app/manifests/v1')).status, 401);
});
