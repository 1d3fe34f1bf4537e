import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sql } from 'kysely';
import type { Digest } from '#core/digest.ts';
import type { Failure } from '#core/failure.ts';
import { newId, newObjectKey } from '#core/ids.ts';
import { linkBlob, lockRepository, unlink } from '#core/links.ts';
import { beginObject, renewWriters, sealObject } from '#core/objects.ts';
import type { Platform } from '#core/platform.ts';
import { charge, release, reserve } from '#core/sizes.ts';
import { transact } from '#core/transact.ts';
import { openTestPlatform, seedTeam, type TestPlatform } from '#test/platform.ts';

// What every protocol of the core stands on, on the engine under test: a locked repository row makes later reads exact,
// and a condition inside the row that is changed decides every race between repositories.

const digest = 'sha256:d' as Digest;
const size = 100;

test('a collection that waited for a push sees the reference which the push made', async (t) => {
  const platform = await openTestPlatform(t);
  const { registryId } = await seedTeam(platform, 'acme');
  const repository = { id: await insertRepository(platform, registryId, 'app'), registryId };
  await link(platform, repository);
  await platform.db.updateTable('repository_blobs').set({ leased_until: 0 }).execute();
  let collection: Promise<number> | undefined;
  await transact(platform, async (inner) => {
    await lockRepository(inner, repository.id);
    collection = collectLinks(platform, repository.id);
    await untilSomeoneWaits(inner, platform);
    await insertManifest(inner, repository.id, 'm');
    await inner.db
      .insertInto('manifest_references')
      .values({ repository_id: repository.id, manifest_digest: 'm', child_digest: digest })
      .execute();
  });
  assert.equal(await collection, 0, 'the collection took a layer of a new image');
});

test('a push that waited for a collection sees that the blob is gone', async (t) => {
  const platform = await openTestPlatform(t);
  const { registryId } = await seedTeam(platform, 'acme');
  const repository = { id: await insertRepository(platform, registryId, 'app'), registryId };
  await link(platform, repository);
  let push: Promise<boolean> | undefined;
  await transact(platform, async (inner) => {
    await lockRepository(inner, repository.id);
    push = transact(platform, async (inner) => {
      await lockRepository(inner, repository.id);
      return (await inner.db.selectFrom('repository_blobs').select('digest').execute()).length > 0;
    });
    await untilSomeoneWaits(inner, platform);
    await inner.db.deleteFrom('repository_blobs').execute();
  });
  assert.equal(await push, false);
});

test('a digest linked and unlinked in several repositories at once is counted and charged exactly', async (t) => {
  const platform = await openTestPlatform(t);
  const teams = [await seedTeam(platform, 'acme'), await seedTeam(platform, 'other')];
  const repositories = await Promise.all(
    teams.flatMap(({ registryId }) =>
      ['a', 'b', 'c'].map(async (name) => ({ id: await insertRepository(platform, registryId, name), registryId })),
    ),
  );
  for (let round = 0; round < 10; round++) {
    await Promise.all(repositories.flatMap((one) => [link(platform, one), removeLink(platform, one)]));
    await requireExactCounts(platform);
  }
  await Promise.all(repositories.map((one) => removeLink(platform, one)));
  await requireExactCounts(platform);
  const { db } = platform;
  assert.deepEqual(await db.selectFrom('blobs').selectAll().execute(), []);
  const alive = await db.selectFrom('objects').select('key').where('state', '<>', 'doomed').execute();
  assert.deepEqual(alive, []);
});

test('a renewal that locks the objects of a finish the other way round is made all the same', async (t) => {
  const platform = await openTestPlatform(t);
  const { registryId } = await seedTeam(platform, 'acme');
  const [first, second] = [
    await beginObject(platform, registryId, 0),
    await beginObject(platform, registryId, 0),
  ] as const;
  const renewed: Promise<void>[] = [];
  await transact(platform, async (inner) => {
    await sealObject(inner, second, 0);
    renewed.push(renewWriters(platform));
    await untilSomeoneWaits(inner, platform);
    await sealObject(inner, first, 0);
  });
  await Promise.all(renewed);
});

test('charges and reservations at once never pass the limit together', async (t) => {
  const platform = await openTestPlatform(t);
  const { registryId } = await seedTeam(platform, 'acme');
  await platform.db.updateTable('registries').set({ size_limit: 255 }).execute();
  const tries = Array.from({ length: 40 }, (_, n) =>
    transact(platform, (platform) =>
      n % 2 ? charge(platform, registryId, 10) : reserve(platform, registryId, 10),
    ).then(
      () => 'granted',
      (failure: Failure) => failure.reason,
    ),
  );
  const answers = await Promise.all(tries);
  assert.equal(answers.filter((answer) => answer === 'granted').length, 25);
  assert.equal(answers.filter((answer) => answer === 'limit').length, 15);
  const row = await platform.db.selectFrom('registries').select(['size', 'reserved']).executeTakeFirstOrThrow();
  assert.equal(row.size + row.reserved, 250);
});

type Repository = { id: string; registryId: string };

async function link(platform: Platform, repository: Repository): Promise<void> {
  const key = newObjectKey();
  await transact(platform, async (platform) => {
    await lockRepository(platform, repository.id);
    await platform.db.insertInto('objects').values(storedObject(key)).execute();
    const grownBytes = await linkBlob(platform, repository, { digest, key, size }, 'a push');
    await charge(platform, repository.registryId, grownBytes);
  });
}

async function removeLink(platform: Platform, repository: Repository): Promise<void> {
  await transact(platform, async (platform) => {
    await lockRepository(platform, repository.id);
    const gone = await platform.db
      .deleteFrom('repository_blobs')
      .where('repository_id', '=', repository.id)
      .returning('digest')
      .execute();
    const { freedBytes } = await unlink(
      platform,
      repository.registryId,
      gone.map((row) => row.digest),
    );
    await release(platform, repository.registryId, freedBytes);
  });
}

/** The heart of a collection: links without a lease and without a reference. */
async function collectLinks(platform: Platform, repositoryId: string): Promise<number> {
  return transact(platform, async (platform) => {
    await lockRepository(platform, repositoryId);
    const gone = await platform.db
      .deleteFrom('repository_blobs')
      .where('leased_until', '<=', platform.now())
      .where(({ not, exists, selectFrom }) =>
        not(
          exists(
            selectFrom('manifest_references')
              .select('child_digest')
              .whereRef('child_digest', '=', 'repository_blobs.digest'),
          ),
        ),
      )
      .returning('digest')
      .execute();
    return gone.length;
  });
}

/** On Postgres: until another session waits for a lock of ours. SQLite has nothing to wait for: we are alone. */
async function untilSomeoneWaits({ db }: Platform, { engine }: TestPlatform): Promise<void> {
  if (engine === 'sqlite') return;
  for (let looks = 0; looks < 1000; looks++) {
    // `pg_stat_activity` would show the same picture until the end of the transaction; the locks are looked up anew.
    const { rows } = await sql<{ waiting: number }>`select count(*) as waiting, pg_sleep(0.005) from pg_locks
      where not granted and pg_backend_pid() = any(pg_blocking_pids(pid))`.execute(db);
    if (rows[0] && rows[0].waiting > 0) return;
  }
  assert.fail('Nobody waited for the locked row.');
}

async function requireExactCounts({ db }: Platform): Promise<void> {
  const links = await db.selectFrom('repository_blobs').select(['registry_id', 'digest']).execute();
  const blobs = await db.selectFrom('blobs').selectAll().execute();
  for (const blob of blobs) {
    assert.equal(blob.links, links.filter((one) => one.registry_id === blob.registry_id).length, 'links are counted');
  }
  for (const registry of await db.selectFrom('registries').select(['id', 'size']).execute()) {
    assert.equal(registry.size, blobs.some((blob) => blob.registry_id === registry.id) ? size : 0, 'charged once');
  }
  for (const object of await db.selectFrom('objects').select(['key', 'refs']).where('state', '=', 'stored').execute()) {
    assert.equal(object.refs, blobs.filter((blob) => blob.object_key === object.key).length, 'uses are counted');
  }
}

function storedObject(key: string) {
  const times = { writer_until: null, remove_after: null, forget_after: null };
  return { key, state: 'stored' as const, size, refs: 1, reserved_in: null, attempts: 0, ...times };
}

async function insertRepository({ db, now }: Platform, registryId: string, name: string): Promise<string> {
  const id = newId();
  const row = { id, registry_id: registryId, name, revision: 0, size: 0, created_at: now(), updated_at: now() };
  await db
    .insertInto('repositories')
    .values({ ...row, state: 'live' })
    .execute();
  return id;
}

async function insertManifest({ db }: Platform, repositoryId: string, digest: string): Promise<void> {
  const nothing = { artifact_type: null, config_media_type: null, subject: null, annotations: null, built_at: null };
  const texts = { digest, media_type: '', os: '', architecture: '', leased_by: '' };
  const numbers = { pushed_at: 0, size: 1, image_size: 1, leased_until: 0 };
  await db
    .insertInto('manifests')
    .values({ repository_id: repositoryId, ...nothing, ...texts, ...numbers, bytes: new Uint8Array(1) })
    .execute();
}
