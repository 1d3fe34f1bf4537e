import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { basic, openOci, withAuthorization } from '#test/oci-client.ts';
import { seedTeam } from '#test/platform.ts';
import { digestOf } from './digest.ts';
import type { Platform } from './platform.ts';
import { findWrongStore } from './wrong-store.ts';

const place = 's3://images at http://127.0.0.1:9';

/** An installation with so many blobs; answers their keys too. */
async function open(t: TestContext, blobs: number): Promise<{ platform: Platform; keys: string[] }> {
  const { platform, ask } = await openOci(t);
  const team = await seedTeam(platform, 'acme');
  const client = withAuthorization(ask, basic(team.secret));
  for (let n = 0; n < blobs; n++) {
    const body = Buffer.from(`blob ${n}`);
    const { headers } = await client('POST', '/v2/acme/app/blobs/uploads/');
    assert.equal((await client('PUT', `${headers.location}?digest=${digestOf(body)}`, { body })).status, 201);
  }
  const rows = await platform.db.selectFrom('objects').select('key').where('state', '=', 'stored').execute();
  assert.equal(rows.length, blobs);
  return { platform, keys: rows.map(({ key }) => key) };
}

test('an installation without objects, and one whose objects are there, have the right store', async (t) => {
  assert.equal(await findWrongStore((await open(t, 0)).platform, place), undefined);
  assert.equal(await findWrongStore((await open(t, 7)).platform, place), undefined);
});

for (const blobs of [1, 7]) {
  test(`a store that has none of ${blobs} objects is not the right one, and the place is named`, async (t) => {
    const { platform, keys } = await open(t, blobs);
    for (const key of keys) await platform.blobs.remove(key);
    const wrong = await findWrongStore(platform, place);
    assert.equal(wrong?.reason, 'unavailable');
    assert.match(wrong.message, new RegExp(`knows ${blobs} objects?, .* is in ${place}\\. Check LADING_STORAGE_URL`));
  });
}

test('a store that has lost some objects is not taken for another one', async (t) => {
  const { platform, keys } = await open(t, 5);
  for (const key of keys.slice(1)) await platform.blobs.remove(key);
  assert.equal(await findWrongStore(platform, place), undefined);
});

test('what is known to be lost is no sign of another store', async (t) => {
  const { platform, keys } = await open(t, 3);
  for (const key of keys) await platform.blobs.remove(key);
  await platform.db.updateTable('blobs').set({ lost: 1 }).execute();
  assert.equal(await findWrongStore(platform, place), undefined);
});

test('what was removed for good reasons while we looked is no sign of another store', async (t) => {
  const { platform, keys } = await open(t, 1);
  const size = async (key: string) => {
    await platform.db.updateTable('objects').set({ state: 'doomed', remove_after: 0 }).where('key', '=', key).execute();
    await platform.blobs.remove(key);
    return platform.blobs.size(key);
  };
  assert.equal(keys.length, 1);
  assert.equal(await findWrongStore({ ...platform, blobs: { ...platform.blobs, size } }, place), undefined);
});

test('a store that does not answer for one of them is neither right nor wrong', async (t) => {
  const { platform, keys } = await open(t, 3);
  for (const key of keys) await platform.blobs.remove(key);
  const size = async (key: string) => {
    if (key === keys[0]) throw new Error('away');
    return platform.blobs.size(key);
  };
  await assert.rejects(findWrongStore({ ...platform, blobs: { ...platform.blobs, size } }, place), /away/);
});
