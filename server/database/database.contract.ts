import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sql } from 'kysely';
import type { Platform } from '#core/platform.ts';
import { transact } from '#core/transact.ts';
import { openTestPlatform, seedTeam } from '#test/platform.ts';

// What the core relies on in both engines. `database.test.ts` runs it on the engine under test.

export function testDatabase(engine: string): void {
  const on = (name: string) => `${engine}: ${name}`;

  test(on('a transaction that throws leaves nothing'), async (t) => {
    const platform = await openTestPlatform(t);
    await assert.rejects(
      transact(platform, async (platform) => {
        await insertTeam(platform, 'a');
        throw new Error('changed my mind');
      }),
      /changed my mind/,
    );
    assert.deepEqual(await teamNames(platform), []);
  });

  test(on('a statement that fails takes the whole transaction with it'), async (t) => {
    const platform = await openTestPlatform(t);
    await assert.rejects(
      transact(platform, async (platform) => {
        await insertTeam(platform, 'a');
        await insertTeam(platform, 'a');
      }),
    );
    assert.deepEqual(await teamNames(platform), []);
    await insertTeam(platform, 'b');
    assert.deepEqual(await teamNames(platform), ['b']);
  });

  test(on('a read waits for no transaction and sees nothing of it before its end'), async (t) => {
    const platform = await openTestPlatform(t);
    const { db } = platform;
    await transact(platform, async (platform) => {
      await insertTeam(platform, 'a');
      assert.deepEqual(await teamNames(platform), ['a']);
      const outside = await db.selectFrom('teams').select('name').execute();
      assert.deepEqual(outside, []);
      const raw = await sql<{ n: number }>`select count(*) as n from teams`.execute(db);
      assert.equal(raw.rows[0]?.n, 0);
    });
    assert.deepEqual(await teamNames(platform), ['a']);
  });

  test(on('a read after a transaction sees what it committed, every time'), async (t) => {
    const platform = await openTestPlatform(t);
    for (let n = 1; n <= 50; n++) {
      await transact(platform, (platform) => insertTeam(platform, `team-${n}`));
      assert.equal((await teamNames(platform)).length, n);
    }
  });

  test(on('transactions that change one row take turns and lose no change'), async (t) => {
    const platform = await openTestPlatform(t);
    const { registryId } = await seedTeam(platform, 'acme');
    const seen = await Promise.all(
      Array.from({ length: 40 }, () =>
        transact(platform, async ({ db }) => {
          const row = await db
            .updateTable('registries')
            .set({ size: sql`size + 1` })
            .where('id', '=', registryId)
            .returning('size')
            .executeTakeFirstOrThrow();
          await new Promise((resolve) => setImmediate(resolve));
          const after = await db.selectFrom('registries').select('size').where('id', '=', registryId).execute();
          assert.equal(after[0]?.size, row.size, 'nobody else changed it before our end');
          return row.size;
        }),
      ),
    );
    assert.deepEqual(
      seen.sort((a, b) => a - b),
      Array.from({ length: 40 }, (_, n) => n + 1),
    );
  });

  test(on('single writes beside transactions are neither lost nor part of them'), async (t) => {
    const platform = await openTestPlatform(t);
    const transactions = Array.from({ length: 20 }, (_, n) =>
      transact(platform, async (platform) => {
        await insertTeam(platform, `rolled-back-${n}`);
        await new Promise((resolve) => setImmediate(resolve));
        throw new Error('no');
      }).catch(() => 'rolled back'),
    );
    const singles = Array.from({ length: 20 }, (_, n) => insertTeam(platform, `kept-${n}`));
    const [answers] = await Promise.all([Promise.all(transactions), Promise.all(singles)]);
    assert.equal(answers.filter((answer) => answer === 'rolled back').length, 20);
    assert.equal((await teamNames(platform)).length, 20);
    assert.ok((await teamNames(platform)).every((name) => name.startsWith('kept-')));
  });

  test(on('of two conditional updates of one row exactly one hits'), async (t) => {
    const platform = await openTestPlatform(t);
    const { registryId } = await seedTeam(platform, 'acme');
    const claim = () =>
      transact(platform, ({ db }) =>
        db
          .updateTable('registries')
          .set({ size: 1 })
          .where('id', '=', registryId)
          .where('size', '=', 0)
          .returning(['id', 'size'])
          .execute(),
      );
    const hits = await Promise.all([claim(), claim(), claim()]);
    assert.deepEqual(hits.map((rows) => rows.length).sort(), [0, 0, 1]);
    assert.deepEqual({ ...hits.flat()[0] }, { id: registryId, size: 1 });
  });

  test(on('on conflict do nothing answers a row to the winner alone'), async (t) => {
    const platform = await openTestPlatform(t);
    const insert = (id: string) =>
      platform.db
        .insertInto('teams')
        .values({ id, name: id, slug: 'same', created_at: 0 })
        .onConflict((oc) => oc.doNothing())
        .returning('id')
        .execute();
    const answers = await Promise.all(['a', 'b', 'c'].map(insert));
    assert.equal(answers.flat().length, 1);
  });

  test(on('on conflict do update counts up and answers the new value'), async (t) => {
    const platform = await openTestPlatform(t);
    const { registryId } = await seedTeam(platform, 'acme');
    await insertObject(platform, 'k');
    const link = () =>
      platform.db
        .insertInto('blobs')
        .values({ registry_id: registryId, digest: 'd', object_key: 'k', size: 7, links: 1, lost: 0 })
        .onConflict((oc) => oc.columns(['registry_id', 'digest']).doUpdateSet({ links: sql`blobs.links + 1` }))
        .returning('links')
        .executeTakeFirstOrThrow();
    const counts = [await link(), await link(), await link()].map(({ links }) => links);
    assert.deepEqual(counts, [1, 2, 3]);
  });

  test(on('sizes up to 2^53-1, sums and counts are numbers'), async (t) => {
    const platform = await openTestPlatform(t);
    const large = Number.MAX_SAFE_INTEGER;
    await insertObject(platform, 'a', large - 1);
    await insertObject(platform, 'b', 1);
    const row = await platform.db
      .selectFrom('objects')
      .select(({ fn }) => [
        fn.countAll<number>().as('count'),
        sql<number>`cast(coalesce(sum(size), 0) as bigint)`.as('sum'),
        sql<number>`sum(size)`.as('plain'),
        fn.max('size').as('max'),
        sql<number | null>`max(writer_until)`.as('none'),
      ])
      .executeTakeFirstOrThrow();
    assert.deepEqual({ ...row }, { count: 2, sum: large, plain: large, max: large - 1, none: null });
    const none = await platform.db
      .selectFrom('objects')
      .select(sql<number>`cast(coalesce(sum(size), 0) as bigint)`.as('sum'))
      .where('key', '=', 'nowhere')
      .executeTakeFirstOrThrow();
    assert.equal(none.sum, 0);
  });

  test(on('bytes come back as they went in'), async (t) => {
    const platform = await openTestPlatform(t);
    const repositoryId = await insertRepository(platform);
    for (const [digest, bytes] of Object.entries({
      empty: new Uint8Array(0),
      zeros: Uint8Array.from([0, 1, 0, 255, 0]),
      large: Buffer.alloc(4 * 1024 * 1024, 'abc'),
      view: Buffer.from('0123456789').subarray(3, 6),
    })) {
      await insertManifest(platform, repositoryId, digest, { bytes });
      const row = await platform.db
        .selectFrom('manifests')
        .select('bytes')
        .where('digest', '=', digest)
        .executeTakeFirstOrThrow();
      assert.ok(row.bytes instanceof Uint8Array);
      assert.ok(Buffer.from(bytes).equals(row.bytes), digest);
    }
  });

  test(on('names sort and compare byte by byte'), async (t) => {
    const platform = await openTestPlatform(t);
    const names = ['a', 'B', 'Z', '_', 'é', 'a-b', 'a_b', 'ab', 'A', '0', 'z', 'ä', 'v1.10', 'v1.9'];
    for (const name of names) await insertTeam(platform, name);
    const expected = names.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    assert.deepEqual(await teamNames(platform), expected);
    const after = await platform.db
      .selectFrom('teams')
      .select('name')
      .where('name', '>', 'a')
      .orderBy('name')
      .execute();
    assert.deepEqual(
      after.map(({ name }) => name),
      expected.slice(expected.indexOf('a') + 1),
    );
  });

  test(on('every text column compares byte by byte, also in a row comparison'), async (t) => {
    const platform = await openTestPlatform(t);
    const repositoryId = await insertRepository(platform);
    for (const digest of ['a', 'B', 'c']) await insertManifest(platform, repositoryId, digest, { pushed_at: 5 });
    const rows = await platform.db
      .selectFrom('manifests')
      .select('digest')
      .where(({ eb, refTuple, tuple }) => eb(refTuple('pushed_at', 'digest'), '>', tuple(5, 'B')))
      .orderBy('pushed_at')
      .orderBy('digest')
      .execute();
    assert.deepEqual(
      rows.map(({ digest }) => digest),
      ['a', 'c'],
    );
  });

  test(on('rows have their fields in the order of the select'), async (t) => {
    const platform = await openTestPlatform(t);
    await insertTeam(platform, 'a');
    const [row] = await platform.db.selectFrom('teams').select(['slug', 'created_at', 'id', 'name']).execute();
    assert.deepEqual(Object.keys(row ?? {}), ['slug', 'created_at', 'id', 'name']);
    assert.equal(JSON.stringify(row), '{"slug":"a","created_at":0,"id":"a","name":"a"}');
  });

  test(on('numAffectedRows says how many rows changed, with and without returning'), async (t) => {
    const platform = await openTestPlatform(t);
    for (const name of ['a', 'b', 'c']) await insertTeam(platform, name);
    const { db } = platform;
    const plain = await db.updateTable('teams').set({ created_at: 1 }).where('name', '>', 'a').executeTakeFirst();
    assert.equal(plain.numUpdatedRows, 2n);
    const { numAffectedRows } = await db.executeQuery(
      db.deleteFrom('teams').where('name', '<=', 'b').returning('id').compile(),
    );
    assert.equal(numAffectedRows, 2n);
    assert.equal((await db.deleteFrom('teams').where('id', '=', 'x').executeTakeFirst()).numDeletedRows, 0n);
  });

  test(on('tags and references go with their manifest, and nothing dangles'), async (t) => {
    const platform = await openTestPlatform(t);
    const repositoryId = await insertRepository(platform);
    const { db } = platform;
    await insertManifest(platform, repositoryId, 'm');
    const tag = { repository_id: repositoryId, name: 'v1', belongs_to: null, created_at: 0, updated_at: 0 };
    await db
      .insertInto('tags')
      .values({ ...tag, digest: 'm' })
      .execute();
    await db
      .insertInto('manifest_references')
      .values({ repository_id: repositoryId, manifest_digest: 'm', child_digest: 'of another registry' })
      .execute();
    await assert.rejects(
      db
        .insertInto('tags')
        .values({ ...tag, name: 'v2', digest: 'nowhere' })
        .execute(),
    );
    await assert.rejects(db.deleteFrom('repositories').execute());
    await db.deleteFrom('manifests').execute();
    assert.deepEqual(await db.selectFrom('tags').select('name').execute(), []);
    assert.deepEqual(await db.selectFrom('manifest_references').select('child_digest').execute(), []);
  });

  test(on('a link needs its blob'), async (t) => {
    const platform = await openTestPlatform(t);
    const repositoryId = await insertRepository(platform);
    const { id } = await platform.db.selectFrom('registries').select('id').executeTakeFirstOrThrow();
    const blob = { registry_id: id, digest: 'd', object_key: 'k', size: 1, links: 1, lost: 0 };
    const link = { repository_id: repositoryId, digest: 'd', registry_id: id, leased_until: 0, leased_by: '' };
    await assert.rejects(platform.db.insertInto('repository_blobs').values(link).execute());
    await platform.db.insertInto('blobs').values(blob).execute();
    await platform.db.insertInto('repository_blobs').values(link).execute();
    await assert.rejects(platform.db.deleteFrom('blobs').execute());
  });

  test(on('a registry has one living collection at a time, and any number of ended ones'), async (t) => {
    const platform = await openTestPlatform(t);
    const start = (id: string, state: 'queued' | 'done', registry = 'r') =>
      platform.db
        .insertInto('operations')
        .values(operation(id, state, registry))
        .onConflict((oc) => oc.doNothing())
        .returning('id')
        .execute();
    assert.equal((await start('1', 'done')).length, 1);
    assert.equal((await start('2', 'queued')).length, 1);
    assert.equal((await start('3', 'queued')).length, 0);
    assert.equal((await start('4', 'queued', 'other')).length, 1);
    await platform.db.updateTable('operations').set({ state: 'done' }).where('id', '=', '2').execute();
    assert.equal((await start('5', 'queued')).length, 1);
  });
}

async function insertTeam({ db }: Platform, name: string): Promise<void> {
  await db.insertInto('teams').values({ id: name, name, slug: name, created_at: 0 }).execute();
}

async function teamNames({ db }: Platform): Promise<string[]> {
  const rows = await db.selectFrom('teams').select('name').orderBy('name').execute();
  return rows.map(({ name }) => name);
}

async function insertObject({ db }: Platform, key: string, size = 1): Promise<void> {
  const times = { writer_until: null, remove_after: null, forget_after: null };
  await db
    .insertInto('objects')
    .values({ key, state: 'stored', size, refs: 1, reserved_in: null, attempts: 0, ...times })
    .execute();
}

async function insertRepository(platform: Platform): Promise<string> {
  const { registryId } = await seedTeam(platform, 'acme');
  await platform.db
    .insertInto('repositories')
    .values({
      id: 'repository',
      registry_id: registryId,
      name: 'app',
      state: 'live',
      revision: 0,
      size: 0,
      created_at: 0,
      updated_at: 0,
    })
    .execute();
  return 'repository';
}

async function insertManifest(
  { db }: Platform,
  repositoryId: string,
  digest: string,
  { bytes = new Uint8Array(1), pushed_at = 0 }: { bytes?: Uint8Array; pushed_at?: number } = {},
): Promise<void> {
  await db
    .insertInto('manifests')
    .values({
      repository_id: repositoryId,
      digest,
      media_type: 'application/vnd.oci.image.manifest.v1+json',
      artifact_type: null,
      config_media_type: null,
      subject: null,
      annotations: null,
      os: '',
      architecture: '',
      built_at: null,
      pushed_at,
      size: bytes.byteLength,
      image_size: 0,
      leased_until: 0,
      leased_by: '',
      bytes,
    })
    .execute();
}

function operation(id: string, state: 'queued' | 'done', registryId: string) {
  return {
    id,
    kind: 'garbage_collection',
    team_id: 't',
    registry_id: registryId,
    repository_id: null,
    state,
    worker: null,
    claimed_until: null,
    again: 0,
    attempts: 0,
    freed: 0,
    input: '{}',
    progress: '{}',
    error: null,
    created_at: 0,
    started_at: null,
    finished_at: null,
  };
}
