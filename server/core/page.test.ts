import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openTestPlatform, seedTeam } from '#test/platform.ts';
import type { Actor } from './actors.ts';
import type { Page, Position } from './page.ts';
import type { Platform } from './platform.ts';
import { countRegistries, createRegistry, listRegistries, type RegistryOrder } from './registries.ts';

async function seedRegistries(platform: Platform, actor: Actor, names: readonly string[]) {
  for (const name of names) await createRegistry(platform, actor, { name });
}

async function readAll<T>(list: (after: Position | null) => Promise<Page<T>>): Promise<T[][]> {
  const pages: T[][] = [];
  let after: Position | null = null;
  do {
    const page: Page<T> = await list(after);
    pages.push(page.items);
    after = page.nextCursor;
  } while (after !== null);
  return pages;
}

test('pages hold each row once, in every order and both directions', async (t) => {
  const platform = await openTestPlatform(t);
  const { owner } = await seedTeam(platform, 'm');
  await seedRegistries(platform, owner, ['z', 'a-1', 'a10', 'b', 'a1']);
  const sizes: Record<string, number> = { z: 5, 'a-1': 5, a10: 1, b: 3, a1: 5, m: 0 };
  for (const [name, size] of Object.entries(sizes)) {
    await platform.db.updateTable('registries').set({ size }).where('name', '=', name).execute();
  }
  const orders: [RegistryOrder['by'], string[]][] = [
    ['name', ['a-1', 'a1', 'a10', 'b', 'm', 'z']],
    ['createdAt', ['m', 'z', 'a-1', 'a10', 'b', 'a1']],
    ['size', ['m', 'a10', 'b', 'z', 'a-1', 'a1']],
  ];
  for (const [by, expected] of orders) {
    for (const descending of [false, true]) {
      const pages = await readAll((after) =>
        listRegistries(platform, owner, { limit: 2, after, sort: { by, descending } }),
      );
      const names = pages.flat().map(({ name }) => name);
      assert.deepEqual(names, descending ? expected.toReversed() : expected, `${by} ${descending}`);
      assert.deepEqual(
        pages.map(({ length }) => length),
        [2, 2, 2],
      );
    }
  }
});

test('rows that come and go between pages move no other row', async (t) => {
  const platform = await openTestPlatform(t);
  const { owner, registryId } = await seedTeam(platform, 'b');
  await seedRegistries(platform, owner, ['d', 'f']);
  const first = await listRegistries(platform, owner, { limit: 2 });
  assert.deepEqual(
    first.items.map(({ name }) => name),
    ['b', 'd'],
  );
  await platform.db.deleteFrom('registries').where('id', '=', registryId).execute();
  await seedRegistries(platform, owner, ['a', 'e']);
  const second = await listRegistries(platform, owner, { limit: 2, after: first.nextCursor });
  assert.deepEqual(
    second.items.map(({ name }) => name),
    ['e', 'f'],
  );
  assert.equal(second.nextCursor, null);
});

test('an offset skips rows, and the count is that of all pages', async (t) => {
  const platform = await openTestPlatform(t);
  const { owner } = await seedTeam(platform, 'm');
  await seedRegistries(platform, owner, ['ab', 'xab', 'c']);
  const page = await listRegistries(platform, owner, { limit: 10, offset: 1, search: 'ab' });
  assert.deepEqual(
    page.items.map(({ name }) => name),
    ['xab'],
  );
  assert.equal(await countRegistries(platform, owner, { search: 'ab' }), 2);
  assert.equal(await countRegistries(platform, owner, {}), 4);
});

test('a search is a substring without regard to case, and its signs are only signs', async (t) => {
  const platform = await openTestPlatform(t);
  const { owner } = await seedTeam(platform, 'm');
  await seedRegistries(platform, owner, ['app', 'my-app-2', 'other']);
  const found = async (search: string) =>
    (await listRegistries(platform, owner, { limit: 10, search })).items.map(({ name }) => name);
  assert.deepEqual(await found('APP'), ['app', 'my-app-2']);
  for (const search of ['a%p', 'a_p', '%', '_', '\\', "' or 1=1 --"]) assert.deepEqual(await found(search), [], search);
  await assert.rejects(found('a\0'), { reason: 'invalid' });
  await assert.rejects(found('x'.repeat(256)), { reason: 'invalid' });
});

test('a position that another list gave, or nobody, is refused and never reaches the database', async (t) => {
  const platform = await openTestPlatform(t);
  const { owner } = await seedTeam(platform, 'm');
  const bad: Position[] = [[], ['a'], ['a', 'b', 'c'], [1, 'b'], ['a\0', 'b'], ['a'.repeat(2000), 'b']];
  for (const after of bad) {
    await assert.rejects(listRegistries(platform, owner, { limit: 2, after }), { reason: 'invalid' });
  }
  for (const size of [1.5, Number.NaN, 2 ** 60, '1; drop table registries']) {
    const sort = { by: 'size', descending: false } as const;
    await assert.rejects(listRegistries(platform, owner, { limit: 2, after: [size, 'x'], sort }), {
      reason: 'invalid',
    });
  }
});
