import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { type Kysely, sql } from 'kysely';
import type { Schema } from '#core/schema.ts';
import { assertSound, copy, makePlace, refused, serveOn, startSource } from '#test/copy-world.ts';
import { findBroken } from '#test/invariants.ts';
import { digestOf, pushBlob, pushImage } from '#test/oci-client.ts';
import { imageOf, putManifest, startSession } from '#test/registry-client.ts';
import { patch, put } from '#test/registry-uploads.ts';
import { tables } from './tables.ts';

/** Everything in the tables, as text, so that both engines say it alike. */
async function dump(db: Kysely<Schema>): Promise<Record<string, string[]>> {
  const found: Record<string, string[]> = {};
  for (const { name, key } of [...tables, { name: 'objects', key: ['key'] }]) {
    const { rows } = await sql<Record<string, unknown>>`select * from ${sql.table(name)}
      order by ${sql.join(key.map((column) => sql.ref(column)))}`.execute(db);
    const kept = name === 'objects' ? rows.filter(({ state }) => state === 'stored') : rows;
    found[name] = kept.map((row) =>
      JSON.stringify(
        Object.entries(row)
          .map(([column, value]) => [
            column,
            value instanceof Uint8Array ? Buffer.from(value).toString('base64') : value,
          ])
          .sort(),
      ),
    );
  }
  return found;
}

test('a copy has every row and every byte, and a server goes on with it', async (t) => {
  for (const kind of ['under test', 'embedded'] as const) {
    const source = await startSource(t);
    const before = await dump(source.platform.db);
    const place = await makePlace(t, kind);
    const copied = await copy(source.place, place);
    assert.deepEqual([copied.isComplete, copied.changesSince, copied.lost], [true, 0, []]);
    const target = await serveOn(t, place, source.team);
    const after = await dump(target.platform.db);
    for (const [table, rows] of Object.entries(before)) assert.deepEqual(after[table], rows, table);
    await assertSound(target);
    assert.equal((await target.owner('GET', '/v2/acme/app-0/manifests/multi')).status, 200);
    await pushImage(target.owner, 'acme/new', 'v1', ['pushed here', 'shared']);
    await assertSound(target);
  }
});

test('a second run copies only what is new and removes what is gone', async (t) => {
  const source = await startSource(t);
  const place = await makePlace(t);
  const first = await copy(source.place, place);
  assert.ok(first.objects.copied > 5);
  await pushBlob(source.owner, 'acme/app-0', 'new');
  const gone = digestOf('layer 1');
  const manifest = await source.owner('GET', '/v2/acme/app-1/manifests/v1');
  const deleted = await source.owner('DELETE', `/v2/acme/app-1/manifests/${manifest.headers['docker-content-digest']}`);
  assert.equal(deleted.status, 202);
  assert.equal((await source.owner('DELETE', `/v2/acme/app-1/blobs/${gone}`)).status, 202);
  const second = await copy(source.place, place);
  assert.deepEqual([second.objects.copied, second.objects.kept, second.removed], [1, first.objects.copied - 1, 1]);
  const target = await serveOn(t, place, source.team);
  await assertSound(target);
  assert.equal((await target.owner('GET', `/v2/acme/app-1/blobs/${gone}`)).status, 404);
  assert.equal((await target.platform.storeView.listObjects()).size, second.objects.copied + second.objects.kept);
});

test('objects that are damaged or missing in the source are lost in the copy, and the rest is there', async (t) => {
  const source = await startSource(t);
  const { platform } = source;
  const keyOf = async (text: string) =>
    (
      await platform.db
        .selectFrom('blobs')
        .select('object_key')
        .where('digest', '=', digestOf(text))
        .executeTakeFirstOrThrow()
    ).object_key;
  await platform.storeView.replaceObject(await keyOf('layer 0'), Buffer.from('lAyer 0'));
  await platform.storeView.loseObject(await keyOf('layer 1'));
  const place = await makePlace(t);
  const copied = await copy(source.place, place);
  assert.equal(copied.isComplete, true);
  assert.deepEqual(
    copied.lost.toSorted((a, b) => a.why.localeCompare(b.why)),
    [
      { what: `${digestOf('layer 0')} of acme`, why: 'damaged' },
      { what: `${digestOf('layer 1')} of acme`, why: 'missing' },
    ],
  );

  // Put back in the source, the next run brings it.
  await platform.storeView.replaceObject(await keyOf('layer 0'), Buffer.from('layer 0'));
  assert.equal((await copy(source.place, place)).lost.length, 1);
  const target = await serveOn(t, place, source.team);
  assert.equal((await target.owner('GET', `/v2/acme/app-0/blobs/${digestOf('layer 0')}`)).text, 'layer 0');
  assert.equal((await target.owner('HEAD', `/v2/acme/app-1/blobs/${digestOf('layer 1')}`)).status, 404);
  await pushBlob(target.owner, 'acme/app-1', 'layer 1');
  await assertSound(target);
});

test('an upload that was in progress is finished in the new place', async (t) => {
  const source = await startSource(t);
  const location = await startSession(source.owner, 'acme/app-0');
  assert.equal((await patch(source.owner, location, 'first half, ')).status, 202);
  const place = await makePlace(t);
  await copy(source.place, place);
  const target = await serveOn(t, place, source.team);
  assert.deepEqual(await findBroken(target.platform), []);
  const text = 'first half, second half';
  assert.equal((await put(target.owner, location, digestOf(text), 'second half')).status, 201);
  assert.equal((await target.owner('GET', `/v2/acme/app-0/blobs/${digestOf(text)}`)).text, text);
  await assertSound(target);
});

test('an upload whose part is lost is given up, with what it had reserved', async (t) => {
  const source = await startSource(t);
  const location = await startSession(source.owner, 'acme/app-0');
  for (const half of ['first ', 'second ']) assert.equal((await patch(source.owner, location, half)).status, 202);
  const { object_key } = await source.platform.db
    .selectFrom('upload_parts')
    .select('object_key')
    .executeTakeFirstOrThrow();
  await source.platform.storeView.loseObject(object_key);
  const place = await makePlace(t);
  const { lost } = await copy(source.place, place);
  assert.equal(lost.length, 1);
  assert.match(lost[0]?.what ?? '', /^a part of the upload /);
  const target = await serveOn(t, place, source.team);
  await assertSound(target);
  assert.equal((await target.owner('GET', location)).status, 404);
});

test('operations wait and claims end: nobody has begun anything in the new place', async (t) => {
  const source = await startSource(t);
  const { db } = source.platform;
  const operation = {
    kind: 'garbage_collection',
    team_id: source.team.teamId,
    registry_id: source.team.registryId,
    repository_id: null,
    state: 'running' as const,
    worker: 'elsewhere',
    claimed_until: 9,
    again: 0,
    attempts: 0,
    freed: 0,
    input: '{}',
    progress: '{}',
    error: null,
    created_at: 1,
    started_at: 1,
    finished_at: null,
  };
  await db
    .insertInto('operations')
    .values({ ...operation, id: 'o' })
    .execute();
  await db
    .insertInto('holds')
    .values({ id: 'h', until: Date.now() + 60_000 })
    .execute();
  const place = await makePlace(t);
  await copy(source.place, place);
  const target = await serveOn(t, place, source.team);
  const found = await target.platform.db
    .selectFrom('operations')
    .select(['state', 'worker', 'claimed_until'])
    .where('id', '=', 'o')
    .executeTakeFirstOrThrow();
  assert.deepEqual({ ...found }, { state: 'queued', worker: null, claimed_until: null });
  assert.deepEqual(await target.platform.db.selectFrom('holds').selectAll().execute(), []);
});

test('large manifests, odd names and other digests are copied as they are', async (t) => {
  const source = await startSource(t);
  const { owner } = source;
  const layer = 'x';
  await pushBlob(owner, 'acme/a/b-c_d.e/f', layer);
  await pushBlob(owner, 'acme/a/b-c_d.e/f', '{}');
  const annotations = { big: 'ä\u0000"\\😀'.repeat(200_000), 'odd\u2028key': '\ud800' };
  const pushed = await putManifest(owner, 'acme/a/b-c_d.e/f', 'Tag.with-ALL_kinds', imageOf([layer], { annotations }));
  assert.equal(pushed.status, 201, pushed.text);
  const sha512 = `sha512:${createHash('sha512').update('strong').digest('hex')}`;
  const location = await startSession(owner, 'acme/app-0', '?digest-algorithm=sha512');
  assert.equal((await put(owner, location, sha512, 'strong')).status, 201);
  const place = await makePlace(t);
  await copy(source.place, place);
  const target = await serveOn(t, place, source.team);
  await assertSound(target);
  const [there, here] = await Promise.all(
    [source, target].map((one) => one.owner('GET', '/v2/acme/a/b-c_d.e/f/manifests/Tag.with-ALL_kinds')),
  );
  assert.ok(here?.bytes.equals(there?.bytes ?? Buffer.alloc(0)));
});

// Else a misspelt prefix would make a copy in which every blob is given up.
test('a source whose objects are looked for in the wrong place is refused, and marks nothing as lost', async (t) => {
  const source = await serveOn(t, await makePlace(t));
  for (let i = 0; i < 24; i++) await pushImage(source.owner, 'acme/app', `v${i}`, [`layer ${i}`]);
  const place = await makePlace(t);
  const nothing = { read: async () => undefined };
  const wrong = copy(source.place, place, {
    source: (opened) => ({ ...opened, blobs: { ...opened.blobs, ...nothing } }),
  });
  await assert.rejects(
    wrong,
    refused(
      'unavailable',
      /^(\d+) of \1 objects are not in .*(objects|LADING_STORAGE_URL).*nothing was marked as lost/,
    ),
  );
  await assert.rejects(serveOn(t, place, source.team), refused('unavailable', /unfinished copy/));
  await copy(source.place, place);
  await assertSound(await serveOn(t, place, source.team));
});
