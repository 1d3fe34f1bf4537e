import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digest, expectStatus, pushBlob, useRegistry } from './registry.ts';

const registry = useRegistry();

const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const INDEX = 'application/vnd.oci.image.index.v1+json';

async function push(repository: string, tag: string, fields: Record<string, unknown> = {}): Promise<string> {
  const config = Buffer.from('{}');
  const described = {
    mediaType: 'application/vnd.oci.empty.v1+json',
    digest: await pushBlob(registry, repository, config),
    size: 2,
  };
  const body = JSON.stringify({ schemaVersion: 2, mediaType: MANIFEST, config: described, layers: [], ...fields });
  const path = `/v2/${repository}/manifests/${tag === '' ? digest(body) : tag}`;
  expectStatus(await registry.ask('PUT', path, { body, headers: { 'content-type': MANIFEST } }), 201);
  return digest(body);
}

async function page(path: string): Promise<{ tags: string[]; next: string | undefined }> {
  const answer = expectStatus(await registry.ask('GET', path), 200);
  const next = /^<([^>]+)>; *rel="?next"?$/.exec(answer.headers.get('link') ?? '')?.[1];
  return { tags: JSON.parse(answer.bytes.toString()).tags, next };
}

test('the API answers at its root', async () => {
  expectStatus(await registry.ask('GET', '/v2/'), 200);
  const anonymous = await fetch(`${registry.lading.url}/v2/`);
  assert.equal(anonymous.status, 401);
  assert.match(anonymous.headers.get('www-authenticate') ?? '', /^Bearer realm="http/);
  await anonymous.arrayBuffer();
});

test('a repository that was never used has no tags and no referrers', async () => {
  const repository = registry.repository();
  expectStatus(await registry.ask('GET', `/v2/${repository}/tags/list`), 200, 404);
  const answer = expectStatus(await registry.ask('GET', `/v2/${repository}/referrers/${digest('any')}`), 200);
  assert.equal(answer.headers.get('content-type'), INDEX);
  assert.deepEqual(JSON.parse(answer.bytes.toString()).manifests, []);
  expectStatus(await registry.ask('GET', `/v2/${repository}/referrers/sha256:short`), 400);
});

test('tags come in byte order, in pages that lead to each other and name each tag once', async () => {
  const repository = registry.repository();
  const tags = ['1.0', '1.0-rc', 'B', 'Latest', '_x', 'a', 'b.1'];
  for (const tag of [...tags].reverse()) await push(repository, tag);
  const list = `/v2/${repository}/tags/list`;
  assert.deepEqual(await page(list), { tags, next: undefined });
  const seen: string[] = [];
  for (let next: string | undefined = `${list}?n=3`; next !== undefined; ) {
    const got = await page(next);
    assert.ok(got.tags.length === 3 || got.next === undefined);
    seen.push(...got.tags);
    next = got.next;
  }
  assert.deepEqual(seen, tags);
  assert.deepEqual((await page(`${list}?last=B`)).tags, tags.slice(3));
  assert.deepEqual((await page(`${list}?last=C&n=2`)).tags, ['Latest', '_x']);
  assert.deepEqual(await page(`${list}?n=0`), { tags: [], next: undefined });
  expectStatus(await registry.ask('GET', `${list}?n=-1`), 400);
});

test('referrers are filtered by type when asked, and it is said that they were', async () => {
  const repository = registry.repository();
  const name = await push(repository, 'subject');
  const subject = { mediaType: MANIFEST, digest: name, size: 1 };
  const types = ['application/vnd.lading.a+json', 'application/vnd.lading.b'];
  for (const artifactType of types)
    await push(repository, '', { subject, artifactType, annotations: { t: artifactType } });
  const ask = async (query: string) => {
    const answer = expectStatus(await registry.ask('GET', `/v2/${repository}/referrers/${name}${query}`), 200);
    const { manifests } = JSON.parse(answer.bytes.toString()) as { manifests: { artifactType: string }[] };
    return {
      types: manifests.map((one) => one.artifactType).sort(),
      filters: answer.headers.get('oci-filters-applied'),
    };
  };
  assert.deepEqual(await ask(''), { types, filters: null });
  for (const type of types) {
    assert.deepEqual(await ask(`?artifactType=${encodeURIComponent(type)}`), {
      types: [type],
      filters: 'artifactType',
    });
  }
  assert.deepEqual(await ask('?artifactType=none'), { types: [], filters: 'artifactType' });
});

test('a method that a route does not know is refused with those it knows', async () => {
  const answer = await registry.ask('POST', `/v2/${registry.repository()}/tags/list`);
  expectStatus(answer, 405);
  assert.match(answer.headers.get('allow') ?? '', /GET/);
  expectStatus(await registry.ask('GET', '/v2/default/app/nothing/here'), 404);
});
