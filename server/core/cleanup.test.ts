import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findBroken } from '#test/invariants.ts';
import { basic, digestOf, imageType, openOci, pushImage, withAuthorization } from '#test/oci-client.ts';
import { seedTeam } from '#test/platform.ts';
import { cleanRepository } from './cleanup.ts';
import { removeImages } from './cleanup-steps.ts';
import type { Digest } from './digest.ts';
import { openOwnRepository } from './repositories.ts';

const address = { registry: 'acme', repository: 'app' };

async function open(t: Parameters<typeof openOci>[0]) {
  const { platform, ask } = await openOci(t);
  const { owner, secret } = await seedTeam(platform, 'acme');
  return { platform, owner, oci: withAuthorization(ask, basic(secret)) };
}

// Without this test a tag that someone sets while a cleanup runs loses its image.
test('an image that lost its last tag stays if it has one again by the time it would go', async (t) => {
  const { platform, owner, oci } = await open(t);
  const digest = (await pushImage(oci, 'acme/app', 'again')) as Digest;
  const repository = await openOwnRepository(platform, owner, address, 'images:delete');
  const input = { digests: [digest], isAsked: () => false };
  assert.deepEqual(await removeImages(platform, owner, repository, input), { removed: [], listed: [] });
  assert.equal((await oci('GET', '/v2/acme/app/manifests/again')).status, 200);
});

test('of a cleanup and the push of an index at the same time, one sees the other', async (t) => {
  const { platform, owner, oci } = await open(t);
  const indexType = 'application/vnd.oci.image.index.v1+json';
  const input = { tags: [], collectGarbage: false };
  for (let round = 0; round < 20; round++) {
    const digest = await pushImage(oci, 'acme/app', 'child', [`layer ${round}`]);
    const manifests = [{ mediaType: imageType, digest, size: 1 }];
    const body = JSON.stringify({ schemaVersion: 2, mediaType: indexType, manifests });
    const url = `/v2/acme/app/manifests/${digestOf(body)}`;
    const [pushed, cleaned] = await Promise.all([
      oci('PUT', url, { headers: { 'content-type': indexType }, body }),
      cleanRepository(platform, owner, address, { ...input, digests: [digest] }),
    ]);
    const isGone = cleaned.deleted.length === 1;
    assert.equal(pushed.status, isGone ? 400 : 201, pushed.text);
    assert.equal(cleaned.failed.length, isGone ? 0 : 1);
  }
  assert.deepEqual(await findBroken(platform), []);
});

test('a long list of names that are not there keeps nobody waiting', async (t) => {
  const { platform, owner, oci } = await open(t);
  await pushImage(oci, 'acme/app', 'v1');
  const names = Array.from({ length: 5000 }, (_, i) => `never-${i}`);
  let turns = 0;
  let isDone = false;
  const turn = () => {
    turns++;
    if (!isDone) setImmediate(turn);
  };
  setImmediate(turn);
  const digests = names.map((name) => digestOf(name));
  const { failed } = await cleanRepository(platform, owner, address, { digests, tags: names, collectGarbage: false });
  isDone = true;
  assert.equal(failed.length, 10_000);
  assert.ok(turns > 90, `others had ${turns} turns`);
});
