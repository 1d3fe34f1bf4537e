import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chownSync, writeFileSync } from 'node:fs';
import { chmod } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { sql } from 'kysely';
import { Client } from 'pg';
import { makeTestDirectory, makeTestSchema, type Scope, testDatabaseUrl } from '#test/database.ts';
import { makeAuthority } from '#test/servers/certificates.ts';
import { startPgbouncer } from '#test/servers/pgbouncer.ts';
import { makeDatabase, startPostgres } from '#test/servers/postgres.ts';
import { migrations } from './migrate.ts';
import { openDatabase } from './open-database.ts';

// What stands between a start and the first request. Needs a server: `npm run test:all`.
if (testDatabaseUrl !== undefined) testOnServer(testDatabaseUrl);

async function open(t: Scope, url: string, poolSize = 4) {
  const database = await openDatabase({ url, dataDir: '', poolSize });
  t.after(database.close);
  return database;
}

async function countMigrations(t: Scope, url: string): Promise<number> {
  const { db } = await open(t, url);
  return (await sql`select number from schema_migrations`.execute(db)).rows.length;
}

function testOnServer(serverUrl: string): void {
  test('five replicas that start at once on an empty schema all serve, and migrate it once', async (t) => {
    const url = await makeTestSchema(t, serverUrl);
    const opened = await Promise.all(Array.from({ length: 5 }, () => open(t, url)));
    await Promise.all(opened.map(({ check }) => check()));
    assert.equal(await countMigrations(t, url), migrations.length);
  });

  test('a replica that is killed in the middle of migrating leaves nothing, and others migrate it from the start', async (t) => {
    const url = await makeTestSchema(t, serverUrl);
    await assert.rejects(migrateAndDie(url), { signal: 'SIGKILL' });
    const client = new Client({ connectionString: url });
    await client.connect();
    const { rows } = await client.query('select tablename from pg_tables where schemaname = current_schema()');
    await client.end();
    assert.deepEqual(rows, []);
    const others = await Promise.all(Array.from({ length: 4 }, () => open(t, url)));
    await Promise.all(others.map(({ check }) => check()));
    assert.equal(await countMigrations(t, url), migrations.length);
  });

  test('a server that allows fewer connections than are asked for works, and the log is told', async (t) => {
    const url = await makeTestSchema(t, serverUrl);
    assert.deepEqual((await open(t, url, 20)).warnings, []);
    const { warnings } = await open(t, url, 400);
    assert.equal(warnings.length, 1);
    assert.match(warnings[0] ?? '', /up to 402 connections .* allows this user 297\..*LADING_DATABASE_POOL_SIZE/);
  });

  test('behind a pooler that keeps sessions all is well; one that shares them between transactions is refused', async (t) => {
    const url = await makeDatabase(serverUrl);
    const { db } = await open(t, await startPgbouncer(t, url, 'session'));
    const { rows } = await sql`select current_setting('statement_timeout') as limit`.execute(db);
    assert.deepEqual(rows, [{ limit: '30s' }]);
    await assert.rejects(open(t, await startPgbouncer(t, url, 'transaction')), {
      reason: 'unavailable',
      message: /pooler that shares connections between transactions.*pool_mode = session/,
    });
  });

  test('TLS is spoken and the server’s certificate checked, as the URL says', async (t) => {
    const directory = makeTestDirectory(t);
    const authority = makeAuthority(t);
    const { certificatePem, keyPem } = authority.issue('db', { altName: 'DNS:localhost' });
    const path = (name: string) => join(directory, name);
    await chmod(directory, 0o755);
    writeFileSync(path('ca.pem'), authority.caPem);
    writeFileSync(path('server.pem'), certificatePem);
    writeFileSync(path('server.key'), keyPem, { mode: 0o600 });
    if (process.getuid?.() === 0) chownSync(path('server.key'), 65_534, 65_534);
    const postgres = await startPostgres([
      'ssl=on',
      `ssl_cert_file=${path('server.pem')}`,
      `ssl_key_file=${path('server.key')}`,
    ]);
    t.after(() => postgres.stop());
    const urlWith = (query: string) => `${postgres.url.replace('127.0.0.1', 'localhost')}?${query}`;
    for (const mode of ['verify-full', 'require']) {
      const { db } = await open(t, urlWith(`sslmode=${mode}&sslrootcert=${path('ca.pem')}`));
      const { rows } = await sql`select ssl from pg_stat_ssl where pid = pg_backend_pid()`.execute(db);
      assert.deepEqual(rows, [{ ssl: true }], mode);
    }
    await open(t, urlWith('sslmode=no-verify'));
    await open(t, urlWith('sslmode=require&uselibpqcompat=true'));
    const refused = { reason: 'unavailable', message: /LADING_DATABASE_URL cannot be used: .*certificate/ };
    await assert.rejects(open(t, urlWith('sslmode=require')), refused);
    await assert.rejects(open(t, urlWith('sslmode=verify-full')), refused);
    const missing = open(t, urlWith('sslmode=verify-full&sslrootcert=/nowhere/ca.pem'));
    await assert.rejects(missing, { message: /LADING_DATABASE_URL cannot be used: .*\/nowhere\/ca\.pem/ });
  });
}

/** A process that ends between two migrations, in the transaction of all of them. */
function migrateAndDie(url: string) {
  const file = (name: string) => JSON.stringify(new URL(name, import.meta.url).href);
  const program = `
    import { migrate, migrations } from ${file('./migrate.ts')};
    import { Kysely } from 'kysely';
    import { openPostgresDialect } from ${file('./postgres.ts')};
    const db = new Kysely({ dialect: openPostgresDialect({ url: ${JSON.stringify(url)}, poolSize: 4 }) });
    const last = { number: 9999, name: 'death', statements: () => process.kill(process.pid, 'SIGKILL') };
    await migrate(db, 'postgres', Date.now, [...migrations, last]);`;
  const cwd = new URL('.', import.meta.url);
  return promisify(execFile)(process.execPath, ['--input-type=module', '--eval', program], { cwd });
}
