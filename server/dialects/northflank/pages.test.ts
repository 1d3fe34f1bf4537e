import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { toCursor } from '#http/paging.ts';
import { dockerHub, type Northflank, openNorthflank, registries } from '#test/northflank-client.ts';
import { assertRefused } from '#test/northflank-world.ts';

async function openWith(t: Parameters<typeof openNorthflank>[0], count: number) {
  const northflank = await openNorthflank(t);
  for (let i = 0; i < count; i++) await add(northflank, nameOf(i));
  const list = async (query: string) => {
    const { status, json, text } = await northflank.call(`GET ${registries}${query}`);
    assert.equal(status, 200, text);
    const names: string[] = json.data.credentials.map((one: { name: string }) => one.name);
    assert.equal(json.pagination.count, names.length);
    assert.equal(json.pagination.hasNextPage, 'cursor' in json.pagination, text);
    if (json.pagination.hasNextPage) assert.match(json.pagination.cursor, /^[A-Za-z0-9_-]{24}$/);
    return { names, cursor: json.pagination.cursor as string | undefined };
  };
  return { ...northflank, list };
}

const nameOf = (i: number) => `Number ${String(i).padStart(3, '0')}`;
const add = ({ call }: Northflank, name: string) => call(`POST ${registries}`, { body: dockerHub(name) });
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => nameOf(from + i));

test('pages are cut by size, number and cursor, oldest first', async (t) => {
  const { list } = await openWith(t, 120);
  const cases: [string, string[]][] = [
    ['', range(0, 50)],
    ['?page=1', range(0, 50)],
    ['?page=3', range(100, 120)],
    ['?page=4', []],
    ['?per_page=100', range(0, 100)],
    ['?per_page=101', range(0, 100)],
    ['?per_page=99999999999999999999', range(0, 100)],
    ['?per_page=7&page=2', range(7, 14)],
    ['?per_page=120&page=2', range(100, 120)],
    ['?page=99999999999999999999&per_page=100', []],
    ['?per_page=&page=&cursor=', range(0, 50)],
    ['?unknown=1&search=nothing&limit=1', range(0, 50)],
  ];
  for (const [query, names] of cases) assert.deepEqual((await list(query)).names, names, query);
});

test('a cursor goes on with its own page size, unless another is asked for; a page number beside it means nothing', async (t) => {
  const { list } = await openWith(t, 40);
  const { cursor } = await list('?per_page=7&page=2');
  for (const [more, names] of [
    ['', range(14, 21)],
    ['&page=1', range(14, 21)],
    ['&page=9', range(14, 21)],
    ['&per_page=3', range(14, 17)],
    ['&per_page=100', range(14, 40)],
  ] as const) {
    assert.deepEqual((await list(`?cursor=${cursor}${more}`)).names, names, more);
  }
  const exact = await list('?per_page=40');
  assert.deepEqual([exact.names.length, exact.cursor], [40, undefined], 'a full last page has no cursor');
});

test('a cursor cannot ask for more than the largest page', async (t) => {
  const { list, call } = await openWith(t, 105);
  const made = toCursor({ id: '00000000-0000-7000-8000-000000000000', size: 65_535 });
  assert.equal((await list(`?cursor=${made}`)).names.length, 100);
  assertRefused(await call(`GET ${registries}?cursor=${toCursor({ id: '0'.repeat(32), size: 0 })}`), 'size 0', 400);
});

test('for each page size all() sees everything once', async (t) => {
  const { list } = await openWith(t, 37);
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 40 }), async (size) => {
      let page = await list(`?per_page=${size}`);
      const seen = [...page.names];
      while (page.cursor !== undefined) {
        page = await list(`?cursor=${page.cursor}`);
        assert.ok(page.names.length > 0 && page.names.length <= size);
        seen.push(...page.names);
      }
      assert.deepEqual(seen, range(0, 37));
    }),
    { numRuns: 15 },
  );
});

test('what comes and goes between pages shifts nothing', async (t) => {
  const opened = await openWith(t, 12);
  const { list, call } = opened;
  const first = await list('?per_page=5');
  // The row that the cursor stands on, one before it, one behind it.
  for (const i of [4, 2, 6]) await call(`DELETE ${registries}/number-${String(i).padStart(3, '0')}`);
  await add(opened, nameOf(12));
  const second = await list(`?cursor=${first.cursor}`);
  const third = await list(`?cursor=${second.cursor}`);
  assert.deepEqual(first.names, range(0, 5));
  assert.deepEqual(second.names, [nameOf(5), ...range(7, 11)]);
  assert.deepEqual([third.names, third.cursor], [range(11, 13), undefined]);
});

test('what is no page is refused', async (t) => {
  const { list, call } = await openWith(t, 3);
  const { cursor = '' } = await list('?per_page=1');
  const numbers = ['0', '-1', '1.5', '1e3', 'NaN', 'Infinity', '0x10', '%205', 'true', '%00', '%ff%fe', '[]', "'"];
  for (const word of [...numbers, '-9223372036854775808', 'x'.repeat(3000), '1&per_page=1', '1&page=1&page=1']) {
    for (const name of ['per_page', 'page']) {
      if (name === 'page' && word === '1&per_page=1') continue;
      const asked = `GET ${registries}?${name}=${word}`;
      const answer = await call(asked);
      assertRefused(answer, asked.slice(0, 90), 400);
    }
  }
  const cursors = ['x', cursor.slice(1), `${cursor}A`, `${cursor.slice(0, 23)}!`, '%00'.repeat(24), '.'.repeat(24)];
  for (const word of [...cursors, `${cursor}&cursor=${cursor}`, 'null', 'undefined', 'x'.repeat(5000)]) {
    assertRefused(await call(`GET ${registries}?cursor=${word}`), word.slice(0, 60), 400);
  }
});
