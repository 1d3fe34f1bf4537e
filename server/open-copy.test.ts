import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { sql } from 'kysely';
import { removeDoomed } from '#core/objects.ts';
import { openDatabase } from '#database/open-database.ts';
import { copy, makePlace, refused, serveOn } from '#test/copy-world.ts';
import { makeTestDirectory, type Scope } from '#test/database.ts';
import { findBroken } from '#test/invariants.ts';
import { digestOf, pushImage } from '#test/oci-client.ts';
import type { Place } from './copy-rules.ts';
import { openSource, openTarget } from './open-copy.ts';

async function start(t: Scope) {
  const served = await serveOn(t, await makePlace(t));
  await pushImage(served.owner, 'acme/app', 'v1', ['one', 'two']);
  return served;
}

const openDatabaseOf = ({ databaseUrl, dataDir = '' }: Place) => openDatabase({ url: databaseUrl, dataDir });

// Whoever runs an old command line again after the move must not overwrite what was pushed since.
test('a copy on which a server was started is never overwritten', async (t) => {
  const source = await start(t);
  const place = await makePlace(t);
  await copy(source.place, place);
  const target = await serveOn(t, place, source.team);
  await pushImage(target.owner, 'acme/app', 'v2', ['pushed after the move']);
  await target.stop();
  await assert.rejects(
    copy(source.place, place),
    refused('in_use', /^The target is not empty: it holds an installation of its own/),
  );
  const again = await serveOn(t, place, source.team);
  assert.equal((await again.owner('GET', '/v2/acme/app/manifests/v2')).status, 200);
});

test('a place that holds an installation, or a copy of another one, is refused and not touched', async (t) => {
  const [source, other] = [await start(t), await start(t)];
  await other.stop();
  await assert.rejects(copy(source.place, other.place), refused('in_use', /an installation of its own/));
  const place = await makePlace(t);
  await copy(other.place, place);
  await assert.rejects(copy(source.place, place), refused('in_use', /it holds a copy of an installation/));
  const target = await serveOn(t, place, other.team);
  assert.deepEqual(await findBroken(target.platform), []);
});

test('an installation from before there were ids is as safe as others', async (t) => {
  const [source, other] = [await start(t), await start(t)];
  await other.stop();
  const { db, close } = await openDatabaseOf(other.place);
  await sql`drop table installations`.execute(db);
  await sql`delete from schema_migrations where number >= 10`.execute(db);
  await close();
  await assert.rejects(copy(source.place, other.place), refused('in_use', /an installation of its own/));
});

test('the source itself is no target, by whatever name', async (t) => {
  const source = await start(t);
  await source.stop();
  await assert.rejects(copy(source.place, source.place), refused('in_use', /the source itself/));
  const store = await makePlace(t);
  const link = join(makeTestDirectory(t), 'link');
  if (source.place.storage) {
    await assert.rejects(
      copy(source.place, { ...store, storage: source.place.storage }),
      refused('in_use', /where those of the source are/),
    );
    return;
  }
  // Another database, and a link to the same objects.
  mkdirSync(link);
  symlinkSync(join(source.place.dataDir ?? '', 'objects'), join(link, 'objects'));
  await assert.rejects(
    copy(source.place, { ...store, dataDir: link }),
    refused('in_use', /not empty|where those of the source are/),
  );
  const again = await serveOn(t, source.place, source.team);
  assert.deepEqual(await findBroken(again.platform), []);
});

test('objects without a database are not written over', async (t) => {
  const source = await start(t);
  const place = await makePlace(t, 'embedded');
  const folder = join(place.dataDir ?? '', 'objects', 'aa');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'aabb'), "somebody's");
  await assert.rejects(copy(source.place, place), refused('in_use', /holds objects without a database/));
});

test('a copy that was killed before it had begun is no obstacle', async (t) => {
  const source = await start(t);
  const place = await makePlace(t);
  const opened = await openSource(source.place);
  const target = await openTarget(place, opened);
  // As a killed one leaves it.
  await target.blobs.write('copy-probe', once(Buffer.from('of another run')));
  await target.close();
  await opened.close();
  assert.equal((await copy(source.place, place)).isComplete, true);
  const { platform } = await serveOn(t, place, source.team);
  assert.deepEqual(await findBroken(platform), []);
});

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

test('two copies at once do not get into one place', async (t) => {
  const source = await start(t);
  const place = await makePlace(t);
  // Without a directory of its own, where both the database and the bucket are elsewhere.
  const elsewhere = place.databaseUrl && place.storage ? [{ ...place, dataDir: undefined }] : [];
  for (const one of [place, ...elsewhere]) {
    const opened = await openSource(source.place);
    const target = await openTarget(one, opened);
    await assert.rejects(openTarget(one, opened), refused('conflict', /in use by another|Another copy/));
    await target.close();
    await opened.close();
  }
});

test('a source of another schema version is refused with what to do', async (t) => {
  const source = await start(t);
  await source.stop();
  const { db, close } = await openDatabaseOf(source.place);
  t.after(close);
  await sql`insert into schema_migrations (number, name, applied_at) values (999, 'newer', 0)`.execute(db);
  await assert.rejects(
    openSource(source.place),
    refused('unavailable', /^The source has schema version 999, and this release \d+\. Use the newer release/),
  );
  await sql`delete from schema_migrations where number > 9`.execute(db);
  await assert.rejects(
    openSource(source.place),
    refused('unavailable', /Start the servers of this release on it first/),
  );
});

test('what is deleted and collected while a copy runs is in it, and goes when it has ended', async (t) => {
  const source = await start(t);
  const { platform, owner } = source;
  const place = await makePlace(t);
  const { headers } = await owner('GET', '/v2/acme/app/manifests/v1');
  let isDone = false;
  const removed: number[] = [];
  const copied = await copy(source.place, place, {
    source: (opened) => ({
      ...opened,
      blobs: {
        ...opened.blobs,
        // The rows are copied by now.
        read: async (key, range) => {
          if (!isDone) {
            isDone = true;
            await owner('DELETE', `/v2/acme/app/manifests/${headers['docker-content-digest']}`);
            for (const text of ['{}', 'one', 'two']) {
              const { status } = await owner('DELETE', `/v2/acme/app/blobs/${digestOf(text)}`);
              assert.equal(status, 202);
            }
            // Their ten minutes are over.
            await platform.db.updateTable('objects').set({ remove_after: 0 }).where('state', '=', 'doomed').execute();
            removed.push(await removeDoomed(platform));
          }
          return opened.blobs.read(key, range);
        },
      },
    }),
  });
  assert.deepEqual([copied.lost, removed], [[], [0]]);
  assert.ok(copied.changesSince > 0);
  assert.deepEqual(await platform.db.selectFrom('holds').selectAll().execute(), []);
  assert.equal(await removeDoomed(platform), 3);
  const target = await serveOn(t, place, source.team);
  assert.deepEqual(await findBroken(target.platform), []);
  assert.equal((await target.owner('GET', '/v2/acme/app/manifests/v1')).status, 200);
});

// Else what a collection has removed for good reasons would be called lost.
test('a hold that has run out ends the copy instead of giving objects up', async (t) => {
  const source = await start(t);
  const { db } = source.platform;
  const broken = copy(source.place, await makePlace(t), {
    source: (opened) => ({
      ...opened,
      blobs: {
        ...opened.blobs,
        read: async () => {
          await db.updateTable('holds').set({ until: 1 }).execute();
          return undefined;
        },
      },
    }),
  });
  await assert.rejects(broken, refused('unavailable', /could not be told for ten minutes/));
});

test('the earlier copy in a directory is whole until the new one takes its place', async (t) => {
  const source = await start(t);
  const place = await makePlace(t, 'embedded');
  await copy(source.place, place);
  await pushImage(source.owner, 'acme/app', 'v2', ['three']);
  const stopping = new AbortController();
  const broken = copy(source.place, place, {
    signal: stopping.signal,
    target: (target) => ({
      ...target,
      publish: async () => {
        throw new Error('killed before the rename');
      },
    }),
  });
  await assert.rejects(broken, /killed/);
  await assert.rejects(
    serveOn(t, place, source.team),
    refused('unavailable', /unfinished copy.*To use the earlier copy/),
  );
  // Restoring the earlier one, as one would after that.
  const restored = await makePlace(t);
  await copy(place, restored, { rules: { isBackup: true, mustBeEmpty: true } });
  const target = await serveOn(t, restored, source.team);
  assert.deepEqual(await findBroken(target.platform), []);
  assert.equal((await target.owner('GET', '/v2/acme/app/manifests/v1')).status, 200);
  assert.equal((await target.owner('GET', '/v2/acme/app/manifests/v2')).status, 404);

  await copy(source.place, place);
  assert.deepEqual(
    readdirSync(place.dataDir ?? '')
      .toSorted()
      .filter((name) => !name.startsWith('serve')),
    ['lading.db', 'objects'],
  );
});

test('a copy of a copy, and a restore that was cut short', async (t) => {
  const source = await start(t);
  const [first, second, third] = [await makePlace(t, 'embedded'), await makePlace(t, 'embedded'), await makePlace(t)];
  await copy(source.place, first);
  await copy(first, second);
  await copy(source.place, first);
  // The first is still the same installation, so the second is still its copy.
  await copy(first, second);
  const rules = { isBackup: true, mustBeEmpty: true };
  const stopping = new AbortController();
  const broken = copy(second, third, {
    rules,
    signal: stopping.signal,
    target: (target) => ({
      ...target,
      blobs: {
        ...target.blobs,
        write: async () => {
          stopping.abort(new Error('cut short'));
          throw new Error('cut short');
        },
      },
    }),
  });
  await assert.rejects(broken, /cut short/);
  await copy(second, third, { rules });
  await assert.rejects(copy(second, third, { rules }), refused('in_use', /not empty/));
  const target = await serveOn(t, third, source.team);
  assert.deepEqual(await findBroken(target.platform), []);
  assert.equal((await target.owner('GET', '/v2/acme/app/manifests/v1')).status, 200);
});

test('an old WAL beside an earlier copy does not get into the new one', async (t) => {
  const source = await start(t);
  const place = await makePlace(t, 'embedded');
  await copy(source.place, place);
  const file = join(place.dataDir ?? '', 'lading.db');
  // Somebody looked at it, and was killed.
  const opened = await openDatabaseOf(place);
  await opened.db.insertInto('holds').values({ id: 'left over', until: 5 }).execute();
  assert.ok(existsSync(`${file}-wal`));
  await assert.rejects(copy(source.place, place), refused('in_use', /in use by another program/));
  await opened.close();
  writeFileSync(`${file}-shm`, '');
  await copy(source.place, place);
  const target = await serveOn(t, place, source.team);
  assert.deepEqual(await findBroken(target.platform), []);
});

// Its master key is kept elsewhere on purpose.
test('a backup is no target for anything but the next backup', async (t) => {
  const source = await start(t);
  const place = await makePlace(t, 'embedded');
  await copy(source.place, place, { rules: { makesBackup: true } });
  await assert.rejects(copy(source.place, place), refused('in_use', /is a backup, which only lading backup writes to/));
  await copy(source.place, place, { rules: { makesBackup: true } });
});

test('a database with tables of ours that no release of ours has made is not written to', async (t) => {
  const source = await start(t);
  const place = await makePlace(t);
  const { db, close } = await openDatabaseOf(place).catch(async () => {
    mkdirSync(place.dataDir ?? '', { recursive: true });
    return openDatabaseOf(place);
  });
  await sql`drop table schema_migrations`.execute(db);
  await close();
  await assert.rejects(copy(source.place, place), refused('in_use', /not empty: it has a table \w+, and is no inst/));
});

test('a prefix under which another installation keeps its objects is no empty target', async (t) => {
  const [source, other] = [await start(t), await start(t)];
  await other.stop();
  if (!other.place.storage) return;
  await assert.rejects(
    copy(source.place, { ...(await makePlace(t)), storage: other.place.storage }),
    refused(
      'in_use',
      /^The target is not empty: the bucket .* holds ".*", and the target database knows of no objects/,
    ),
  );
  const again = await serveOn(t, other.place, other.team);
  assert.deepEqual(await findBroken(again.platform), []);
});

test('what a bucket refuses is said of the source or of the target, with its setting', async (t) => {
  const source = await start(t);
  const storage = source.place.storage;
  if (!storage) return;
  const wrong = { ...storage, bucket: 'no-such-bucket-here' };
  const names = { database: '--to-database', storage: '--to-storage', directory: '' };
  const sentence = (side: string, name: string) =>
    new RegExp(`^The ${side}, the bucket no-such-bucket-here .*\\(${name}\\): The bucket .* does not exist`);
  await assert.rejects(
    copy(source.place, { ...(await makePlace(t)), storage: wrong, names }),
    refused('unavailable', sentence('target', '--to-storage')),
  );
  await source.stop();
  await assert.rejects(
    copy({ ...source.place, storage: wrong }, await makePlace(t)),
    refused('unavailable', sentence('source', 'LADING_STORAGE_URL')),
  );
});

// By it a copy knows that servers are at work.
test('connections have our name, whatever name their URL gives them', async (t) => {
  const { databaseUrl, dataDir = '' } = await makePlace(t);
  if (databaseUrl === undefined) return;
  const url = new URL(databaseUrl);
  url.searchParams.set('application_name', 'billing');
  const { db, close } = await openDatabase({ url: url.href, dataDir });
  t.after(close);
  const { rows } = await sql`select current_setting('application_name') as name`.execute(db);
  assert.deepEqual(rows, [{ name: 'lading' }]);
});
