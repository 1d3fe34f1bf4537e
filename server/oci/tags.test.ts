import assert from 'node:assert/strict';
import { test } from 'node:test';
import { leaseMs } from '#core/links.ts';
import { type Ask, imageType, pushBlob } from '#test/oci-client.ts';
import {
  assertHeaders,
  describe,
  errorsOf,
  imageOf,
  indexOf,
  indexType,
  openRegistry,
  outcomeOf,
  pushManifest,
  putManifest,
  sha256,
  sha512,
} from '#test/registry-client.ts';

// Tags and deletion: what points where, and what goes with what.

const numbered = (n: number | string) => imageOf([], { annotations: { n: `${n}` } });
const digestAt = async (ask: Ask, repository: string, reference: string) =>
  (await ask('HEAD', `/v2/${repository}/manifests/${reference}`)).headers['docker-content-digest'];
const tagsOf = async (ask: Ask, repository: string): Promise<string[]> =>
  JSON.parse((await ask('GET', `/v2/${repository}/tags/list`)).text).tags;
const putTagged = (ask: Ask, repository: string, digest: string, tags: readonly string[], body: string) =>
  ask('PUT', `/v2/${repository}/manifests/${digest}?${tags.map((tag) => `tag=${tag}`).join('&')}`, {
    headers: { 'content-type': imageType },
    body,
  });

async function open(t: Parameters<typeof openRegistry>[0]) {
  const registry = await openRegistry(t);
  await pushBlob(registry.owner, 'acme/app', '{}');
  return registry;
}

// Edge case 24.
test('a moved tag leads to the new manifest at once, and the old one stays under its digest', async (t) => {
  const { owner } = await open(t);
  const first = await pushManifest(owner, 'acme/app', 'latest', numbered(1));
  const second = await pushManifest(owner, 'acme/app', 'latest', numbered(2));
  assert.equal(await digestAt(owner, 'acme/app', 'latest'), second);
  assert.equal((await owner('GET', `/v2/acme/app/manifests/${first}`)).text, numbered(1));
  await pushManifest(owner, 'acme/app', 'latest', numbered(1));
  assert.equal(await digestAt(owner, 'acme/app', 'latest'), first, 'and back');
  assert.deepEqual(await tagsOf(owner, 'acme/app'), ['latest']);
});

test('by digest with ten tags: each is said in OCI-Tag and points there, under sha512 too', async (t) => {
  const { owner } = await open(t);
  const tags = Array.from({ length: 10 }, (_, i) => `t${i}`);
  for (const digest of [sha256(numbered(1)), sha512(numbered(1))]) {
    const answer = await putTagged(owner, 'acme/app', digest, tags, numbered(1));
    assert.equal(answer.status, 201);
    assertHeaders(answer, { 'Docker-Content-Digest': digest, 'Content-Length': '0', 'OCI-Tag': tags.join(', ') });
    for (const tag of tags) assert.equal(await digestAt(owner, 'acme/app', tag), digest);
  }
  assert.deepEqual(await tagsOf(owner, 'acme/app'), tags);
});

test('tags in the query: doubles count once, 50 are taken, more are 414, and a bad one refuses all', async (t) => {
  const { owner } = await open(t);
  const digest = sha256(numbered(1));
  const put = (tags: readonly string[]) => putTagged(owner, 'acme/app', digest, tags, numbered(1));
  assertHeaders(await put(['a', 'b', 'a']), { 'OCI-Tag': 'a, b' });
  const many = Array.from({ length: 50 }, (_, i) => `m${i}`);
  const answer = await put([...many, 'one-more']);
  assert.equal(answer.status, 414);
  assert.ok(errorsOf(answer));
  for (const bad of ['-x', '', 'a%2Fb', 'a%00', 'x'.repeat(129), '%F0%9F%98%80']) {
    assert.equal(outcomeOf(await put(['good', bad])), '400 NAME_INVALID', bad);
  }
  assert.deepEqual(await tagsOf(owner, 'acme/app'), ['a', 'b'], 'nothing of a refused push is there');
  assert.equal((await put(many)).status, 201);
  assert.equal((await tagsOf(owner, 'acme/app')).length, 52);
  const byTag = await owner('PUT', '/v2/acme/app/manifests/v1?tag=a', {
    headers: { 'content-type': imageType },
    body: numbered(1),
  });
  assert.equal(outcomeOf(byTag), '400 NAME_INVALID', 'a tag has no further tags');
  const refused = await putTagged(owner, 'acme/app', sha256('x'), ['late'], numbered(1));
  assert.equal(outcomeOf(refused), '400 DIGEST_INVALID');
  assert.equal((await owner('HEAD', '/v2/acme/app/manifests/late')).status, 404);
});

// SPEC: conditional pushes for registries that have ETags. What would break without it: two builds overwrite each other.
test('a tag is moved only from where the client saw it, if the client says so', async (t) => {
  const { owner } = await open(t);
  const put = (n: number, headers: Record<string, string>, reference = 'v1') =>
    owner('PUT', `/v2/acme/app/manifests/${reference}`, {
      headers: { 'content-type': imageType, ...headers },
      body: numbered(n),
    });
  const first = sha256(numbered(1));
  assert.equal(outcomeOf(await put(1, { 'if-match': `"${first}"` })), '412 DENIED', 'there is no such tag yet');
  assert.equal((await put(1, { 'if-none-match': '*' })).status, 201);
  assert.equal(outcomeOf(await put(2, { 'if-none-match': '*' })), '412 DENIED');
  assert.equal(outcomeOf(await put(2, { 'if-match': `"${sha256('x')}"` })), '412 DENIED');
  assert.equal(await digestAt(owner, 'acme/app', 'v1'), first);
  assert.equal((await owner('HEAD', `/v2/acme/app/manifests/${sha256(numbered(2))}`)).status, 404);
  assert.equal((await put(2, { 'if-match': `"${first}"` })).status, 201);
  assert.equal(outcomeOf(await put(3, { 'if-match': `"${first}"` })), '412 DENIED');
  const [a, b] = await Promise.all([put(4, { 'if-none-match': '*' }, 'new'), put(5, { 'if-none-match': '*' }, 'new')]);
  assert.deepEqual([a.status, b.status].sort(), [201, 412], 'of two at once one is first');
});

// Edge case 25.
test('deleted by tag, only the tag goes; deleted by digest, all its tags go at once; then it is 404', async (t) => {
  const { owner } = await open(t);
  const digest = await pushManifest(owner, 'acme/app', 'a', numbered(1));
  for (const tag of ['b', 'c']) await pushManifest(owner, 'acme/app', tag, numbered(1));
  const other = await pushManifest(owner, 'acme/app', 'other', numbered(2));
  const url = (reference: string) => `/v2/acme/app/manifests/${reference}`;
  const deleted = await owner('DELETE', url('a'));
  assert.equal(deleted.status, 202);
  assert.equal(deleted.text, '');
  assertHeaders(deleted, { 'Content-Length': '0', 'Content-Type': undefined });
  assert.equal(outcomeOf(await owner('GET', url('a'))), '404 MANIFEST_UNKNOWN');
  assert.equal(outcomeOf(await owner('DELETE', url('a'))), '404 MANIFEST_UNKNOWN');
  for (const reference of ['b', 'c', digest]) assert.equal(await digestAt(owner, 'acme/app', reference), digest);
  assert.equal((await owner('DELETE', url(digest))).status, 202);
  for (const reference of ['b', 'c', digest]) {
    assert.equal((await owner('HEAD', url(reference))).status, 404);
    assert.equal(outcomeOf(await owner('DELETE', url(reference))), '404 MANIFEST_UNKNOWN');
  }
  assert.deepEqual(await tagsOf(owner, 'acme/app'), ['other']);
  assert.equal(await digestAt(owner, 'acme/app', 'other'), other);
  await owner('DELETE', url(other));
  assert.deepEqual(await tagsOf(owner, 'acme/app'), [], 'a repository without tags lists none');
});

test('an index child may be deleted while the index lives; the index stays readable', async (t) => {
  const { owner } = await open(t);
  const child = await pushManifest(owner, 'acme/app', sha256(numbered(1)), numbered(1));
  const index = indexOf([describe(numbered(1), imageType)]);
  await pushManifest(owner, 'acme/app', 'v1', index, indexType);
  assert.equal((await owner('DELETE', `/v2/acme/app/manifests/${child}`)).status, 202);
  assert.equal((await owner('GET', '/v2/acme/app/manifests/v1')).text, index);
  assert.equal(outcomeOf(await putManifest(owner, 'acme/app', 'v2', index, indexType)), '400 MANIFEST_BLOB_UNKNOWN');
});

test('the same manifest under two algorithms is two manifests: deleting one leaves the other', async (t) => {
  const { owner } = await open(t);
  await pushManifest(owner, 'acme/app', 'v256', numbered(1));
  await putTagged(owner, 'acme/app', sha512(numbered(1)), ['v512'], numbered(1));
  assert.equal((await owner('DELETE', `/v2/acme/app/manifests/${sha256(numbered(1))}`)).status, 202);
  assert.deepEqual(await tagsOf(owner, 'acme/app'), ['v512']);
  assert.equal((await owner('GET', '/v2/acme/app/manifests/v512')).text, numbered(1));
});

test('two pushes of one tag at once: the tag points to one of the two, and both are there', async (t) => {
  const { owner } = await open(t);
  const digests = await Promise.all([1, 2, 3, 4].map((n) => pushManifest(owner, 'acme/app', 'raced', numbered(n))));
  assert.ok(digests.includes((await digestAt(owner, 'acme/app', 'raced')) ?? ''));
  for (const digest of digests) assert.equal(await digestAt(owner, 'acme/app', digest), digest);
});

// Protocol A5. What would break without this: a multi-arch push loses its first images before the index names them.
test('a manifest pushed without a tag, or seen by a pusher, is leased; tagging it takes no lease', async (t) => {
  const { owner, platform } = await open(t);
  const leaseLeft = async (digest: string) => {
    const row = await platform.db
      .selectFrom('manifests')
      .select('leased_until')
      .where('digest', '=', digest)
      .executeTakeFirstOrThrow();
    return Math.max(0, row.leased_until - platform.now());
  };
  const child = await pushManifest(owner, 'acme/app', sha256(numbered(1)), numbered(1));
  assert.equal(await leaseLeft(child), leaseMs);
  const tagged = await pushManifest(owner, 'acme/app', 'v1', numbered(2));
  assert.equal(await leaseLeft(tagged), 0);
  platform.clock.advance(2 * leaseMs);
  for (const reference of [child, tagged]) await owner('HEAD', `/v2/acme/app/manifests/${reference}`);
  assert.deepEqual([await leaseLeft(child), await leaseLeft(tagged)], [leaseMs, leaseMs]);
  platform.clock.advance(2 * leaseMs);
  await pushManifest(owner, 'acme/app', child, numbered(1));
  assert.equal(await leaseLeft(child), leaseMs, 'pushed again, it is leased again');
  await pushManifest(owner, 'acme/app', 'v1', indexOf([describe(numbered(1), imageType)]), indexType);
  assert.equal(await leaseLeft(child), 0, 'its index holds it from now on');
});
