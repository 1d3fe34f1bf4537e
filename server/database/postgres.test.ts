import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Kysely, sql } from 'kysely';
import type { Schema } from '#core/schema.ts';
import { transact } from '#core/transact.ts';
import { makeTestSchema, openTestDatabase, runOnServer, type Scope, testDatabaseUrl } from '#test/database.ts';
import { openTestPlatform } from '#test/platform.ts';
import { openDatabase } from './open-database.ts';
import { openPostgresDialect } from './postgres.ts';

const unreachable = { reason: 'unavailable', message: 'The database cannot be reached. Try again.' };

test('a server that is not there is named in one sentence', async () => {
  await assert.rejects(openDatabase({ url: 'postgres://lading:hunter2@127.0.0.1:1/lading', dataDir: '' }), (error) => {
    assert.match(String(error), /LADING_DATABASE_URL cannot be used: .*ECONNREFUSED.*127\.0\.0\.1:1/);
    assert.doesNotMatch(String(error), /hunter2/);
    return true;
  });
});

// The rest needs a server: `npm run test:all`.
if (testDatabaseUrl !== undefined) testOnServer(testDatabaseUrl);

function testOnServer(serverUrl: string): void {
  test('a server that may lose commits is refused', async (t) => {
    const url = new URL(await makeTestSchema(t, serverUrl));
    url.searchParams.set('options', `${url.searchParams.get('options')} -c synchronous_commit=off`);
    await assert.rejects(openDatabase({ url: url.href, dataDir: '' }), {
      reason: 'unavailable',
      message: /synchronous_commit = off/,
    });
  });

  test('every connection has the time limits and the isolation that the protocols count on', async (t) => {
    const { db } = await openTestDatabase(t);
    const settings = await Promise.all(
      [1, 2, 3].map(() =>
        db.transaction().execute(async (db) => {
          await sql`select pg_sleep(0.02)`.execute(db);
          const { rows } = await sql`select current_setting('lock_timeout') as lock,
            current_setting('statement_timeout') as statement,
            current_setting('idle_in_transaction_session_timeout') as idle,
            current_setting('transaction_isolation') as isolation`.execute(db);
          return rows[0];
        }),
      ),
    );
    const expected = { lock: '5s', statement: '30s', idle: '15s', isolation: 'read committed' };
    assert.deepEqual(settings, [expected, expected, expected]);
  });

  test('a deadlock is tried again until both transactions are through', async (t) => {
    const platform = await openTestPlatform(t);
    for (const id of ['a', 'b']) {
      await platform.db.insertInto('teams').values({ id, name: id, slug: id, created_at: 0 }).execute();
    }
    const meeting = newMeeting(2);
    let attempts = 0;
    const countBoth = (ids: readonly string[]) =>
      transact(platform, async ({ db }) => {
        attempts++;
        await sql`set local deadlock_timeout = '20ms'`.execute(db);
        for (const id of ids) {
          await db.updateTable('teams').set({ created_at: sql`created_at + 1` }).where('id', '=', id).execute();
          await meeting();
        }
      });
    await Promise.all([countBoth(['a', 'b']), countBoth(['b', 'a'])]);
    const rows = await platform.db.selectFrom('teams').select('created_at').execute();
    assert.deepEqual(
      rows.map(({ created_at }) => created_at),
      [2, 2],
    );
    assert.equal(attempts, 3);
  });

  test('a lock that does not come free is refused as unavailable, soon to be tried again', async (t) => {
    const platform = await openTestPlatform(t);
    await platform.db.insertInto('teams').values({ id: 'a', name: 'a', slug: 'a', created_at: 0 }).execute();
    const change = { name: 'changed' };
    await platform.db.transaction().execute(async (holder) => {
      await holder.updateTable('teams').set(change).execute();
      const waiting = transact(platform, async ({ db }) => {
        await sql`set local lock_timeout = '20ms'`.execute(db);
        await db.updateTable('teams').set(change).execute();
      });
      await assert.rejects(waiting, { reason: 'unavailable', detail: { retryAfterSeconds: 1 } });
    });
  });

  test('a transaction whose connections die again and again is unavailable, and the next one has another', async (t) => {
    const platform = await openTestPlatform(t);
    const cut = transact(platform, async ({ db }) => {
      const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(db);
      await runOnServer(serverUrl, `select pg_terminate_backend(${rows[0]?.pid}, 5000)`);
      await db.selectFrom('teams').selectAll().execute();
    });
    await assert.rejects(cut, unreachable);
    await transact(platform, ({ db }) => db.selectFrom('teams').selectAll().execute());
  });

  test('idle connections that die are replaced without anyone noticing', async (t) => {
    const platform = await openTestPlatform(t);
    const pids = await Promise.all([1, 2, 3].map(() => pidOf(platform.db)));
    for (const pid of pids) await runOnServer(serverUrl, `select pg_terminate_backend(${pid}, 5000)`);
    const again = await Promise.all([1, 2, 3].map(() => pidOf(platform.db)));
    assert.deepEqual(
      again.filter((pid) => pids.includes(pid)),
      [],
    );
  });

  test('who gets no connection in time is refused as unavailable', async (t) => {
    const db = await openPool(t, serverUrl, { poolSize: 2, acquireTimeoutMs: 500 });
    const write = () => db.transaction().execute((db) => pidOf(db));
    await db.transaction().execute(async () => {
      await assert.rejects(write(), { reason: 'unavailable', message: /no connection came free/ });
    });
    await write();
  });

  test('reads go on while transactions hold every connection they can have', async (t) => {
    const db = await openPool(t, serverUrl, { poolSize: 5, acquireTimeoutMs: 2000 });
    const everyoneIn = newMeeting(4);
    const held = [1, 2, 3].map(() => db.transaction().execute(() => everyoneIn()));
    for (let n = 0; n < 20; n++) await pidOf(db);
    await everyoneIn();
    await Promise.all(held);
  });

  test('nothing is written by a select outside transactions', async (t) => {
    const { db } = await openTestDatabase(t);
    await sql`create sequence numbers`.execute(db);
    const refused = sql`select nextval('numbers')`.execute(db);
    await assert.rejects(refused, { code: '25006' });
  });

  test('a transaction whose failed statement was swallowed is not taken for committed', async (t) => {
    const { db } = await openTestDatabase(t);
    const swallowed = db.transaction().execute(async (db) => {
      await db.insertInto('teams').values({ id: 'a', name: 'a', slug: 'a', created_at: 0 }).execute();
      await sql`select * from nowhere`.execute(db).catch(() => {});
    });
    await assert.rejects(swallowed, /rolled back/);
    assert.deepEqual(await db.selectFrom('teams').select('id').execute(), []);
  });

  test('the clock is the database server’s', async (t) => {
    const url = new URL(await makeTestSchema(t, serverUrl));
    const schema = url.searchParams.get('options')?.split('=')[1];
    await runOnServer(
      serverUrl,
      `create function ${schema}.clock_timestamp() returns timestamptz language sql
       as $$ select pg_catalog.clock_timestamp() + interval '40 minutes' $$`,
    );
    url.searchParams.set('options', `-c search_path=${schema},pg_catalog`);
    const { now, close } = await openDatabase({ url: url.href, dataDir: '', poolSize: 2 });
    t.after(close);
    const aheadMs = now() - Date.now();
    assert.ok(Math.abs(aheadMs - 40 * 60_000) < 1000, `${aheadMs} ms ahead`);
  });
}

async function openPool(t: Scope, url: string, options: { poolSize: number; acquireTimeoutMs: number }) {
  const db = new Kysely<Schema>({ dialect: openPostgresDialect({ url, ...options }) });
  t.after(() => db.destroy());
  return db;
}

async function pidOf(db: Kysely<Schema>): Promise<number> {
  const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid, pg_sleep(0.02)`.execute(db);
  return rows[0]?.pid ?? 0;
}

/** The first `people` callers wait for each other; later ones pass. */
function newMeeting(people: number): () => Promise<void> {
  let missing = people;
  const { promise, resolve } = Promise.withResolvers<void>();
  return () => {
    if (--missing === 0) resolve();
    return promise;
  };
}
