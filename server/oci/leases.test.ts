import assert from 'node:assert/strict';
import { test } from 'node:test';
import { leaseMs } from '#core/links.ts';
import { createToken } from '#core/tokens.ts';
import { type Ask, pushBlob, pushImage, withAuthorization } from '#test/oci-client.ts';
import { openRegistry, type Registry, sha256 } from '#test/registry-client.ts';

// Who keeps what alive by looking at it: the promise of a 200 to someone who may push.

async function leaseOf({ platform }: Registry, digest: string) {
  const { leased_until, leased_by } = await platform.db
    .selectFrom('repository_blobs')
    .select(['leased_until', 'leased_by'])
    .where('digest', '=', digest)
    .executeTakeFirstOrThrow();
  return { until: leased_until - platform.now(), by: leased_by };
}

async function readerOf({ ask, platform, team }: Registry): Promise<Ask> {
  const { secret } = await createToken(platform, team.owner, { mode: 'ro', registryIds: null });
  return withAuthorization(ask, `Bearer ${secret}`);
}

// What would break without this: a push that skipped a layer it saw here could lose it to a collection before its manifest.
test('a HEAD by who may push keeps the blob for at least half a lease, and writes only when less is left', async (t) => {
  const registry = await openRegistry(t);
  const { owner, platform } = registry;
  const digest = await pushBlob(owner, 'acme/app', 'leased');
  assert.equal((await leaseOf(registry, digest)).until, leaseMs);
  platform.clock.advance(leaseMs / 2);
  await owner('HEAD', `/v2/acme/app/blobs/${digest}`);
  assert.equal((await leaseOf(registry, digest)).until, leaseMs / 2, 'half is left: a HEAD stays a read');
  platform.clock.advance(1);
  await owner('HEAD', `/v2/acme/app/blobs/${digest}`);
  assert.equal((await leaseOf(registry, digest)).until, leaseMs);
  platform.clock.advance(2 * leaseMs);
  await owner('HEAD', `/v2/acme/app/blobs/${digest}`);
  assert.equal((await leaseOf(registry, digest)).until, leaseMs, 'one that had run out is taken anew');
});

// What would break without this: pulls by whoever may also push would write, and fail where nothing can be written.
test('a GET of a blob writes nothing, by whomever', async (t) => {
  const registry = await openRegistry(t);
  const digest = await pushBlob(registry.owner, 'acme/app', 'read');
  registry.platform.clock.advance(2 * leaseMs);
  const before = await leaseOf(registry, digest);
  assert.equal((await registry.owner('GET', `/v2/acme/app/blobs/${digest}`)).status, 200);
  assert.deepEqual(await leaseOf(registry, digest), before);
});

test('a HEAD by who may only pull writes nothing', async (t) => {
  const registry = await openRegistry(t);
  const { owner, platform } = registry;
  const digest = await pushBlob(owner, 'acme/app', 'read');
  const image = await pushImage(owner, 'acme/app', 'v1');
  const reader = await readerOf(registry);
  platform.clock.advance(2 * leaseMs);
  const before = await leaseOf(registry, digest);
  const manifest = () => platform.db.selectFrom('manifests').select(['leased_until', 'leased_by']).execute();
  const manifests = await manifest();
  for (const method of ['GET', 'HEAD']) {
    assert.equal((await reader(method, `/v2/acme/app/blobs/${digest}`)).status, 200);
    for (const reference of ['v1', image]) {
      assert.equal((await reader(method, `/v2/acme/app/manifests/${reference}`)).status, 200);
    }
  }
  assert.deepEqual(await leaseOf(registry, digest), before);
  assert.deepEqual(await manifest(), manifests);
});

test('a lease that two pushers hold belongs to both: neither can end it', async (t) => {
  const registry = await openRegistry(t);
  const { owner, ask, platform, team } = registry;
  const second = await createToken(platform, team.owner, { mode: 'rw', registryIds: null });
  const other = withAuthorization(ask, `Bearer ${second.secret}`);
  const layer = await pushBlob(owner, 'acme/app', 'layer');
  assert.equal((await leaseOf(registry, layer)).by, team.owner.id);
  assert.equal((await other('HEAD', `/v2/acme/app/blobs/${layer}`)).status, 200);
  assert.equal((await leaseOf(registry, layer)).by, '*');
  const image = await pushImage(owner, 'acme/app', 'v1', ['layer']);
  assert.ok((await leaseOf(registry, layer)).until > 0, "the other's push is still in flight");
  await owner('DELETE', `/v2/acme/app/manifests/${image}`);
  assert.ok((await leaseOf(registry, layer)).until > 0);
});

test("a push ends its own holder's leases, so that deleting its image leaves nothing leased", async (t) => {
  const registry = await openRegistry(t);
  await pushImage(registry.owner, 'acme/app', 'v1', ['mine']);
  assert.ok((await leaseOf(registry, sha256('mine'))).until <= 0);
  assert.ok((await leaseOf(registry, sha256('{}'))).until <= 0);
});
