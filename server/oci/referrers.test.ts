import assert from 'node:assert/strict';
import { test } from 'node:test';
import { listReferrers } from '#core/referrers.ts';
import { type Ask, imageType, pushBlob, signInFor } from '#test/oci-client.ts';
import {
  assertHeaders,
  type Descriptor,
  describe,
  emptyType,
  imageOf,
  indexOf,
  indexType,
  nextOf,
  openRegistry,
  outcomeOf,
  pushManifest,
  putManifest,
  sha256,
  sha512,
} from '#test/registry-client.ts';

type Entry = Descriptor & { artifactType?: string; annotations?: Record<string, string> };

/** The list as clients read it: an image index of exactly its type. */
async function referrersOf(
  ask: Ask,
  url: string,
): Promise<{ entries: Entry[]; next: string | undefined; filters: string | undefined }> {
  const answer = await ask('GET', url);
  assert.equal(answer.status, 200, answer.text);
  assertHeaders(answer, { 'Content-Type': indexType, 'Content-Length': `${answer.bytes.length}` });
  const { manifests, ...rest } = JSON.parse(answer.text);
  assert.deepEqual(rest, { schemaVersion: 2, mediaType: indexType });
  assert.ok(Array.isArray(manifests));
  return { entries: manifests, next: nextOf(answer), filters: answer.headers['oci-filters-applied'] };
}

async function walk(ask: Ask, first: string): Promise<Entry[][]> {
  const pages: Entry[][] = [];
  for (let url: string | undefined = first; url !== undefined; ) {
    const page = await referrersOf(ask, url);
    pages.push(page.entries);
    url = page.next;
    assert.ok(pages.length < 50, 'the pages end');
  }
  return pages;
}

async function open(t: Parameters<typeof openRegistry>[0]) {
  const registry = await openRegistry(t);
  await pushBlob(registry.owner, 'acme/app', '{}');
  const subject = describe(imageOf([]), imageType);
  const list = (query = '', repository = 'acme/app') => `/v2/${repository}/referrers/${subject.digest}${query}`;
  /** A referrer of the subject, pushed by its digest. */
  const refer = async (fields: Record<string, unknown>, text = imageOf([], { subject, ...fields })) => {
    await pushManifest(registry.owner, 'acme/app', sha256(text), text, JSON.parse(text).mediaType);
    return describe(text, JSON.parse(text).mediaType);
  };
  return { ...registry, subject, list, refer };
}

const byDigest = (a: Descriptor, b: Descriptor) => (a.digest < b.digest ? -1 : 1);

// Edge case 27. A 404 makes clients write fallback tags for ever after.
test('a subject without referrers has an empty list: unknown, in an unused repository, of either algorithm', async (t) => {
  const { owner } = await open(t);
  for (const repository of ['acme/app', 'acme/never']) {
    for (const digest of [sha256('x'), sha512('x'), `sha256:${'0'.repeat(64)}`]) {
      const { entries, next, filters } = await referrersOf(owner, `/v2/${repository}/referrers/${digest}`);
      assert.deepEqual([entries, next, filters], [[], undefined, undefined]);
    }
  }
});

test('a list shows images and indexes, before and after their subject comes, in a stable order', async (t) => {
  const { owner, subject, list, refer } = await open(t);
  const annotations = { 'org.opencontainers.image.created': '2026-01-01T00:00:00Z', empty: '', ü: '€ \u2028 "' };
  const image = await refer({ artifactType: 'application/x.signature', annotations });
  const byConfig = await refer({ config: describe('{}', 'application/x.config'), annotations: {} });
  const text = indexOf([], { subject, annotations: { kind: 'index' } });
  const index = await refer({}, text);
  const typed = await refer({}, indexOf([], { subject, artifactType: 'application/x.sbom' }));
  const dockerType = 'application/vnd.docker.distribution.manifest.v2+json';
  const docker = await refer({}, imageOf([], { subject, mediaType: dockerType }));
  const expected = [
    { ...image, artifactType: 'application/x.signature', annotations },
    { ...byConfig, artifactType: 'application/x.config', annotations: {} },
    { ...index, annotations: { kind: 'index' } },
    { ...typed, artifactType: 'application/x.sbom' },
    { ...docker, artifactType: emptyType },
  ].sort(byDigest);
  for (let i = 0; i < 2; i++) {
    const { entries, next } = await referrersOf(owner, list());
    assert.deepEqual(entries, expected);
    assert.equal(next, undefined);
    await pushManifest(owner, 'acme/app', 'subject', imageOf([]));
  }
  assert.deepEqual(
    (await referrersOf(owner, list('', 'acme/other'))).entries,
    [],
    'in another repository there are none',
  );
});

test('a referrer that is deleted leaves the list at once; its subject’s deletion leaves it there', async (t) => {
  const { owner, subject, list, refer } = await open(t);
  await pushManifest(owner, 'acme/app', 'subject', imageOf([]));
  const one = await refer({ artifactType: 'a/one' });
  const two = await refer({ artifactType: 'a/two' });
  assert.equal((await owner('DELETE', `/v2/acme/app/manifests/${one.digest}`)).status, 202);
  assert.deepEqual(
    (await referrersOf(owner, list())).entries.map((entry) => entry.digest),
    [two.digest],
  );
  assert.equal((await owner('DELETE', `/v2/acme/app/manifests/${subject.digest}`)).status, 202);
  assert.deepEqual(
    (await referrersOf(owner, list())).entries.map((entry) => entry.digest),
    [two.digest],
  );
});

test('referrers of a sha512 subject are found under it alone', async (t) => {
  const { owner, list } = await open(t);
  const subject = { ...describe(imageOf([]), imageType), digest: sha512(imageOf([])) };
  const text = imageOf([], { subject });
  const answer = await putManifest(owner, 'acme/app', sha512(text), text);
  assertHeaders(answer, { 'OCI-Subject': subject.digest, 'Docker-Content-Digest': sha512(text) });
  const { entries } = await referrersOf(owner, `/v2/acme/app/referrers/${subject.digest}`);
  assert.deepEqual(entries, [{ ...describe(text, imageType), digest: sha512(text), artifactType: emptyType }]);
  assert.deepEqual((await referrersOf(owner, list())).entries, []);
});

// Media types hold `+`, which some clients send as it is and others as %2B.
test('the filter takes one type or several, with a plus in either spelling, and says that it was applied', async (t) => {
  const { owner, list, refer } = await open(t);
  const json = await refer({ artifactType: 'application/foo+json' });
  const space = await refer({ artifactType: 'application/foo json' });
  const other = await refer({ artifactType: 'application/bar' });
  const config = await refer({ config: describe('{}', 'application/baz+json') });
  const digests = (entries: Entry[]) => entries.map((entry) => entry.digest);
  const table: [string, Descriptor[]][] = [
    ['?artifactType=application/foo+json', [json]],
    ['?artifactType=application%2Ffoo%2Bjson', [json]],
    ['?artifactType=application/foo%20json', [space]],
    ['?artifactType=application/baz%2Bjson', [config]],
    ['?artifactType=application/foo%2Bjson&artifactType=application/bar', [json, other].sort(byDigest)],
    ['?artifactType=application/none', []],
    ['?artifactType=application/FOO%2Bjson', []],
    ['?artifactType=application/foo%252Bjson', []],
  ];
  for (const [query, expected] of table) {
    const { entries, filters } = await referrersOf(owner, list(query));
    assert.deepEqual(digests(entries), digests(expected), query);
    assert.equal(filters, 'artifactType', query);
  }
  for (const query of ['', '?artifactType=', '?unknown=x']) {
    const { entries, filters } = await referrersOf(owner, list(query));
    assert.equal(entries.length, 4);
    assert.equal(filters, undefined);
  }
  const { entries, filters } = await referrersOf(owner, list('?artifactType=a/b', 'acme/never'));
  assert.deepEqual([entries, filters], [[], 'artifactType']);
});

test('a list is walked in pages that keep the filter, each referrer once', async (t) => {
  const { owner, list, refer } = await open(t);
  const all: Descriptor[] = [];
  for (let i = 0; i < 7; i++)
    all.push(await refer({ artifactType: i % 2 ? 'a/odd+x' : 'a/even+x', annotations: { i: `${i}` } }));
  all.sort(byDigest);
  for (const n of [1, 2, 3, 6, 7, 8]) {
    const pages = await walk(owner, list(`?n=${n}`));
    assert.deepEqual(
      pages.flat().map((entry) => entry.digest),
      all.map((entry) => entry.digest),
    );
    assert.equal(pages.length, Math.ceil(7 / n));
    const odd = await walk(owner, list(`?artifactType=a/odd%2Bx&n=${n}`));
    assert.equal(odd.flat().length, 3);
    const both = await walk(owner, list(`?n=${n}&artifactType=a/odd+x&artifactType=a/even+x`));
    assert.equal(both.flat().length, 7);
  }
  for (const bad of ['n=-1', 'n=x', 'last=%00', 'artifactType=%00', 'n=1&artifactType=a%00b']) {
    assert.equal(outcomeOf(await owner('GET', list(`?${bad}`))), '400 UNSUPPORTED', bad);
  }
});

// Contract 1.8: clients read at most 4 MiB of a list. What would break without this: a few large annotations end all of them.
test('a list of large annotations comes in pages below 4 MiB, and is not read whole for the first of them', async (t) => {
  const { owner, list, refer, platform } = await open(t);
  const annotation = 'x'.repeat(1_500_000);
  for (let i = 0; i < 6; i++) await refer({ annotations: { i: `${i}`, annotation } });
  let bytesRead = 0;
  const { entries } = await referrersOf(owner, list());
  assert.ok(entries.length < 6 && entries.length > 0);
  const pages = await walk(async (...request) => {
    const answer = await owner(...request);
    bytesRead = Math.max(bytesRead, answer.bytes.length);
    return answer;
  }, list());
  assert.equal(pages.flat().length, 6);
  assert.equal(new Set(pages.flat().map((entry) => entry.digest)).size, 6);
  assert.ok(bytesRead < 4 * 2 ** 20, `${bytesRead}`);
  const { id } = await platform.db.selectFrom('repositories').select('id').executeTakeFirstOrThrow();
  let fetched = 0;
  const db = platform.db.withPlugin({
    transformQuery: ({ node }) => node,
    async transformResult({ result }) {
      fetched += JSON.stringify(result.rows).length;
      return result;
    },
  });
  const subject = describe(imageOf([]), imageType).digest as Parameters<typeof listReferrers>[2];
  const page = { artifactTypes: [], limit: 1000, after: undefined };
  await listReferrers({ ...platform, db }, { id } as Parameters<typeof listReferrers>[1], subject, page);
  assert.ok(fetched < 4 * 2 ** 20, `${fetched} bytes left the database`);
});

test('referrers are read by who may pull, and hidden from others', async (t) => {
  const { ask, owner, team, list, refer } = await open(t);
  await refer({});
  assert.equal(outcomeOf(await ask('GET', list())), '401 UNAUTHORIZED');
  const pull = await signInFor(ask, `Bearer ${team.secret}`, 'repository:acme/app:pull');
  assert.equal(
    (await referrersOf((method, url) => ask(method, url, { headers: { authorization: pull } }), list())).entries.length,
    1,
  );
  assert.equal(outcomeOf(await owner('GET', list('', 'nobody/app'))), '404 NAME_UNKNOWN');
});
