import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { findBroken } from '#test/invariants.ts';
import { seedKey, seedTeam } from '#test/platform.ts';
import {
  describe,
  imageOf,
  indexOf,
  indexType,
  openRegistry,
  pushManifest,
  type Registry,
  sha256,
  uploadBlob,
} from '#test/registry-client.ts';
import { listKeys } from '#test/store-view.ts';
import { queueCollection, runCollection, startCollection } from './collection.ts';
import { getCollectionPreview } from './collection-preview.ts';
import { digestOf } from './digest.ts';
import { leaseMs } from './links.ts';
import type { RepositoryName } from './names.ts';
import { removeDoomed } from './objects.ts';
import { operationHandlers } from './operation-handlers.ts';
import { claimOperation, runNextOperation } from './operation-runs.ts';
import { getOperation } from './operations.ts';
import { getRegion } from './regions.ts';
import { getRegistry } from './registries.ts';
import { openRepository } from './registry-access.ts';
import { putBlob } from './upload-finish.ts';

type Options = { deleteUntagged?: boolean };

/** Starts a collection and waits for its end. Answers what it says of itself. */
async function collect({ platform, team }: Registry, { deleteUntagged = false }: Options = {}) {
  const { id } = await startCollection(platform, team.owner, { registry: 'acme', deleteUntagged });
  while (await runNextOperation(platform, 'test', operationHandlers));
  return getOperation(platform, team.owner, id);
}

const preview = ({ platform, team }: Registry) => getCollectionPreview(platform, team.owner, 'acme');
const sizeOf = async ({ platform, team }: Registry) => (await getRegistry(platform, team.owner, 'acme')).sizeBytes;

async function pushImage({ owner }: Registry, repository: string, reference: string, layers: string[], fields = {}) {
  await uploadBlob(owner, repository, '{}');
  for (const layer of layers) await uploadBlob(owner, repository, layer);
  const body = imageOf(layers, fields);
  await pushManifest(owner, repository, reference === 'digest' ? sha256(body) : reference, body);
  return body;
}

const has = async ({ owner }: Registry, repository: string, text: string) =>
  (await owner('HEAD', `/v2/${repository}/blobs/${sha256(text)}`)).status === 200;
const hasManifest = async ({ owner }: Registry, repository: string, reference: string) =>
  (await owner('GET', `/v2/${repository}/manifests/${reference}`)).status === 200;
const remove = ({ owner }: Registry, repository: string, body: string) =>
  owner('DELETE', `/v2/${repository}/manifests/${sha256(body)}`);

/** Past every lease that pushes and HEADs have taken. */
const outlive = ({ platform }: Registry) => platform.clock.advance(leaseMs + 1);

test('collecting right after an image was deleted frees what only it needed, and its bytes leave the store', async (t) => {
  const registry = await openRegistry(t);
  const gone = await pushImage(registry, 'acme/app', 'v1', ['shared', 'only in v1']);
  await pushImage(registry, 'acme/app', 'v2', ['shared', 'only in v2']);
  const before = await sizeOf(registry);
  await removeDoomed(registry.platform);
  const objects = (await listKeys(registry.platform.storeView)).size;
  await remove(registry, 'acme/app', gone);
  const operation = await collect(registry);
  assert.equal(operation.state, 'done');
  assert.equal(operation.freedBytes, 'only in v1'.length);
  assert.equal(await sizeOf(registry), before - gone.length - 'only in v1'.length);
  assert.equal(await has(registry, 'acme/app', 'only in v1'), false);
  assert.equal(await has(registry, 'acme/app', 'shared'), true);
  assert.equal((await listKeys(registry.platform.storeView)).size, objects, 'bytes stay for those who read them now');
  registry.platform.clock.advance(11 * 60_000);
  await removeDoomed(registry.platform);
  assert.equal((await listKeys(registry.platform.storeView)).size, objects - 1);
  assert.deepEqual(await findBroken(registry.platform), []);
});

test('what was uploaded for an image to come is safe until its lease is over', async (t) => {
  const registry = await openRegistry(t);
  await uploadBlob(registry.owner, 'acme/app', 'a layer to come');
  const { leasedBytes, leasedUntil, unreferencedBytes } = await preview(registry);
  assert.deepEqual([leasedBytes, unreferencedBytes], ['a layer to come'.length, 0]);
  assert.equal(leasedUntil, registry.platform.now() + leaseMs);
  assert.equal((await collect(registry)).freedBytes, 0);
  assert.equal(await has(registry, 'acme/app', 'a layer to come'), true);
  outlive(registry);
  assert.equal((await collect(registry)).freedBytes, 'a layer to come'.length);
  assert.equal(await has(registry, 'acme/app', 'a layer to come'), false);
});

test('a collection of many batches counts every link once, and asks for its claim in each', async (t) => {
  const registry = await openRegistry(t);
  const { platform, team } = registry;
  const { db } = platform;
  await uploadBlob(registry.owner, 'acme/app', 'x');
  await addBlobs(platform, 330);
  outlive(registry);
  const { id } = await startCollection(platform, team.owner, { registry: 'acme', deleteUntagged: false });
  const claimed = await claimOperation(platform, 'slow', ['garbage_collection']);
  assert.ok(claimed);
  await assert.rejects(runCollection(platform, { ...claimed, claim: 'another worker' }), { reason: 'precondition' });
  const listLinks = () => db.selectFrom('repository_blobs').select('digest').execute();
  assert.equal((await listLinks()).length, 331, 'both batches under way were rolled back');
  await runCollection(platform, claimed);
  const { state, progress, freedBytes } = await getOperation(platform, team.owner, id);
  assert.deepEqual([state, progress, freedBytes], ['done', { repositories: 1, links: 331 }, 331]);
  assert.equal(await sizeOf(registry), 0);
  assert.deepEqual(await listLinks(), []);
  assert.deepEqual(await db.selectFrom('objects').select('key').where('state', '=', 'stored').execute(), []);
});

/** One byte each, unreferenced, in the only repository. Without files: nobody reads them. */
async function addBlobs({ db }: Registry['platform'], count: number): Promise<void> {
  const link = await db.selectFrom('repository_blobs').selectAll().executeTakeFirstOrThrow();
  const blob = await db.selectFrom('blobs').selectAll().executeTakeFirstOrThrow();
  const object = await db
    .selectFrom('objects')
    .selectAll()
    .where('key', '=', blob.object_key)
    .executeTakeFirstOrThrow();
  const digests = Array.from({ length: count }, (_, n) => sha256(`blob ${n}`));
  await db
    .insertInto('objects')
    .values(digests.map((key) => ({ ...object, key })))
    .execute();
  await db
    .insertInto('blobs')
    .values(digests.map((digest) => ({ ...blob, digest, object_key: digest })))
    .execute();
  await db
    .insertInto('repository_blobs')
    .values(digests.map((digest) => ({ ...link, digest })))
    .execute();
  await db
    .updateTable('registries')
    .set({ size: count + 1 })
    .execute();
  await db
    .updateTable('repositories')
    .set({ size: count + 1 })
    .execute();
}

test('a blob that another repository of the registry needs frees nothing', async (t) => {
  const registry = await openRegistry(t);
  const body = await pushImage(registry, 'acme/app', 'v1', ['common']);
  await pushImage(registry, 'acme/lib', 'v1', ['common']);
  await remove(registry, 'acme/app', body);
  assert.equal((await preview(registry)).unreferencedBytes, 0);
  assert.equal((await collect(registry)).freedBytes, 0);
  assert.equal(await has(registry, 'acme/app', 'common'), false);
  assert.equal(await has(registry, 'acme/lib', 'common'), true);
});

test('images without a tag go only when that is asked for', async (t) => {
  const registry = await openRegistry(t);
  const old = await pushImage(registry, 'acme/app', 'latest', ['old']);
  await pushImage(registry, 'acme/app', 'latest', ['new']);
  outlive(registry);
  assert.equal((await preview(registry)).untaggedBytes, old.length + 'old'.length);
  await collect(registry);
  assert.equal(await hasManifest(registry, 'acme/app', sha256(old)), true);
  outlive(registry);
  const { freedBytes, progress } = await collect(registry, { deleteUntagged: true });
  assert.equal(freedBytes, old.length + 'old'.length);
  assert.deepEqual(progress, { repositories: 1, manifests: 1, links: 1 });
  assert.equal(await hasManifest(registry, 'acme/app', sha256(old)), false);
  assert.equal(await hasManifest(registry, 'acme/app', 'latest'), true);
});

test('a tagged index keeps what it lists, an image keeps its signatures and SBOMs, and they go with it', async (t) => {
  const registry = await openRegistry(t);
  const { owner } = registry;
  const child = await pushImage(registry, 'acme/app', 'digest', ['of the child']);
  const index = indexOf([describe(child)]);
  await pushManifest(owner, 'acme/app', 'v1', index, indexType);
  const subject = describe(index, indexType);
  const sbom = await pushImage(registry, 'acme/app', 'digest', ['an sbom'], { subject });
  const signature = await pushImage(registry, 'acme/app', `${sha256(index).replace(':', '-')}.sig`, ['a signature']);
  outlive(registry);
  assert.equal((await preview(registry)).untaggedBytes, 0);
  assert.equal((await collect(registry, { deleteUntagged: true })).freedBytes, 0);
  const all = [child, index, sbom, signature];
  for (const body of all) assert.equal(await hasManifest(registry, 'acme/app', sha256(body)), true);

  outlive(registry);
  await remove(registry, 'acme/app', index);
  const { untaggedBytes, unreferencedBytes } = await preview(registry);
  const { freedBytes } = await collect(registry, { deleteUntagged: true });
  assert.equal(freedBytes, untaggedBytes + unreferencedBytes);
  assert.equal(await sizeOf(registry), 0, 'nothing is left');
  assert.deepEqual(await findBroken(registry.platform), []);
});

test('manifests that keep only each other go together', async (t) => {
  const registry = await openRegistry(t);
  const { owner } = registry;
  const child = await pushImage(registry, 'acme/app', 'digest', ['of the child']);
  await pushManifest(owner, 'acme/app', 'v1', indexOf([describe(child)], { subject: describe(child) }), indexType);
  await owner('DELETE', '/v2/acme/app/manifests/v1');
  outlive(registry);
  const { untaggedBytes } = await preview(registry);
  assert.equal(untaggedBytes, await sizeOf(registry));
  assert.equal((await collect(registry, { deleteUntagged: true })).freedBytes, untaggedBytes);
  assert.equal(await sizeOf(registry), 0);
});

test('a signature in a repository of its own, where its subject is not, is an image like any other', async (t) => {
  const registry = await openRegistry(t);
  const image = await pushImage(registry, 'acme/app', 'v1', ['app']);
  await pushImage(registry, 'acme/signatures', `${sha256(image).replace(':', '-')}.sig`, ['a signature']);
  outlive(registry);
  assert.equal((await collect(registry, { deleteUntagged: true })).freedBytes, 0);
});

test('one collection at a time is started by hand; one asked for by the system meanwhile runs afterwards', async (t) => {
  const registry = await openRegistry(t);
  const { platform, team } = registry;
  const start = () => startCollection(platform, team.owner, { registry: 'acme', deleteUntagged: false });
  const seen = await getRegistry(platform, team.owner, 'acme');
  assert.equal(seen.status, 'active');
  const { id } = await start();
  assert.equal((await getRegistry(platform, team.owner, 'acme')).status, 'collecting');
  await assert.rejects(start(), { reason: 'conflict' });
  const operation = await claimOperation(platform, 'w', ['garbage_collection']);
  assert.ok(operation);
  await assert.rejects(start(), { reason: 'conflict' });
  // Garbage that comes behind the back of the one that runs.
  await queueCollection(platform, seen);
  await queueCollection(platform, seen);
  await runCollection(platform, operation);
  assert.equal((await getOperation(platform, team.owner, id)).state, 'queued');
  while (await runNextOperation(platform, 'test', operationHandlers));
  assert.equal((await getOperation(platform, team.owner, id)).state, 'done');
  assert.equal((await getRegistry(platform, team.owner, 'acme')).status, 'active');
  await queueCollection(platform, seen);
  await queueCollection(platform, seen);
  assert.equal(await runNextOperation(platform, 'test', operationHandlers), true);
  assert.equal(await runNextOperation(platform, 'test', operationHandlers), false);
});

test('a repository ends when a collection finds nothing in it, and a push under way makes it again', async (t) => {
  const registry = await openRegistry(t);
  const { platform, team } = registry;
  const body = await pushImage(registry, 'acme/app', 'v1', ['layer']);
  await remove(registry, 'acme/app', body);
  const paths = async () => (await platform.db.selectFrom('repositories').select('name').execute()).map((r) => r.name);
  assert.deepEqual(await paths(), ['app']);
  const query = { region: getRegion(platform), name: 'acme/app' as RepositoryName, action: 'push' } as const;
  const access = await openRepository(platform, team.owner, query);
  const bytes = Buffer.from('a layer to come');
  async function* duringCollection() {
    await collect(registry);
    assert.deepEqual(await paths(), []);
    yield bytes;
  }
  const input = { digest: digestOf(bytes), body: { bytes: duringCollection(), length: bytes.length } };
  await putBlob(platform, team.owner, access, input);
  assert.deepEqual(await paths(), ['app']);
  outlive(registry);
  await collect(registry);
  assert.deepEqual(await paths(), []);
  const { repository_count } = await platform.db
    .selectFrom('registries')
    .select('repository_count')
    .executeTakeFirstOrThrow();
  assert.equal(repository_count, 0);
});

test('an upload under way keeps its repository', async (t) => {
  const registry = await openRegistry(t);
  const { owner } = registry;
  const { headers } = await owner('POST', '/v2/acme/app/blobs/uploads/');
  await collect(registry);
  const url = `${headers.location}?digest=${sha256('layer')}`;
  assert.equal((await owner('PUT', url, { body: 'layer' })).status, 201);
});

test('nobody collects without the permission, in another team or outside their projects', async (t) => {
  const registry = await openRegistry(t);
  const { platform, team } = registry;
  const input = { registry: team.registryId, deleteUntagged: true };
  const reader = await seedKey(platform, team.teamId, { permissions: ['registries:read'] });
  await assert.rejects(startCollection(platform, reader.actor, input), { reason: 'denied' });
  const stranger = await seedTeam(platform, 'other');
  await assert.rejects(startCollection(platform, stranger.owner, input), { reason: 'not_found' });
  await assert.rejects(getCollectionPreview(platform, stranger.owner, team.registryId), { reason: 'not_found' });
  const elsewhere = await seedKey(platform, team.teamId, { permissions: ['*'], projectIds: [stranger.projectId] });
  await assert.rejects(startCollection(platform, elsewhere.actor, input), { reason: 'not_found' });
});

// Graphs of every shape: images that share layers across repositories, indexes, referrers, tags that moved away, manifests
// deleted by name, blobs uploaded for nothing.
const node = fc.record({
  repository: fc.constantFrom('acme/app', 'acme/lib'),
  kind: fc.constantFrom('image', 'image', 'index'),
  layers: fc.uniqueArray(fc.nat(5), { maxLength: 3 }),
  children: fc.uniqueArray(fc.nat(20), { maxLength: 3 }),
  subject: fc.option(fc.nat(20)),
  tag: fc.option(fc.constantFrom('v1', 'v2', 'v3')),
  isDeleted: fc.boolean(),
});
const graph = fc.record({
  nodes: fc.array(node, { minLength: 1, maxLength: 14 }),
  loose: fc.array(fc.record({ repository: fc.constantFrom('acme/app', 'acme/lib'), layer: fc.nat(8) })),
});

test('the preview is what a collection right after frees, to the byte, for both kinds', async (t) => {
  await fc.assert(
    fc.asyncProperty(graph, fc.boolean(), async ({ nodes, loose }, deleteUntagged) => {
      const scope = { after: (end: () => unknown) => ends.unshift(end) };
      const ends: (() => unknown)[] = [];
      try {
        const registry = await openRegistry(scope as never);
        await build(registry, nodes, loose);
        outlive(registry);
        const { unreferencedBytes, untaggedBytes } = await preview(registry);
        const expected = unreferencedBytes + (deleteUntagged ? untaggedBytes : 0);
        assert.equal((await collect(registry, { deleteUntagged })).freedBytes, expected);
        assert.deepEqual((await preview(registry)).unreferencedBytes, 0);
        if (deleteUntagged) assert.equal((await preview(registry)).untaggedBytes, 0);
        assert.deepEqual(await findBroken(registry.platform, { deletedByName: everything }), []);
      } finally {
        for (const end of ends) await end();
      }
    }),
    { numRuns: Number(process.env.LADING_TEST_RUNS ?? 12) },
  );
  t.diagnostic('graphs were built, previewed and collected');
});

const everything = { has: () => true } as unknown as ReadonlySet<string>;

type Node = typeof node extends fc.Arbitrary<infer T> ? T : never;

async function build(registry: Registry, nodes: Node[], loose: { repository: string; layer: number }[]): Promise<void> {
  const { owner } = registry;
  const pushed: { repository: string; body: string; type: string | undefined }[] = [];
  for (const { repository, layer } of loose) await uploadBlob(owner, repository, `layer ${layer}`);
  for (const [i, { repository, kind, layers, children, subject, tag }] of nodes.entries()) {
    const here = pushed.filter((one) => one.repository === repository);
    const pick = (n: number) => here[n % Math.max(here.length, 1)];
    const of = subject === null ? undefined : pick(subject);
    const fields = { annotations: { n: `${i}` }, ...(of && { subject: describe(of.body, of.type) }) };
    const listed = new Set(children.map(pick).filter((one) => one !== undefined));
    const isIndex = kind === 'index';
    const body = isIndex
      ? indexOf(
          [...listed].map((one) => describe(one.body, one.type)),
          fields,
        )
      : await pushImage(
          registry,
          repository,
          'digest',
          layers.map((n) => `layer ${n}`),
          fields,
        );
    const type = isIndex ? indexType : undefined;
    await pushManifest(owner, repository, tag ?? sha256(body), body, type);
    pushed.push({ repository, body, type });
  }
  for (const [i, { isDeleted }] of nodes.entries()) {
    const one = pushed[i];
    if (isDeleted && one) await remove(registry, one.repository, one.body);
  }
}

test('another key of the team sees the operation and how far it is', async (t) => {
  const registry = await openRegistry(t);
  const { platform, team } = registry;
  const other = await seedKey(platform, team.teamId, { permissions: ['registries:read'] });
  const { id } = await collect(registry);
  const { kind, state, input, registryName } = await getOperation(platform, other.actor, id);
  assert.deepEqual([kind, state, registryName], ['garbage_collection', 'done', 'acme']);
  assert.deepEqual(input, { deleteUntagged: false });
});
