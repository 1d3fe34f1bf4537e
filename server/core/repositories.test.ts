import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { openNative } from '#test/native-client.ts';
import { pushImage } from '#test/oci-client.ts';
import { countRepositories, listRepositories, listRepositoryNames, type RepositoryQuery } from './repositories.ts';

/** Pushed in this order, a second after each other, each larger than the one before. */
const pushed = ['web', 'api/two', 'db', 'api/one'];

async function open(t: TestContext) {
  const { oci, platform, team } = await openNative(t);
  for (const [i, name] of pushed.entries()) {
    platform.clock.advance(1000);
    await pushImage(oci, `acme/${name}`, 'v1', ['x'.repeat(10 + 10 * i)]);
  }
  const list = async (query: Partial<RepositoryQuery> = {}) => {
    const { items, nextCursor } = await listRepositories(platform, team.owner, 'acme', { limit: 50, ...query });
    return { names: items.map((one) => one.name), nextCursor };
  };
  return { platform, owner: team.owner, list };
}

const sorts: Record<'name' | 'updatedAt' | 'size', string[]> = {
  name: [...pushed].sort(),
  updatedAt: pushed,
  size: pushed,
};

test('repositories are sorted by name, last change or size, either way', async (t) => {
  const { list } = await open(t);
  for (const [by, expected] of Object.entries(sorts)) {
    const sort = { by: by as keyof typeof sorts, descending: false };
    assert.deepEqual((await list({ sort })).names, expected, by);
    assert.deepEqual((await list({ sort: { ...sort, descending: true } })).names, expected.toReversed(), by);
  }
});

test('pages of every order go on by cursor and by offset, with and without a search', async (t) => {
  const { list } = await open(t);
  for (const by of Object.keys(sorts) as (keyof typeof sorts)[]) {
    for (const search of [undefined, 'API']) {
      const query = { search, sort: { by, descending: true } };
      const all = (await list(query)).names;
      assert.equal(all.length, search ? 2 : 4);
      const seen: string[] = [];
      for (let after: RepositoryQuery['after'] = null; ; ) {
        const page = await list({ ...query, limit: 1, after });
        assert.deepEqual(page.names, (await list({ ...query, limit: 1, offset: seen.length })).names);
        seen.push(...page.names);
        if (!page.nextCursor) break;
        after = page.nextCursor;
      }
      assert.deepEqual(seen, all);
    }
  }
});

test('names alone are the same list, and the count is its length', async (t) => {
  const { platform, owner, list } = await open(t);
  for (const search of [undefined, 'api', 'nothing', '%']) {
    const { items } = await listRepositoryNames(platform, owner, 'acme', { limit: 50, search });
    assert.deepEqual(items, (await list({ search })).names);
    assert.equal(await countRepositories(platform, owner, 'acme', { search }), items.length);
  }
});
