import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openTestPlatform, type SeededTeam, seedTeam, type TestPlatform } from '#test/platform.ts';
import { listKeys } from '#test/store-view.ts';
import type { Actor } from './actors.ts';
import { listAuditEvents } from './audit-events.ts';
import { digestOf } from './digest.ts';
import { pushManifest } from './manifest-push.ts';
import type { RepositoryName, TagName } from './names.ts';
import { removeDoomed } from './objects.ts';
import { operationHandlers } from './operation-handlers.ts';
import { type ClaimedOperation, claimOperation, runNextOperation } from './operation-runs.ts';
import { getOperation } from './operations.ts';
import type { Platform } from './platform.ts';
import { createRegistry, deleteRegistry, getRegistry } from './registries.ts';
import { openRepository } from './registry-access.ts';
import { runRegistryDeletion } from './registry-deletion.ts';
import { appendChunk } from './upload-chunks.ts';
import { putBlob } from './upload-finish.ts';
import { startUpload } from './uploads.ts';

const manifestType = 'application/vnd.oci.image.manifest.v1+json';

const bodyOf = (bytes: Buffer) => ({
  length: bytes.length,
  bytes: (async function* () {
    yield bytes;
  })(),
});

function open(platform: Platform, actor: Actor, name: string) {
  const [region] = platform.config.regions;
  assert.ok(region);
  return openRepository(platform, actor, { region, name: name as RepositoryName, action: 'push' });
}

async function pushBlob(platform: Platform, actor: Actor, name: string, text: string) {
  const bytes = Buffer.from(text);
  const digest = digestOf(bytes);
  await putBlob(platform, actor, await open(platform, actor, name), { digest, body: bodyOf(bytes) });
  return { digest, size: bytes.length };
}

/** An image with its own config and a layer that says `layer`. */
async function pushImage(
  platform: Platform,
  actor: Actor,
  name: string,
  tag: string,
  layer = `layer of ${name}:${tag}`,
) {
  const config = await pushBlob(platform, actor, name, `{"of":"${name}:${tag}"}`);
  const blob = await pushBlob(platform, actor, name, layer);
  const manifest = {
    schemaVersion: 2,
    mediaType: manifestType,
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...config },
    layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', ...blob }],
  };
  const bytes = Buffer.from(JSON.stringify(manifest));
  const push = { digest: undefined, tags: [tag as TagName], bytes, contentType: manifestType };
  await pushManifest(platform, actor, await open(platform, actor, name), push);
}

async function pushPart(platform: Platform, actor: Actor, name: string) {
  const access = await open(platform, actor, name);
  const upload = await startUpload(platform, actor, access);
  const again = await open(platform, actor, name);
  assert.ok(again.id);
  await appendChunk(platform, actor, { ...again, id: again.id }, upload.id, { body: bodyOf(Buffer.from('half')) });
}

async function rowsOf({ db }: TestPlatform, registryId: string) {
  const left: Record<string, number> = {};
  const repositories = db.selectFrom('repositories').select('id').where('registry_id', '=', registryId);
  for (const table of ['repositories', 'blobs'] as const) {
    left[table] = (
      await db.selectFrom(table).select('registry_id').where('registry_id', '=', registryId).execute()
    ).length;
  }
  for (const table of ['manifests', 'tags', 'repository_blobs', 'uploads', 'manifest_references'] as const) {
    const rows = await db
      .selectFrom(table)
      .select('repository_id')
      .where('repository_id', 'in', repositories)
      .execute();
    left[table] = rows.length;
  }
  return left;
}

const nothing = {
  repositories: 0,
  blobs: 0,
  manifests: 0,
  tags: 0,
  repository_blobs: 0,
  uploads: 0,
  manifest_references: 0,
};

/** What lies in the store after everything doomed has gone. */
async function storedKeys(platform: TestPlatform) {
  platform.clock.advance(11 * 60_000);
  while ((await removeDoomed(platform)) > 0);
  return [...(await listKeys(platform.storeView))];
}

async function runAll(platform: Platform, worker = 'w') {
  while (await runNextOperation(platform, worker, operationHandlers));
}

async function seedContent(platform: TestPlatform, { owner, registryName }: SeededTeam) {
  await pushImage(platform, owner, `${registryName}/app`, 'v1', 'shared');
  await pushImage(platform, owner, `${registryName}/app`, 'v2');
  await pushImage(platform, owner, `${registryName}/deep/er`, 'v1', 'shared');
  await pushBlob(platform, owner, `${registryName}/blobs-only`, 'leased, and in no image');
  await pushPart(platform, owner, `${registryName}/upload-only`);
}

test('a deleted registry frees all it held, its uploads and leases too, and its name', async (t) => {
  const platform = await openTestPlatform(t);
  const team = await seedTeam(platform, 'acme');
  await seedContent(platform, team);
  const before = await getRegistry(platform, team.owner, 'acme');
  assert.ok(before.sizeBytes > 0 && before.reservedBytes > 0);
  const { id } = await deleteRegistry(platform, team.owner, { registry: 'acme' });
  await runAll(platform);
  const operation = await getOperation(platform, team.owner, id);
  assert.deepEqual([operation.state, operation.freedBytes], ['done', before.sizeBytes], 'freed is what it weighed');
  assert.equal(operation.progress.repositories, 4);
  assert.deepEqual(await rowsOf(platform, team.registryId), nothing);
  await assert.rejects(getRegistry(platform, team.owner, team.registryId), { reason: 'not_found' });
  assert.deepEqual(await storedKeys(platform), []);
  assert.deepEqual(await platform.db.selectFrom('objects').selectAll().execute(), []);
  const again = await createRegistry(platform, team.owner, { name: 'acme' });
  assert.notEqual(again.id, team.registryId);
  const { items } = await listAuditEvents(platform, team.owner, { limit: 9, targetId: team.registryId });
  assert.deepEqual(
    items.map(({ action, actor }) => [action, actor.kind]),
    [
      ['registry.removed', 'system'],
      ['registry.delete', 'key'],
    ],
  );
});

test('bytes that another registry holds as well stay readable there', async (t) => {
  const platform = await openTestPlatform(t);
  const [acme, other] = [await seedTeam(platform, 'acme'), await seedTeam(platform, 'other')];
  await pushImage(platform, acme.owner, 'acme/app', 'v1', 'shared');
  await pushImage(platform, other.owner, 'other/app', 'v1', 'shared');
  const size = (await getRegistry(platform, other.owner, 'other')).sizeBytes;
  await deleteRegistry(platform, acme.owner, { registry: 'acme' });
  await runAll(platform);
  assert.equal((await storedKeys(platform)).length, 2, 'its config and the shared layer');
  const blobs = await platform.db.selectFrom('blobs').selectAll().where('registry_id', '=', other.registryId).execute();
  for (const blob of blobs) assert.equal(await platform.blobs.size(blob.object_key), blob.size);
  assert.equal((await getRegistry(platform, other.owner, 'other')).sizeBytes, size);
});

test('more than a batch of manifests and links goes as well', async (t) => {
  const platform = await openTestPlatform(t);
  const { owner, registryId } = await seedTeam(platform, 'acme');
  for (let i = 0; i < 103; i++) await pushImage(platform, owner, 'acme/app', `v${i}`);
  await deleteRegistry(platform, owner, { registry: 'acme' });
  await runAll(platform);
  assert.deepEqual(await rowsOf(platform, registryId), nothing);
});

test('a worker that dies at any step is followed by one that finishes, and nothing is freed twice', async (t) => {
  const platform = await openTestPlatform(t);
  const team = await seedTeam(platform, 'acme');
  await seedContent(platform, team);
  const { sizeBytes } = await getRegistry(platform, team.owner, 'acme');
  const { id } = await deleteRegistry(platform, team.owner, { registry: 'acme' });
  let deaths = 0;
  for (let allowed = 1; ; allowed += 2) {
    platform.clock.advance(61_000);
    const operation = await claimOperation(platform, `mortal-${allowed}`, ['delete_registry']);
    if (!operation) break;
    const hasEnded = await dieAfter(platform, operation, allowed);
    if (hasEnded) break;
    deaths++;
    const { size, reserved } = await platform.db
      .selectFrom('registries')
      .select(['size', 'reserved'])
      .where('id', '=', team.registryId)
      .executeTakeFirstOrThrow();
    assert.ok(size >= 0 && reserved >= 0);
    assert.equal(size + (await getOperation(platform, team.owner, id)).freedBytes, sizeBytes);
  }
  assert.ok(deaths >= 3, `${deaths} deaths`);
  const operation = await getOperation(platform, team.owner, id);
  assert.deepEqual([operation.state, operation.freedBytes], ['done', sizeBytes]);
  assert.deepEqual(await rowsOf(platform, team.registryId), nothing);
  assert.deepEqual(await storedKeys(platform), []);
});

/** Runs the deletion until it has begun so many transactions, then cuts it off. True if it ended before. */
async function dieAfter(platform: TestPlatform, operation: ClaimedOperation, transactions: number): Promise<boolean> {
  const death = new Error('killed');
  let left = transactions;
  const db = new Proxy(platform.db, {
    get(target, property) {
      if (property === 'transaction' && left-- === 0) throw death;
      const value = Reflect.get(target, property);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  try {
    await runRegistryDeletion({ ...platform, db }, operation);
    return true;
  } catch (error) {
    assert.equal(error, death);
    return false;
  }
}

test('a push into a registry that is being deleted is refused or goes with it', async (t) => {
  const platform = await openTestPlatform(t);
  const team = await seedTeam(platform, 'acme');
  const { owner } = team;
  await pushImage(platform, owner, 'acme/app', 'v0');
  const pushes = [1, 2, 3, 4].map(async (i) => {
    try {
      await pushImage(platform, owner, `acme/new-${i}`, 'v1');
    } catch (error) {
      assert.match(String((error as { reason?: string }).reason), /^(not_found|invalid)$/, String(error));
    }
  });
  await deleteRegistry(platform, owner, { registry: 'acme' });
  await Promise.all([...pushes, runAll(platform)]);
  await runAll(platform);
  assert.deepEqual(await rowsOf(platform, team.registryId), nothing);
  await assert.rejects(getRegistry(platform, owner, team.registryId), { reason: 'not_found' });
  assert.deepEqual(await storedKeys(platform), []);
});

test('of two workers on one registry the one that was overtaken stops and the other finishes', async (t) => {
  const platform = await openTestPlatform(t);
  const team = await seedTeam(platform, 'acme');
  await seedContent(platform, team);
  const { id } = await deleteRegistry(platform, team.owner, { registry: 'acme' });
  const stalled = await claimOperation(platform, 'stalled', ['delete_registry']);
  platform.clock.advance(61_000);
  const successor = await claimOperation(platform, 'successor', ['delete_registry']);
  assert.ok(stalled && successor);
  const [late] = await Promise.allSettled([stalled, successor].map((claim) => runRegistryDeletion(platform, claim)));
  assert.equal(late?.status, 'rejected', 'the one that was overtaken stops');
  assert.equal((await getOperation(platform, team.owner, id)).state, 'done');
  assert.deepEqual(await rowsOf(platform, team.registryId), nothing);
  assert.deepEqual(await storedKeys(platform), []);
});
