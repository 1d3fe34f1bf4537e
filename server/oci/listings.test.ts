import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { newId } from '#core/ids.ts';
import { createProject } from '#core/projects.ts';
import { createRegistry, updateRegistry } from '#core/registries.ts';
import { createToken } from '#core/tokens.ts';
import { type Ask, basic, bearer, pushBlob, pushImage, signInFor, withAuthorization } from '#test/oci-client.ts';
import { seedKey, seedTeam } from '#test/platform.ts';
import {
  assertHeaders,
  imageOf,
  nextOf,
  openRegistry,
  outcomeOf,
  pushManifest,
  startSession,
} from '#test/registry-client.ts';

type Kind = 'tags' | 'repositories';

/** All pages, as a client walks them. */
async function walk(ask: Ask, first: string, kind: Kind): Promise<string[][]> {
  const pages: string[][] = [];
  for (let url: string | undefined = first; url !== undefined; ) {
    const answer = await ask('GET', url);
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.headers['content-type'], 'application/json');
    pages.push(JSON.parse(answer.text)[kind]);
    url = nextOf(answer);
    assert.ok(pages.length < 100, 'the pages end');
  }
  return pages;
}

async function pushTags(ask: Ask, repository: string, tags: readonly string[]): Promise<void> {
  await pushBlob(ask, repository, '{}');
  for (const tag of tags) await pushManifest(ask, repository, tag, imageOf([]));
}

// Edge case 26. Clients merge-compare with Go's sort: any other order loses tags between pages.
test('tags come in byte order, each once, whatever the page size', async (t) => {
  const { owner } = await openRegistry(t);
  const tags = ['a', '1.0', 'Latest', '_x', 'B', '1.0-rc', '1_0', 'a.b', 'a-b', 'aB', 'Z', '10', '9'];
  await pushTags(owner, 'acme/app', tags);
  const sorted = [...tags].sort();
  assert.deepEqual(await walk(owner, '/v2/acme/app/tags/list', 'tags'), [sorted]);
  const answer = await owner('GET', '/v2/acme/app/tags/list');
  assert.deepEqual(JSON.parse(answer.text), { name: 'acme/app', tags: sorted });
  for (let n = 1; n <= 15; n++) {
    const pages = await walk(owner, `/v2/acme/app/tags/list?n=${n}`, 'tags');
    assert.deepEqual(pages.flat(), sorted, `n=${n}`);
    for (const page of pages.slice(0, -1)) assert.equal(page.length, n);
    assert.equal(pages.length, Math.ceil(sorted.length / n), 'no empty page at the end');
  }
});

test('`last` is exclusive, needs no `n`, and need not be there', async (t) => {
  const { owner } = await openRegistry(t);
  await pushTags(owner, 'acme/app', ['a', 'b', 'c', 'd']);
  const after = async (query: string) => JSON.parse((await owner('GET', `/v2/acme/app/tags/list?${query}`)).text).tags;
  const table: [string, string[]][] = [
    ['last=b', ['c', 'd']],
    ['last=bb', ['c', 'd']],
    ['last=', ['a', 'b', 'c', 'd']],
    ['last=0', ['a', 'b', 'c', 'd']],
    ['last=d', []],
    ['last=zzz', []],
    ['last=a&n=2', ['b', 'c']],
    ['n=2&last=c', ['d']],
    ['last=%62', ['c', 'd']],
    ['last=%F0%9F%98%80', []],
    [`last=${'a'.repeat(900)}`, ['b', 'c', 'd']],
  ];
  for (const [query, expected] of table) assert.deepEqual(await after(query), expected, query);
  const page = await owner('GET', '/v2/acme/app/tags/list?n=2&last=a');
  assert.equal(nextOf(page), '/v2/acme/app/tags/list?last=c&n=2');
  assertHeaders(await owner('GET', '/v2/acme/app/tags/list?n=2&last=b'), { Link: undefined });
});

test('n=0 is an empty page without a next one; what is no number is 400', async (t) => {
  const { owner } = await openRegistry(t);
  await pushTags(owner, 'acme/app', ['a', 'b']);
  for (const [url, empty] of [
    ['/v2/acme/app/tags/list', { name: 'acme/app', tags: [] }],
    ['/v2/_catalog', { repositories: [] }],
  ] as const) {
    for (const n of ['0', '00']) {
      const answer = await owner('GET', `${url}?n=${n}`);
      assert.deepEqual(JSON.parse(answer.text), empty);
      assertHeaders(answer, { Link: undefined });
    }
    for (const n of ['-1', 'a', '', '1.5', '1e3', '0x1', '%2B1', ' 1', '1%00', 'NaN']) {
      assert.equal(outcomeOf(await owner('GET', `${url}?n=${n}`)), '400 UNSUPPORTED', `${url} n=${n}`);
    }
    assert.equal(outcomeOf(await owner('GET', `${url}?last=%00`)), '400 UNSUPPORTED');
    assert.equal(outcomeOf(await owner('GET', `${url}?last=a%00b&n=1`)), '400 UNSUPPORTED');
    for (const n of ['1001', '9223372036854775808', '9'.repeat(300)]) {
      assert.equal((await owner('GET', `${url}?n=${n}`)).status, 200, n);
    }
  }
});

test('a page has at most 1000 tags, also where none or more is asked for, and says where the next begins', async (t) => {
  const { owner, platform } = await openRegistry(t);
  await pushTags(owner, 'acme/app', ['t0000']);
  const first = await platform.db.selectFrom('tags').selectAll().executeTakeFirstOrThrow();
  const names = Array.from({ length: 1200 }, (_, i) => `t${`${i + 1}`.padStart(4, '0')}`);
  for (let i = 0; i < names.length; i += 300) {
    await platform.db
      .insertInto('tags')
      .values(names.slice(i, i + 300).map((name) => ({ ...first, name })))
      .execute();
  }
  for (const query of ['', '?n=1000', '?n=5000', '?n=99999999999999999999']) {
    const pages = await walk(owner, `/v2/acme/app/tags/list${query}`, 'tags');
    assert.deepEqual(
      pages.map((page) => page.length),
      [1000, 201],
      query,
    );
    assert.deepEqual(pages.flat(), ['t0000', ...names]);
  }
});

test('tags that come or go while a client walks repeat nothing and lose none that stayed', async (t) => {
  const { owner } = await openRegistry(t);
  await pushTags(owner, 'acme/app', ['b', 'd', 'f', 'h']);
  const one = await owner('GET', '/v2/acme/app/tags/list?n=2');
  await pushTags(owner, 'acme/app', ['a', 'c', 'e']);
  await owner('DELETE', '/v2/acme/app/manifests/d');
  const rest = await walk(owner, nextOf(one) ?? '', 'tags');
  assert.deepEqual(rest.flat(), ['e', 'f', 'h']);
});

test('a repository that was never pushed to is NAME_UNKNOWN; one without tags lists none', async (t) => {
  const { owner } = await openRegistry(t);
  assert.equal(outcomeOf(await owner('GET', '/v2/acme/never/tags/list')), '404 NAME_UNKNOWN');
  await startSession(owner, 'acme/begun');
  const answer = await owner('GET', '/v2/acme/begun/tags/list');
  assert.equal(answer.text, '{"name":"acme/begun","tags":[]}');
});

test('the catalog names what may be pulled, in byte order, over all registries of the team', async (t) => {
  const { ask, owner, platform, team } = await openRegistry(t);
  for (const name of ['acme-b', 'a', 'acme0', 'zz']) await createRegistry(platform, team.owner, { name });
  const names = ['acme/b', 'acme/a/x', 'acme/a', 'acme/a-x', 'acme/a.x', 'acme-b/z', 'a/q', 'acme0/m', 'zz/a__b'];
  for (const name of names) await pushImage(owner, name, 'v1');
  const other = await seedTeam(platform, 'other');
  await pushImage(withAuthorization(ask, basic(other.secret)), 'other/theirs', 'v1');
  const sorted = [...names].sort();
  for (const query of ['', '?n=100', '?n=1', '?n=2', '?n=3', '?n=7', '?n=10', '?n=11']) {
    assert.deepEqual((await walk(owner, `/v2/_catalog${query}`, 'repositories')).flat(), sorted, query);
  }
  for (const last of [
    '',
    'a',
    'a/',
    'a/q',
    'acme',
    'acme-b',
    'acme/',
    'acme/a',
    'acme/a/',
    'acme/zz',
    'acme0',
    'zz/zz',
    'b',
  ]) {
    const answer = await owner('GET', `/v2/_catalog?last=${encodeURIComponent(last)}`);
    const expected = sorted.filter((name) => name > last);
    assert.deepEqual(JSON.parse(answer.text), { repositories: expected }, last);
  }
});

test('the catalog’s pages are 100 long unless asked otherwise', async (t) => {
  const { owner, platform } = await openRegistry(t);
  await pushImage(owner, 'acme/r', 'v1');
  const repository = await platform.db.selectFrom('repositories').selectAll().executeTakeFirstOrThrow();
  const manifest = await platform.db.selectFrom('manifests').selectAll().executeTakeFirstOrThrow();
  for (let i = 100; i < 230; i++) {
    const id = newId();
    await platform.db
      .insertInto('repositories')
      .values({ ...repository, id, name: `r${i}` })
      .execute();
    await platform.db
      .insertInto('manifests')
      .values({ ...manifest, repository_id: id })
      .execute();
  }
  const lengths = async (query: string) =>
    (await walk(owner, `/v2/_catalog${query}`, 'repositories')).map((page) => page.length);
  assert.deepEqual(await lengths(''), [100, 31]);
  assert.deepEqual(await lengths('?n=130'), [130, 1]);
  assert.deepEqual(await lengths('?n=1000'), [131]);
});

test('the catalog shows each caller what it may pull: a token its registries, a bound key its projects', async (t) => {
  const { ask, owner, platform, team } = await openRegistry(t);
  const { project } = await createProject(platform, team.owner, { name: 'apart' });
  const second = await createRegistry(platform, team.owner, { name: 'second' });
  await createRegistry(platform, team.owner, { name: 'third', project: project.id });
  for (const name of ['acme/a', 'second/b', 'third/c']) await pushImage(owner, name, 'v1');
  const other = await seedTeam(platform, 'other');
  await updateRegistry(platform, team.owner, { registry: 'second', isPublic: true });
  const one = await createToken(platform, team.owner, { mode: 'ro', registryIds: [second.id] });
  const all = await createToken(platform, team.owner, { mode: 'ro', registryIds: null });
  const bound = await seedKey(platform, team.teamId, { projectIds: [project.id] });
  const blind = await seedKey(platform, team.teamId, { permissions: ['registries:read'] });
  const table: [string, string[]][] = [
    [all.secret, ['acme/a', 'second/b', 'third/c']],
    [one.secret, ['second/b']],
    // What belongs to the whole team every key of the team may pull.
    [bound.secret, ['second/b', 'third/c']],
    [blind.secret, ['second/b']],
    [other.secret, []],
  ];
  for (const [secret, expected] of table) {
    const byToken = await signInFor(ask, basic(secret), 'registry:catalog:*');
    for (const authorization of [bearer(secret), byToken]) {
      const answer = await withAuthorization(ask, authorization)('GET', '/v2/_catalog');
      assert.deepEqual(JSON.parse(answer.text).repositories, expected);
    }
  }
  const anonymous = await ask('GET', '/v2/_catalog');
  assert.equal(outcomeOf(anonymous), '401 UNAUTHORIZED');
  assert.match(anonymous.headers['www-authenticate'] ?? '', /scope="registry:catalog:\*"/);
});

test('any set of tags walks out complete and in order, whatever the page size', async (t) => {
  const { owner } = await openRegistry(t);
  const tag = fc.stringMatching(/^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,6}$/);
  let round = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(tag, { minLength: 1, maxLength: 8 }),
      fc.integer({ min: 1, max: 5 }),
      async (tags, n) => {
        const repository = `acme/walk${round++}`;
        await pushTags(owner, repository, tags);
        assert.deepEqual((await walk(owner, `/v2/${repository}/tags/list?n=${n}`, 'tags')).flat(), [...tags].sort());
      },
    ),
    { numRuns: 12 },
  );
});
