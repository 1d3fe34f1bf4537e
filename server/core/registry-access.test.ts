import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Scope } from '#test/database.ts';
import { openTestPlatform, seedTeam } from '#test/platform.ts';
import { lockRepository } from './links.ts';
import type { RepositoryName } from './names.ts';
import { getRegion } from './regions.ts';
import { ensureRepository, lockForPush, openRepository } from './registry-access.ts';
import { transact } from './transact.ts';

/** A repository that nobody has pushed to yet. */
async function open(t: Scope) {
  const platform = await openTestPlatform(t);
  const { owner } = await seedTeam(platform, 'acme');
  const query = { region: getRegion(platform), name: 'acme/app' as RepositoryName, action: 'push' } as const;
  return { platform, missing: await openRepository(platform, owner, query) };
}

test('two first pushes at once make one repository', async (t) => {
  const { platform, missing } = await open(t);
  const made = await Promise.all([ensureRepository(platform, missing), ensureRepository(platform, missing)]);
  assert.equal(made[0].id, made[1].id);
});

// Whoever made it goes on to the registry's row: waiting for each other, both would stand until the database breaks it up.
test('a first push that comes second does not wait for what the first one does in the repository', async (t) => {
  const { platform, missing } = await open(t);
  const { id } = await ensureRepository(platform, missing);
  await transact(platform, async (inside) => {
    await lockRepository(inside, id);
    assert.equal((await ensureRepository(platform, missing)).id, id);
  });
});

test('a push whose repository was ended and made again goes into the new one', async (t) => {
  const { platform, missing } = await open(t);
  const ended = await ensureRepository(platform, missing);
  await platform.db.deleteFrom('repositories').where('id', '=', ended.id).execute();
  const { id } = await ensureRepository(platform, missing);
  assert.equal((await transact(platform, (platform) => lockForPush(platform, ended))).id, id);
});
