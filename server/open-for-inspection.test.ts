import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { sql } from 'kysely';
import { identify } from '#core/installations.ts';
import { migrations } from '#database/migrate.ts';
import { openDatabase } from '#database/open-database.ts';
import { silentLog } from '#test/copy-world.ts';
import { makeTestDatabase } from '#test/database.ts';
import { readConfig } from './config.ts';
import { openForInspection } from './open-platform.ts';

const latest = migrations.at(-1)?.number ?? 0;

async function open(t: TestContext) {
  const options = await makeTestDatabase(t);
  const answer = readConfig({
    LADING_DATA_DIR: options.dataDir,
    ...(options.url && { LADING_DATABASE_URL: options.url }),
  });
  assert.ok('config' in answer);
  const inspect = () => openForInspection(answer.config, silentLog);
  const change = async (statement: string) => {
    const { db, close } = await openDatabase(options);
    await sql.raw(statement).execute(db);
    await close();
  };
  return { options, inspect, change };
}

// Servers of the older release would not start on it any more.
test('a look at a database of an older release is refused, and leaves it as it is', async (t) => {
  const { inspect, change } = await open(t);
  await change('drop index uploads_by_start');
  await change(`delete from schema_migrations where number = ${latest}`);
  const message = `The database has the schema of an older Lading (${latest - 1}; this one has ${latest}). Start the servers of this release first, or use the release that runs.`;
  for (const _ of [1, 2]) await assert.rejects(inspect(), { reason: 'unavailable', message });
});

test('a look at a database of a newer release is refused', async (t) => {
  const { inspect, change } = await open(t);
  await change(`insert into schema_migrations (number, name, applied_at) values (${latest + 1}, 'future', 0)`);
  const message = `The database has the schema of a newer Lading (${latest + 1}; this one has ${latest}). Use the release that runs.`;
  await assert.rejects(inspect(), { reason: 'unavailable', message });
});

test('a look at a database without tables makes none', async (t) => {
  const { inspect } = await open(t);
  for (const _ of [1, 2])
    await assert.rejects(inspect(), { reason: 'unavailable', message: /^The database has no tables/ });
});

test('a look at an unfinished copy is refused as a start of a server is', async (t) => {
  const { options, inspect, change } = await open(t);
  const { db, close } = await openDatabase(options);
  await identify(db);
  await close();
  await (await inspect()).close();
  await change("update installations set run = 'x'");
  await assert.rejects(inspect(), { reason: 'unavailable', message: /^The database holds an unfinished copy/ });
});
