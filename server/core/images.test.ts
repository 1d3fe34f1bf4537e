import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { findBroken } from '#test/invariants.ts';
import { openNative } from '#test/native-client.ts';
import { digestOf } from '#test/oci-client.ts';
import type { Image } from './image-rows.ts';
import { countImages, eachImage, getImageByReference, type ImageQuery, listImages } from './images.ts';
import { eachTagName } from './repository-tags.ts';

const indexType = 'application/vnd.oci.image.index.v1+json';
const app = { registry: 'acme', repository: 'app' };

async function open(t: TestContext) {
  const { oci, platform, team } = await openNative(t);
  const { owner } = team;
  return {
    platform,
    owner,
    /** An empty index that says `note`, a second after the one before. Answers its digest. */
    async push(note: string, tags: readonly string[] = [], more: object = {}): Promise<string> {
      platform.clock.advance(1000);
      const body = JSON.stringify({
        schemaVersion: 2,
        mediaType: indexType,
        manifests: [],
        ...more,
        annotations: { note },
      });
      const query = tags.map((tag) => `tag=${tag}`).join('&');
      const path = `/v2/acme/app/manifests/${digestOf(body)}?${query}`;
      const { status, text } = await oci('PUT', path, { headers: { 'content-type': indexType }, body });
      assert.equal(status, 201, text);
      return digestOf(body);
    },
    remove: (reference: string) => oci('DELETE', `/v2/acme/app/manifests/${reference}`),
    list: (query: Partial<ImageQuery> = {}) => listImages(platform, owner, app, { limit: 50, ...query }),
    count: (search?: string) => countImages(platform, owner, app, { search }),
  };
}

const digestsOf = (images: readonly Image[]) => images.map((image) => image.digest);

test('a search finds each image once, whatever tags match, and counts what it finds', async (t) => {
  const { push, list, count, remove, platform } = await open(t);
  const search = async (text: string) => {
    const { items } = await list({ search: text });
    assert.equal(await count(text), items.length, text);
    return digestsOf(items);
  };
  const first = await push('first', ['release-1', 'Release-2', 'v1']);
  const second = await push('second', ['release-3']);
  const untagged = await push('untagged');
  assert.deepEqual(await search('release'), [second, first]);
  assert.deepEqual(await search('RELEASE-2'), [first]);
  assert.deepEqual(await search(untagged), [untagged], 'an image without tags has its digest');
  const digits = first.slice('sha256:'.length, 'sha256:'.length + 5);
  await push('named like a digest', [`build-${digits}`]);
  assert.equal((await search(digits)).length, 2, 'by its tag, and by its digest');
  assert.equal((await search(first.slice(0, 10))).length, 0, 'three digits of a digest are too few');
  await remove('v1');
  await remove('release-1');
  assert.deepEqual(await search('release'), [second, first]);
  await remove('Release-2');
  assert.deepEqual(await search('release'), [second]);
  const third = await push('third', ['release-3']);
  assert.deepEqual(await search('release'), [third], 'the tag has moved');
  assert.deepEqual(await findBroken(platform), []);
});

test('a search passes over signatures and referrers, also those that become one', async (t) => {
  const { push, list, platform } = await open(t);
  const search = async (text: string) => digestsOf((await list({ search: text })).items);
  const subject = { mediaType: indexType, digest: digestOf('elsewhere'), size: 1 };
  await push('referrer', ['sbom-1'], { subject });
  assert.deepEqual(await search('sbom'), []);
  const image = await push('image', ['v1']);
  const signature = await push('signature', [`${image.replace(':', '-')}.sig`]);
  assert.deepEqual(await search('.sig'), []);
  assert.deepEqual(await search(signature), []);
  await push('signature', ['kept.sig']);
  assert.deepEqual(await search('.sig'), [signature], 'an ordinary tag makes an image of it');
  assert.deepEqual(await findBroken(platform), []);
});

test('pages by offset and by cursor hold the same images, with and without a search', async (t) => {
  const { push, list, count } = await open(t);
  for (let i = 0; i < 7; i++) await push(`image ${i}`, [`match-${i}`, `match-again-${i}`]);
  for (const search of [undefined, 'match']) {
    const all = digestsOf((await list({ search })).items);
    assert.equal(all.length, 7);
    assert.equal(await count(search), 7);
    const seen: string[] = [];
    let after: ImageQuery['after'] = null;
    for (let offset = 0; offset < 9; offset += 3) {
      const { items, nextCursor } = await list({ search, limit: 3, after });
      assert.deepEqual(items, (await list({ search, limit: 3, offset })).items);
      seen.push(...digestsOf(items));
      after = nextCursor;
    }
    assert.deepEqual(seen, all);
    assert.equal(after, null);
  }
});

test('all images and all tags are read to the end, however many there are', async (t) => {
  const { push, platform, owner } = await open(t);
  const last = await push('last');
  await platform.db.transaction().execute(async (db) => {
    const row = await db.selectFrom('manifests').selectAll().where('digest', '=', last).executeTakeFirstOrThrow();
    const more = Array.from({ length: 250 }, (_, i) => ({ ...row, digest: `sha256:${i}`, pushed_at: 1000 - (i % 5) }));
    for (const one of more) await db.insertInto('manifests').values(one).execute();
    const tag = { repository_id: row.repository_id, digest: last, belongs_to: null, created_at: 1, updated_at: 1 };
    for (let i = 0; i < 1200; i++)
      await db
        .insertInto('tags')
        .values({ ...tag, name: `t${i}` })
        .execute();
  });
  const images = await Array.fromAsync(eachImage(platform, owner, app));
  assert.equal(images.length, 251);
  assert.equal(new Set(digestsOf(images)).size, 251);
  const [first] = images;
  assert.equal(first?.digest, last, 'the newest push is first');
  assert.equal(first?.tags.length, 1200);
  const names = await Array.fromAsync(eachTagName(platform, owner, app));
  assert.equal(names.length, 1200);
  assert.deepEqual(names, [...(first?.tags ?? [])]);
});

test('a list of everything is refused before its first item', async (t) => {
  const { platform, owner } = await open(t);
  await assert.rejects(eachImage(platform, owner, app).next(), { reason: 'not_found' });
  await assert.rejects(eachTagName(platform, owner, app).next(), { reason: 'not_found' });
});

test('an image is found by its digest and by each of its tags', async (t) => {
  const { push, platform, owner } = await open(t);
  const digest = await push('image', ['v1', 'v2']);
  for (const reference of [digest, 'v1', 'v2']) {
    const image = await getImageByReference(platform, owner, app, reference);
    assert.deepEqual([image.digest, image.tags], [digest, ['v1', 'v2']]);
  }
  for (const reference of ['v3', digestOf('nothing'), '', 'no tag', '\0']) {
    await assert.rejects(getImageByReference(platform, owner, app, reference), { reason: 'not_found' });
  }
});
