import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sql } from 'kysely';
import { makeTestDirectory, makeTestSchema, testDatabaseUrl } from '#test/database.ts';
import { openDatabase } from './open-database.ts';

// A pool needs a server: `npm run test:all`.
if (testDatabaseUrl !== undefined) testOnServer(testDatabaseUrl);

function testOnServer(serverUrl: string): void {
  test('a transaction keeps a connection busy, and what finds none free waits', async (t) => {
    const url = await makeTestSchema(t, serverUrl);
    const { db, meter, close } = await openDatabase({ url, dataDir: '', poolSize: 5 });
    t.after(close);
    const read = (name: string, labels: object) =>
      meter()
        .find((reading) => reading.name === name)
        ?.samples.find((sample) => JSON.stringify(sample.labels) === JSON.stringify(labels))?.value;
    const { promise: released, resolve: release } = Promise.withResolvers<void>();
    const begun = [1, 2, 3].map(() => Promise.withResolvers<void>());
    const transactions = begun.map(({ resolve }) =>
      db.transaction().execute(async (db) => {
        await sql`select 1`.execute(db);
        resolve();
        await released;
      }),
    );
    await Promise.all(begun.map(({ promise }) => promise));
    const fourth = db.transaction().execute((db) => sql`select 1`.execute(db));
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(read('database_connections', { pool: 'writers', state: 'busy' }), 3);
    assert.equal(read('database_waiting', { pool: 'writers' }), 1);
    release();
    await Promise.all([...transactions, fourth]);
    assert.equal(read('database_connections', { pool: 'writers', state: 'busy' }), 0);
    assert.equal(read('database_waiting', { pool: 'writers' }), 0);
  });
}

test('SQLite has no connections to count', async (t) => {
  const { meter, close } = await openDatabase({ dataDir: makeTestDirectory(t) });
  t.after(close);
  assert.deepEqual(meter(), []);
});
