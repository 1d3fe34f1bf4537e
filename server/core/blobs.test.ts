import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Scope } from '#test/database.ts';
import { beforeTransaction } from '#test/interrupt.ts';
import { findBroken } from '#test/invariants.ts';
import { openTestPlatform, seedTeam, type TestPlatform } from '#test/platform.ts';
import { findActorBySecret } from './actors.ts';
import { deleteBlob, getBlob, mountBlob } from './blobs.ts';
import { digestOf } from './digest.ts';
import type { RepositoryName } from './names.ts';
import { removalDelayMs, removeDoomed } from './objects.ts';
import { getRegion } from './regions.ts';
import { createRegistry } from './registries.ts';
import { ensureRepository, openRepository } from './registry-access.ts';
import { revokeToken } from './token-changes.ts';
import { createToken } from './tokens.ts';
import { putBlob } from './upload-finish.ts';

const layer = Buffer.from('a layer');
const digest = digestOf(layer);

/** A layer in one registry, and another registry of the team. */
async function open(t: Scope) {
  const platform = await openTestPlatform(t);
  const { owner } = await seedTeam(platform, 'acme');
  await createRegistry(platform, owner, { name: 'depot' });
  const region = getRegion(platform);
  const find = async (name: string) => {
    const query = { region, name: name as RepositoryName, action: 'push' } as const;
    return ensureRepository(platform, await openRepository(platform, owner, query));
  };
  const [source, target] = [await find('acme/app'), await find('depot/app')];
  const put = (into: typeof source) => {
    const body = {
      bytes: (async function* () {
        yield layer;
      })(),
      length: layer.length,
    };
    return putBlob(platform, owner, into, { digest, body });
  };
  await put(source);
  const mount = (on: TestPlatform, { actor = owner, into = target } = {}) =>
    mountBlob(on, actor, into, digest, { region, from: 'acme/app' });
  const isThere = async (repository: typeof source) =>
    getBlob(platform, owner, { region, name: repository.name, reference: digest }, { promise: false }).then(
      () => true,
      () => false,
    );
  return { platform, owner, source, target, find, put, mount, isThere };
}

test('a mount whose source goes meanwhile is none, and nothing is left of it', async (t) => {
  const { platform, source, target, mount, isThere } = await open(t);
  const doomed = beforeTransaction(platform, () => deleteBlob(platform, source, digest));
  assert.equal(await mount(doomed), undefined);
  assert.equal(await isThere(target), false);
  assert.deepEqual(await findBroken(platform), []);
});

test('so is one whose source is even removed from the store', async (t) => {
  const { platform, source, target, mount, isThere } = await open(t);
  const removed = beforeTransaction(platform, async () => {
    await deleteBlob(platform, source, digest);
    platform.clock.advance(removalDelayMs);
    assert.equal(await removeDoomed(platform), 1);
  });
  assert.equal(await mount(removed), undefined);
  assert.equal(await isThere(target), false);
  assert.deepEqual(await findBroken(platform), []);
});

test('a token revoked before the mount commits gets nothing mounted', async (t) => {
  const { platform, owner, target, mount, isThere } = await open(t);
  const { token, secret } = await createToken(platform, owner, { name: 'ci', mode: 'rw', registryIds: null });
  const actor = await findActorBySecret(platform, secret);
  const revoked = beforeTransaction(platform, () => revokeToken(platform, owner, { token: token.id }));
  await assert.rejects(mount(revoked, { actor }), { reason: 'unauthenticated' });
  assert.equal(await isThere(target), false);
});

// The client believes a 201 and does not send the bytes, which nobody has.
test('a blob whose bytes were lost is not mounted, linked here already or not, until it is uploaded again', async (t) => {
  const { platform, target, find, put, mount, isThere } = await open(t);
  await put(target);
  const { registry } = target;
  await platform.db.updateTable('blobs').set({ lost: 1 }).where('registry_id', '=', registry.id).execute();
  assert.equal(await mount(platform), undefined, 'linked here already');
  const other = await find('depot/other');
  assert.equal(await mount(platform, { into: other }), undefined, 'linked elsewhere in the registry');
  await put(target);
  assert.ok(await mount(platform, { into: other }));
  assert.equal(await isThere(other), true);
  assert.deepEqual(await findBroken(platform), []);
});
