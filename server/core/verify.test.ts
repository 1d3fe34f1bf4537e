import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { basic, openOci, withAuthorization } from '#test/oci-client.ts';
import { seedTeam } from '#test/platform.ts';
import { listKeys } from '#test/store-view.ts';
import { digestOf } from './digest.ts';
import type { Platform } from './platform.ts';
import { closeRepository, lockDeleting, removeLinks, removeManifests } from './repository-emptying.ts';
import { release } from './sizes.ts';
import { transact } from './transact.ts';
import { type Finding, verify } from './verify.ts';

const layer = Buffer.from('a layer of an image');
const config = Buffer.from('{}');
const manifest = Buffer.from(
  JSON.stringify({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: digestOf(config), size: config.length },
    layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: digestOf(layer), size: layer.length }],
  }),
);

/** A registry with one image, and an upload with one part. */
async function open(t: TestContext) {
  const { platform, ask } = await openOci(t);
  const team = await seedTeam(platform, 'acme');
  const client = withAuthorization(ask, basic(team.secret));
  const push = async (blob: Buffer) => {
    const { headers } = await client('POST', '/v2/acme/app/blobs/uploads/');
    return client('PUT', `${headers.location}?digest=${digestOf(blob)}`, { body: blob });
  };
  for (const blob of [layer, config]) assert.equal((await push(blob)).status, 201);
  const headers = { 'content-type': 'application/vnd.oci.image.manifest.v1+json' };
  assert.equal((await client('PUT', '/v2/acme/app/manifests/v1', { body: manifest, headers })).status, 201);
  const { headers: session } = await client('POST', '/v2/acme/app/blobs/uploads/');
  await client('PATCH', session.location ?? '', { body: Buffer.from('a part') });
  const run = async (flags: { deep?: boolean; repair?: boolean } = {}) => {
    const findings: Finding[] = [];
    const checked = await verify({
      platform,
      deep: false,
      repair: false,
      ...flags,
      report: (one) => findings.push(one),
    });
    return { findings, checked, kinds: findings.map((one) => one.kind) };
  };
  const keyOf = async (blob: Buffer) => {
    const { db } = platform;
    const row = await db
      .selectFrom('blobs')
      .select('object_key')
      .where('digest', '=', digestOf(blob))
      .executeTakeFirstOrThrow();
    return row.object_key;
  };
  return { platform, view: platform.storeView, client, push, run, keyOf };
}

test('an installation at work is well, and everything in it is looked at', async (t) => {
  const { run } = await open(t);
  const { findings, checked } = await run({ deep: true });
  assert.deepEqual(findings, []);
  const bytesRead = layer.length + config.length + manifest.length;
  assert.deepEqual(checked, {
    objects: 3,
    blobs: 2,
    manifests: 1,
    repositories: 1,
    registries: 1,
    secrets: 0,
    bytesRead,
  });
});

test('an object that is gone is found, and with a repair its digest can be pushed again', async (t) => {
  const { run, view, keyOf, push, client } = await open(t);
  await view.loseObject(await keyOf(layer));
  assert.deepEqual((await run()).findings, [
    {
      kind: 'object missing',
      what: `${digestOf(layer)} of acme`,
      expected: `${layer.length} bytes`,
      found: 'nothing',
      repair: undefined,
    },
  ]);
  const url = `/v2/acme/app/blobs/${digestOf(layer)}`;
  assert.equal((await client('HEAD', url)).status, 200, 'looking alone changes nothing');

  assert.deepEqual(
    (await run({ repair: true })).findings.map((one) => one.repair),
    ['marked as lost'],
  );
  assert.equal((await client('HEAD', url)).status, 404);
  assert.deepEqual((await run()).kinds, ['blob lost'], 'it is said until the digest is pushed again, once');
  assert.equal((await push(layer)).status, 201);
  assert.equal((await client('GET', url)).text, layer.toString());
  assert.deepEqual((await run({ deep: true })).findings, []);
});

// No foreign key says so.
test('a blob whose object has no row is found', async (t) => {
  const { platform, run } = await open(t);
  const { db } = platform;
  const blob = await db
    .selectFrom('blobs')
    .select('object_key')
    .where('digest', '=', digestOf(layer))
    .executeTakeFirst();
  await db
    .deleteFrom('objects')
    .where('key', '=', blob?.object_key ?? '')
    .execute();
  assert.deepEqual(
    (await run()).findings.map(({ kind, what, found }) => [kind, what, found]),
    [['blob size', `${digestOf(layer)} of acme`, 'no object']],
  );
});

test('an object of another size is found without reading it', async (t) => {
  const { run, view, keyOf } = await open(t);
  await view.replaceObject(await keyOf(layer), layer.subarray(0, 3));
  const { findings } = await run();
  assert.deepEqual(
    findings.map(({ kind, expected, found }) => [kind, expected, found]),
    [['object of wrong size', layer.length, 3]],
  );
});

test('damage that keeps the size is found by a deep look only', async (t) => {
  const { run, view, keyOf } = await open(t);
  await view.replaceObject(await keyOf(layer), Buffer.alloc(layer.length, 'x'));
  assert.deepEqual((await run()).kinds, []);
  assert.deepEqual((await run({ deep: true, repair: true })).kinds, ['object damaged']);
  assert.deepEqual((await run({ deep: true })).kinds, ['blob lost']);
});

// A network store that is out of reach for a moment must not cost a single blob.
test('an error of the store is reported, and nothing is given up for it', async (t) => {
  const { platform, client } = await open(t);
  const findings: Finding[] = [];
  const blobs = { ...platform.blobs, size: () => Promise.reject(new Error('no route to host')) };
  await verify({ platform: { ...platform, blobs }, deep: false, repair: true, report: (one) => findings.push(one) });
  assert.deepEqual(new Set(findings.map((one) => one.kind)), new Set(['object in doubt']));
  assert.ok(findings.every((one) => one.repair === undefined));
  assert.equal((await client('HEAD', `/v2/acme/app/blobs/${digestOf(layer)}`)).status, 200);
});

test('a manifest that was changed in the database is found', async (t) => {
  const { platform, run } = await open(t);
  await platform.db
    .updateTable('manifests')
    .set({ bytes: Buffer.alloc(manifest.length, 'x') })
    .execute();
  assert.deepEqual((await run({ deep: true })).kinds, ['manifest damaged']);
  await platform.db
    .updateTable('manifests')
    .set({ bytes: Buffer.from('x') })
    .execute();
  assert.deepEqual((await run()).kinds, ['manifest damaged']);
});

test('every counter that drifted is found, corrected by a repair, and right after it', async (t) => {
  const { platform, run } = await open(t);
  const { db } = platform;
  const before = await readCounters(platform);
  await db.updateTable('registries').set({ size: 1, reserved: 2, repository_count: 7 }).execute();
  await db.updateTable('repositories').set({ size: 3, image_count: 8, tag_count: 9, is_listed: 0 }).execute();
  await db.updateTable('manifests').set({ is_attachment: 1 }).execute();
  await db.updateTable('tags').set({ image_pushed_at: null }).execute();
  await db.updateTable('blobs').set({ links: 4 }).where('digest', '=', digestOf(layer)).execute();
  await db.updateTable('objects').set({ refs: 5 }).execute();
  const kinds = [
    'blob links',
    'object uses',
    'object uses',
    'object uses',
    'manifest kind',
    'repository listed',
    'repository size',
    'repository images',
    'repository tags',
    'tags misdated',
    'registry size',
    'registry reserved',
    'registry repositories',
  ];
  assert.deepEqual((await run()).kinds, kinds);
  const repaired = await run({ repair: true });
  const withKinds = kinds.filter((kind) => kind !== 'repository images');
  assert.deepEqual(repaired.kinds, withKinds, 'images are counted again where a manifest turns out to be one');
  assert.ok(repaired.findings.every((one) => one.repair === 'corrected'));
  assert.deepEqual((await run()).findings, []);
  assert.deepEqual(await readCounters(platform), before);
});

const readCounters = async ({ db }: Platform) => [
  await db.selectFrom('registries').select(['size', 'reserved', 'repository_count']).execute(),
  await db.selectFrom('repositories').select(['size', 'image_count', 'tag_count', 'is_listed']).execute(),
  await db.selectFrom('manifests').select('is_attachment').execute(),
  await db.selectFrom('tags').select('image_pushed_at').execute(),
];

test('a registry that is being emptied is well at every moment of it', async (t) => {
  const { platform, run, client } = await open(t);
  assert.equal((await client('HEAD', '/v2/acme/app/manifests/v1')).status, 200);
  const { id: registryId } = await platform.db.selectFrom('registries').select('id').executeTakeFirstOrThrow();
  const { id } = await platform.db.selectFrom('repositories').select('id').executeTakeFirstOrThrow();
  await transact(platform, async (platform) => {
    await lockDeleting(platform, id);
    await release(platform, registryId, 0, 0, await closeRepository(platform, id));
  });
  assert.deepEqual((await run({ deep: true })).findings, []);
  for (const step of [removeManifests, removeLinks]) {
    await transact(platform, async (platform) => {
      await lockDeleting(platform, id);
      const { removed, freedBytes } = await step(platform, { id, registryId });
      assert.ok(removed > 0);
      await release(platform, registryId, freedBytes);
    });
    assert.deepEqual((await run({ deep: true })).findings, []);
  }
});

test('removals that hang are found, and done by a repair; content stays', async (t) => {
  const { platform, client, run } = await open(t);
  const { headers } = await client('POST', '/v2/acme/app/blobs/uploads/');
  await client('PATCH', headers.location ?? '', { body: Buffer.from('thrown away') });
  await client('DELETE', headers.location ?? '');
  assert.deepEqual((await run()).findings, [], 'what is doomed just now is the remover’s work, not a fault');
  platform.clock.advance(2 * 3600_000);
  assert.deepEqual((await run()).kinds, ['removals overdue']);
  assert.equal((await listKeys(platform.storeView)).size, 4);
  assert.deepEqual(
    (await run({ repair: true })).findings.map((one) => one.repair),
    ['removed'],
  );
  assert.equal((await listKeys(platform.storeView)).size, 3);
  assert.deepEqual((await run({ deep: true })).findings, []);
});

test('pushes beside a repair leave counters that are right', async (t) => {
  const { run, push } = await open(t);
  const blobs = Array.from({ length: 30 }, (_, i) => Buffer.from(`layer ${i}`));
  const pushes = Promise.all(blobs.map(push));
  for (let i = 0; i < 5; i++) assert.deepEqual((await run({ repair: true })).findings, []);
  assert.ok((await pushes).every((answer) => answer.status === 201));
  assert.deepEqual((await run({ deep: true })).findings, []);
});
