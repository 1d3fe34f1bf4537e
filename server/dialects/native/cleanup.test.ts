import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { operationHandlers } from '#core/operation-handlers.ts';
import { runNextOperation } from '#core/operation-runs.ts';
import { findBroken } from '#test/invariants.ts';
import { type Json, openNative } from '#test/native-client.ts';
import { digestOf, imageType, pushImage } from '#test/oci-client.ts';

const repository = '/registries/acme/repositories/app';
const indexType = 'application/vnd.oci.image.index.v1+json';

async function openCleanup(t: TestContext) {
  const native = await openNative(t);
  const { call, oci, platform } = native;
  const list = async () => {
    const { json } = await call(`GET ${repository}/images?limit=200`);
    return Object.fromEntries(json.items.map((one: Json) => [one.digest, one.tags]));
  };
  return {
    ...native,
    list,
    /** Distinct content for each name; several tags point to the same. */
    push: async (layer: string, ...tags: string[]) => {
      let digest = '';
      for (const tag of tags) digest = await pushImage(oci, 'acme/app', tag, [layer]);
      return digest;
    },
    pushIndex: async (reference: string, ...children: string[]) => {
      const manifests = children.map((digest) => ({ mediaType: imageType, digest, size: 1 }));
      const body = JSON.stringify({ schemaVersion: 2, mediaType: indexType, manifests });
      const url = `/v2/acme/app/manifests/${reference || digestOf(body)}`;
      const { status, text } = await oci('PUT', url, { headers: { 'content-type': indexType }, body });
      assert.equal(status, 201, text);
      return digestOf(body);
    },
    clean: async (body: object) => {
      const { status, json, text } = await call(`POST ${repository}/cleanup`, { body });
      assert.equal(status, 200, text);
      // What a cleanup leaves behind must still add up.
      assert.deepEqual(await findBroken(platform), []);
      return json;
    },
  };
}

test('a digest goes with all its tags, a tag alone, and an image with its last tag', async (t) => {
  const { clean, push, list } = await openCleanup(t);
  const whole = await push('whole', 'a1', 'a2');
  const half = await push('half', 'b1', 'b2');
  const last = await push('last', 'c1', 'c2');
  const kept = await push('kept', 'd1');
  const { deleted, failed } = await clean({ digests: [whole], tags: ['b1', 'c1', 'c2'] });
  assert.deepEqual(failed, []);
  assert.deepEqual(Object.fromEntries(deleted.map((one: Json) => [one.digest, one.tags.toSorted()])), {
    [whole]: ['a1', 'a2'],
    [half]: ['b1'],
    [last]: ['c1', 'c2'],
  });
  assert.equal(deleted.length, 3);
  assert.deepEqual(await list(), { [half]: ['b2'], [kept]: ['d1'] });
});

test('what is named twice, by digest and by tag, is answered once', async (t) => {
  const { clean, push, list } = await openCleanup(t);
  const digest = await push('one', 'a', 'b', 'c');
  const only = await push('two', 'd');
  const { deleted, failed } = await clean({ digests: [digest, only], tags: ['a', 'd'] });
  assert.deepEqual(failed, []);
  const tags = Object.fromEntries(deleted.map((one: Json) => [one.digest, one.tags]));
  assert.deepEqual(tags, { [digest]: ['a', 'b', 'c'], [only]: ['d'] });
  assert.deepEqual(await list(), {});
});

test('what is unknown is said, and stops nothing', async (t) => {
  const { clean, push, list } = await openCleanup(t);
  const digest = await push('one', 'a');
  const never = digestOf('never');
  const nonsense = ['x', 'sha256:', `${never}0`, '../..', "' or 1=1", 'ä'];
  const { deleted, failed } = await clean({ digests: [never, ...nonsense, digest], tags: ['nix', '-x', ...nonsense] });
  assert.deepEqual(deleted, [{ digest, tags: ['a'] }]);
  assert.deepEqual(
    failed.map((one: Json) => one.digest ?? one.tags[0]).toSorted(),
    [never, ...nonsense, ...nonsense, 'nix', '-x'].toSorted(),
  );
  for (const one of failed) assert.match(one.error, /^There is no such (image|tag) in this repository\.$/);
  assert.deepEqual(await list(), {});
});

// Without this test a cleanup of old children breaks the index that people pull.
test('what an index lists stays and is said, unless the index goes in the same request', async (t) => {
  const { clean, push, pushIndex, list } = await openCleanup(t);
  const child = await push('child', 'amd64');
  const other = await push('other', 'arm64');
  const index = await pushIndex('latest', child, other);
  const refused = await clean({ digests: [child] });
  assert.deepEqual(refused.deleted, []);
  assert.deepEqual(refused.failed, [
    { digest: child, tags: ['amd64'], error: `The index ${index} lists this image. Delete the index first.` },
  ]);
  const untagged = await clean({ tags: ['amd64'] });
  assert.deepEqual([untagged.deleted, untagged.failed], [[{ digest: child, tags: ['amd64'] }], []]);
  assert.deepEqual(await list(), { [child]: [], [other]: ['arm64'], [index]: ['latest'] });

  const both = await clean({ digests: [child], tags: ['arm64', 'latest'] });
  assert.deepEqual(both.failed, []);
  assert.deepEqual(new Set(both.deleted.map((one: Json) => one.digest)), new Set([child, other, index]));
  assert.deepEqual(await list(), {});
});

test('an index of indexes goes from the top, whatever the order of the request', async (t) => {
  const { clean, push, pushIndex, list } = await openCleanup(t);
  const chain = [await push('leaf', 'leaf')];
  for (let i = 0; i < 4; i++) chain.push(await pushIndex(`i${i}`, chain.at(-1) ?? ''));
  const { failed } = await clean({ digests: chain });
  assert.deepEqual([failed, await list()], [[], {}]);
});

test('an index that is nowhere, and images that are not there, are no reason to fail', async (t) => {
  const { clean, push } = await openCleanup(t);
  const digest = await push('one', 'a');
  assert.deepEqual(await clean({}), { deleted: [], failed: [] });
  assert.deepEqual(await clean({ digests: [], tags: [] }), { deleted: [], failed: [] });
  assert.deepEqual((await clean({ digests: [digest] })).failed, []);
  assert.match((await clean({ digests: [digest] })).failed[0].error, /no such image/);
});

test('more than a hundred go in several steps', async (t) => {
  const { clean, pushIndex, list } = await openCleanup(t);
  const child = await pushIndex('t0');
  const digests = [child];
  for (let i = 1; i < 130; i++) digests.push(await pushIndex(`t${i}`, ...Array<string>(i).fill(child)));
  const tags = digests.slice(0, 105).map((_, i) => `t${i}`);
  const { deleted, failed } = await clean({ digests: digests.slice(20), tags });
  assert.deepEqual([deleted.length, failed], [130, []]);
  assert.deepEqual(await list(), {});
});

test('a collection follows unless it is not wanted, and one that waits already is enough', async (t) => {
  const { clean, push, call, platform, team } = await openCleanup(t);
  const digests = [await push('one', 'a'), await push('two', 'b'), await push('three', 'c')];
  const sizeOf = async () => (await call(`GET /registries/${team.registryId}`)).json.sizeBytes;
  const operations = async () => (await call('GET /operations')).json.items;
  await clean({ digests: digests.slice(0, 1), collectGarbage: false });
  assert.deepEqual(await operations(), []);
  await clean({ digests: digests.slice(1, 2) });
  await clean({ digests: digests.slice(2) });
  assert.deepEqual(
    (await operations()).map((one: Json) => one.kind),
    ['garbage_collection'],
  );
  assert.ok((await sizeOf()) > 0);
  platform.clock.advance(24 * 3600_000);
  while (await runNextOperation(platform, 'test', operationHandlers));
  assert.equal(await sizeOf(), 0);
});

test('each tag and image that goes is in the audit log', async (t) => {
  const { clean, push, call } = await openCleanup(t);
  const digest = await push('one', 'a', 'b');
  await clean({ digests: [digest], tags: ['a'] });
  const events = (await call('GET /audit-events?limit=200')).json.items;
  const about = events.filter((one: Json) => /delete$/.test(one.action));
  assert.deepEqual(about.map((one: Json) => [one.action, one.target.id]).toSorted(), [
    ['manifest.delete', digest],
    ['tag.delete', 'a'],
  ]);
});
