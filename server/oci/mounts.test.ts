import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createProject } from '#core/projects.ts';
import { createRegistry, updateRegistry } from '#core/registries.ts';
import { createToken } from '#core/tokens.ts';
import {
  type Answer,
  type Ask,
  basic,
  bearer,
  pushBlob,
  pushImage,
  signInFor,
  withAuthorization,
} from '#test/oci-client.ts';
import { seedKey, seedTeam } from '#test/platform.ts';
import { assertHeaders, openRegistry, outcomeOf, sha256, sha512, uploadBlob } from '#test/registry-client.ts';

const mount = (ask: Ask, target: string, digest: string, from?: string) =>
  ask('POST', `/v2/${target}/blobs/uploads/?mount=${digest}${from === undefined ? '' : `&from=${from}`}`);

function assertMounted(answer: Answer, target: string, digest: string): void {
  assert.equal(answer.status, 201, answer.text);
  assert.equal(answer.text, '');
  assertHeaders(answer, {
    Location: `/v2/${target}/blobs/${digest}`,
    'Docker-Content-Digest': digest,
    'Content-Length': '0',
    Range: undefined,
    'Docker-Upload-UUID': undefined,
  });
}

/** A session like any other: it can be asked, filled and ended. */
async function assertSession(ask: Ask, answer: Answer, target: string): Promise<void> {
  assert.equal(answer.status, 202, answer.text);
  assertHeaders(answer, {
    Location: new RegExp(`^/v2/${target}/blobs/uploads/[a-z0-9-]+$`),
    Range: '0-0',
    'Docker-Upload-UUID': /^[a-z0-9-]+$/,
    'Content-Length': '0',
    'Docker-Content-Digest': undefined,
  });
  const put = await ask('PUT', `${answer.headers.location}?digest=${sha256('instead')}`, { body: 'instead' });
  assert.equal(put.status, 201);
}

// Edge case 15.
test('a mounted blob is read in its new repository, also after its source is gone', async (t) => {
  const { owner } = await openRegistry(t);
  for (const digest of [
    await pushBlob(owner, 'acme/one', 'layer'),
    await uploadBlob(owner, 'acme/one', 'layer', sha512('layer')),
  ]) {
    assertMounted(await mount(owner, 'acme/two', digest, 'acme/one'), 'acme/two', digest);
    assertMounted(await mount(owner, 'acme/two', digest, 'acme/one'), 'acme/two', digest);
    assert.equal((await owner('HEAD', `/v2/acme/two/blobs/${digest}`)).status, 200);
    assert.equal((await owner('DELETE', `/v2/acme/one/blobs/${digest}`)).status, 202);
    assert.equal((await owner('GET', `/v2/acme/two/blobs/${digest}`)).text, 'layer');
    assert.equal(
      (await mount(owner, 'acme/three', digest, 'acme/one')).status,
      202,
      'it is not in the source any more',
    );
    assertMounted(await mount(owner, 'acme/three', digest, 'acme/two'), 'acme/three', digest);
  }
});

test('a blob is mounted from another registry of the team, and outlives it there', async (t) => {
  const { owner, platform, team } = await openRegistry(t);
  await createRegistry(platform, team.owner, { name: 'second' });
  const digest = await pushBlob(owner, 'acme/one', 'across');
  assertMounted(await mount(owner, 'second/app', digest, 'acme/one'), 'second/app', digest);
  await owner('DELETE', `/v2/acme/one/blobs/${digest}`);
  assert.equal((await owner('GET', `/v2/second/app/blobs/${digest}`)).text, 'across');
});

test('a blob is mounted into the repository it comes from', async (t) => {
  const { owner } = await openRegistry(t);
  const digest = await pushBlob(owner, 'acme/one', 'same');
  assertMounted(await mount(owner, 'acme/one', digest, 'acme/one'), 'acme/one', digest);
});

// Edge case 16. 404, 403 and 401 each end a push of some client that had nothing to do but send the bytes.
test('what cannot be mounted becomes a session, whatever the reason', async (t) => {
  const { ask, owner, platform } = await openRegistry(t);
  const other = await seedTeam(platform, 'other');
  const secret = await pushBlob(withAuthorization(ask, basic(other.secret)), 'other/private', 'theirs');
  const here = await pushBlob(owner, 'acme/one', 'here');
  const sources: [string, string | undefined][] = [
    [sha256('unknown'), 'acme/one'],
    [sha256('unknown'), undefined],
    [here, 'acme/never'],
    [here, 'acme'],
    [here, 'nobody/app'],
    [here, ''],
    [here, 'A//B'],
    [here, '..%2F..'],
    [here, '%00'],
    [here, 'x'.repeat(300)],
    [secret, 'other/private'],
    [secret, 'other%2Fprivate'],
    [secret, undefined],
    // Well formed, but nothing that can be stored here.
    [`blake3:${'a'.repeat(64)}`, 'acme/one'],
    ['sha3-256:abc', undefined],
  ];
  for (const [digest, from] of sources) {
    await assertSession(owner, await mount(owner, 'acme/two', digest, from), 'acme/two');
    assert.notEqual((await owner('HEAD', `/v2/acme/two/blobs/${digest}`)).status, 200);
  }
});

test('a malformed digest is no mount but a fault of the client', async (t) => {
  const { owner } = await openRegistry(t);
  for (const digest of [
    '',
    'x',
    'sha256:bad',
    'sha256:..%2Fx',
    sha256('x').toUpperCase(),
    `sha512:${'a'.repeat(64)}`,
    '%00',
  ]) {
    assert.equal(outcomeOf(await mount(owner, 'acme/two', digest, 'acme/one')), '400 DIGEST_INVALID', digest);
  }
});

test('without a source, a blob is found wherever in the registry the caller may pull, and nowhere else', async (t) => {
  const { owner, ask, platform, team } = await openRegistry(t);
  const digest = await pushBlob(owner, 'acme/one', 'discovered');
  assertMounted(await mount(owner, 'acme/two', digest), 'acme/two', digest);
  const only = await pushBlob(owner, 'acme/one', 'only in one');
  const token = await signInFor(ask, basic(team.secret), 'repository:acme/two:pull,push');
  const narrow = withAuthorization(ask, token);
  assert.equal((await mount(narrow, 'acme/two', only, 'acme/one')).status, 202, 'the token does not name the source');
  const wide = await signInFor(ask, basic(team.secret), 'repository:acme/two:pull,push', 'repository:acme/one:pull');
  assertMounted(await mount(withAuthorization(ask, wide), 'acme/two', only, 'acme/one'), 'acme/two', only);
  assertMounted(
    await mount(narrow, 'acme/two', await pushBlob(owner, 'acme/one', 'unnamed')),
    'acme/two',
    sha256('unnamed'),
  );
  const other = await seedTeam(platform, 'other');
  const stranger = withAuthorization(ask, basic(other.secret));
  assert.equal((await mount(stranger, 'other/app', only)).status, 202);
});

// Security test 7, by kind of secret.
test('who may not pull the source does not mount from it, and cannot read it after', async (t) => {
  const { ask, owner, platform, team } = await openRegistry(t);
  const { project } = await createProject(platform, team.owner, { name: 'apart' });
  await createRegistry(platform, team.owner, { name: 'apart-hosted', project: project.id });
  const apart = await pushBlob(owner, 'apart-hosted/app', 'apart');
  const bound = await seedKey(platform, team.teamId, { projectIds: [team.projectId] });
  const elsewhere = await createToken(platform, team.owner, { mode: 'rw', registryIds: [team.registryId] });
  const pushOnly = await seedKey(platform, team.teamId, { permissions: ['images:push'] });
  for (const secret of [bound.secret, elsewhere.secret, pushOnly.secret]) {
    const asker = withAuthorization(ask, bearer(secret));
    for (const from of ['apart-hosted/app', undefined]) {
      const answer = await mount(asker, 'acme/mine', apart, from);
      assert.equal(answer.status, 202);
      assert.notEqual((await asker('HEAD', `/v2/acme/mine/blobs/${apart}`)).status, 200);
    }
  }
});

test('who may not push the target is refused, whatever the source', async (t) => {
  const { ask, owner, platform, team } = await openRegistry(t);
  const digest = await pushBlob(owner, 'acme/one', 'layer');
  const { secret } = await createToken(platform, team.owner, { mode: 'ro', registryIds: null });
  for (const from of ['acme/one', 'nobody/app', undefined]) {
    assert.equal(
      outcomeOf(await mount(withAuthorization(ask, bearer(secret)), 'acme/two', digest, from)),
      '403 DENIED',
    );
    assert.equal(outcomeOf(await mount(ask, 'acme/two', digest, from)), '401 UNAUTHORIZED');
  }
});

test('from a public registry of another team anybody may mount', async (t) => {
  const { ask, owner, platform, team } = await openRegistry(t);
  const digest = await pushBlob(owner, 'acme/base', 'public layer');
  const other = await seedTeam(platform, 'other');
  const stranger = withAuthorization(ask, basic(other.secret));
  assert.equal((await mount(stranger, 'other/app', digest, 'acme/base')).status, 202);
  await updateRegistry(platform, team.owner, { registry: 'acme', isPublic: true });
  assertMounted(await mount(stranger, 'other/app', digest, 'acme/base'), 'other/app', digest);
  const { size } = await platform.db
    .selectFrom('registries')
    .select('size')
    .where('name', '=', 'other')
    .executeTakeFirstOrThrow();
  assert.equal(size, 'public layer'.length, 'it is charged where it is');
});

test('a digest beside the mount does not make an empty blob of a mount that failed', async (t) => {
  const { owner } = await openRegistry(t);
  const url = `/v2/acme/app/blobs/uploads/?mount=${sha256('none')}&from=acme/one&digest=${sha256('')}`;
  await assertSession(owner, await owner('POST', url), 'acme/app');
});

test('a repository that a mount made is listed from its first manifest on', async (t) => {
  const { owner } = await openRegistry(t);
  const digest = await pushBlob(owner, 'acme/one', 'layer');
  await mount(owner, 'acme/two', digest, 'acme/one');
  assert.deepEqual(JSON.parse((await owner('GET', '/v2/_catalog')).text).repositories, []);
  await pushImage(owner, 'acme/two', 'v1', ['layer']);
  assert.deepEqual(JSON.parse((await owner('GET', '/v2/_catalog')).text).repositories, ['acme/two']);
});
