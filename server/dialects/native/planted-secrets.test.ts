// Secrets of every kind are planted, then everything is asked for and everything that was written is read: none of them
// is anywhere but in the answers of the doors that are there for it.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { sql } from 'kysely';
import { testNextConnection } from '#core/connection-schedule.ts';
import { openLog } from '#server/log.ts';
import { nativeBase } from '#test/native-client.ts';
import { bodyFor, endpointsOf, openWorld, requestFor, type World } from '#test/native-world.ts';
import type { TestPlatform } from '#test/platform.ts';

const plain = 'planted-Xq7Rk2';
const keyFile = JSON.stringify({ type: 'service_account', private_key: `${plain}-key`, client_email: 'x@example.com' });
const auth = Buffer.from(`me:${plain}-auth`).toString('base64');

/** As it was given, and as it would look in a header or in a Docker config. */
const forms = [
  plain,
  plain.toLowerCase(),
  encodeURIComponent(plain),
  ...[0, 1, 2].map((offset) => {
    const encoded = Buffer.from(`${'x'.repeat(offset)}${plain}`)
      .toString('base64')
      .replace(/=+$/, '');
    return encoded.slice(4, -1);
  }),
  Buffer.from(plain).toString('hex'),
];

const found = (text: string) => forms.find((form) => text.includes(form));

async function plant({ call, mine }: World): Promise<string[]> {
  const given: Record<string, unknown>[] = [
    { provider: 'oci', url: '127.0.0.1:1', username: 'me', password: `${plain}-password` },
    { provider: 'gcr', keyFile },
    { provider: 'oci', auths: { '127.0.0.1:1': { auth }, '127.0.0.1:2': { username: 'me', password: plain } } },
    {
      provider: 'ecr',
      url: '123456789012.dkr.ecr.eu-west-1.amazonaws.com',
      username: 'AKIAIOSFODNN7EXAMPLE',
      password: plain.replace('-', '/').padEnd(40, 'x'),
    },
  ];
  const ids: string[] = [];
  for (const [i, body] of given.entries()) {
    const made = await call('POST /connections', { key: mine.key, body: { name: `planted ${i}`, ...body } });
    assert.equal(made.status, 201, made.text);
    ids.push(made.json.id);
    const another = { ...body, url: undefined, provider: undefined };
    const staged = await call(`PUT /connections/${made.json.id}/replacement`, { key: mine.key, body: another });
    assert.equal(staged.status, 200, staged.text);
  }
  return ids;
}

test('a stored secret is in no answer but those of its doors', async (t) => {
  const world = await openWorld(t);
  const { call, document, mine } = world;
  const ids = await plant(world);
  const doors = ['revealConnection', 'getPullSecret'];
  const revealed = await call(`POST /connections/${ids[0]}/reveal`, { key: mine.key });
  assert.ok(found(revealed.text), 'what is looked for can be found');
  const answered = new Set<string>();
  // What deletes comes last.
  const endpoints = endpointsOf(document).sort((a, b) => Number(a.method === 'DELETE') - Number(b.method === 'DELETE'));
  for (const endpoint of endpoints.filter(({ id }) => !doors.includes(id))) {
    const named = endpoint.pattern.includes('{connection}') ? ids : [mine.connection];
    for (const connection of named) {
      const request = requestFor(endpoint, { ...mine, connection });
      const body = bodyFor(endpoint, mine);
      const queries = ['', ...endpoint.query.map(({ name }) => `?${name}=${plain}`)];
      for (const query of queries) {
        const answer = await call(`${request}${query}`, { key: mine.key, body });
        assert.equal(found(answer.text), undefined, `${endpoint.id}${query}: ${answer.text}`);
        // A filter that knows a secret would be a door, too.
        if (query !== '' && answer.status === 200) assert.deepEqual(answer.json.items, [], `${endpoint.id}${query}`);
        if (answer.status < 300) answered.add(`${endpoint.id} ${connection}`);
      }
    }
  }
  for (const id of ids) {
    for (const name of ['getConnection', 'updateConnection', 'testConnection', 'listConnectionTests']) {
      assert.ok(answered.has(`${name} ${id}`), `${name} of ${id} answered nothing`);
    }
  }
});

test('a refused request repeats none of what it brought', async (t) => {
  const world = await openWorld(t);
  const { call, mine } = world;
  const base = { name: 'x', provider: 'oci', url: '127.0.0.1:1', username: 'me', password: plain };
  const wrong: object[] = [
    { ...base, provider: plain },
    { ...base, url: `https://me:${plain}@example.com` },
    { ...base, url: `https://example.com?${plain}` },
    { ...base, username: `${plain}:x` },
    { ...base, username: plain, password: '' },
    { ...base, password: `${plain}\n` },
    { ...base, password: plain.repeat(6000) },
    { ...base, password: [plain] },
    { ...base, password: { toString: plain } },
    { ...base, keyFile },
    { ...base, awsRegion: plain },
    { ...base, tokenHost: `http://${plain}` },
    { ...base, namespace: `${plain} ` },
    { ...base, unknown: plain },
    { ...base, auths: { 'example.com': { auth } } },
    { name: 'x', provider: 'oci', auths: { 'example.com': plain } },
    { name: 'x', provider: 'oci', auths: { [`${plain}@example.com`]: { auth } } },
    { name: 'x', provider: 'ghcr', keyFile },
    { name: 'x', provider: 'gcr', keyFile: `${keyFile}}` },
  ];
  for (const body of wrong) {
    const answers = [
      await call('POST /connections', { key: mine.key, body }),
      await call(`PATCH /connections/${mine.connection}`, { key: mine.key, body }),
    ];
    for (const { status, text } of answers) {
      assert.equal(status, 400, `${JSON.stringify(body).slice(0, 100)}: ${text}`);
      assert.equal(found(text), undefined, text);
    }
  }
});

test('no log line, audit event, metric, row or file has a stored secret in it', async (t) => {
  const lines: string[] = [];
  const world = await openWorld(t);
  const { platform, app, mine, call } = world;
  const log = openLog({ level: 'debug', stream: { write: (line) => lines.push(line) } });
  for (const level of ['debug', 'info', 'warn', 'error'] as const) {
    platform.log[level] = (fields: object, message: string) => log[level](fields, message);
  }
  const ids = await plant(world);
  for (const id of ids) {
    await call(`POST /connections/${id}/test`, { key: mine.key });
    await call(`POST /connections/${id}/reveal`, { key: mine.key });
    await call(`PATCH /connections/${id}`, { key: mine.key, body: { password: plain, url: 'https://evil.example' } });
  }
  await call(`GET /projects/${mine.project}/pull-secret`, { key: mine.key });
  const authorization = `Bearer ${plain}`;
  await app.inject({ url: `${nativeBase}/connections?search=${plain}`, headers: { authorization } });
  await app.inject({ url: `${nativeBase}/connections/${ids[0]}?password=${plain}`, headers: { authorization } });
  const scheduled = { ...platform, config: { ...platform.config, connectionCheckIntervalMs: 1000 } };
  platform.clock.advance(10_000);
  for (const _ of ids) await testNextConnection(scheduled, 'worker');
  assert.ok(lines.length > ids.length * 3);
  const metrics = (await app.inject('/metrics')).body;
  assert.match(metrics, /lading_connections/);
  const texts = { lines: lines.join('\n'), metrics, rows: await dumpRows(platform), file: await readFiles(platform) };
  for (const [name, text] of Object.entries(texts)) assert.equal(found(text), undefined, name);
  assert.match(texts.rows, /planted 0/, 'what is there is seen');
});

/** Every row of every table, whatever tables there will be. */
async function dumpRows({ db, engine }: TestPlatform): Promise<string> {
  const tables =
    engine === 'sqlite'
      ? sql<{ name: string }>`select name from sqlite_master where type = 'table'`
      : sql<{
          name: string;
        }>`select table_name as name from information_schema.tables where table_schema = current_schema()`;
  const dumps: string[] = [];
  for (const { name } of (await tables.execute(db)).rows) {
    const { rows } = await sql`select * from ${sql.table(name)}`.execute(db);
    dumps.push(name, JSON.stringify(rows), ...rows.map((row) => bytesOf(row as Record<string, unknown>)));
  }
  return dumps.join('\n');
}

const bytesOf = (row: Record<string, unknown>) =>
  Object.values(row)
    .map((value) => (value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : ''))
    .join('');

/** The database file itself and its log; rows that were changed may still lie there. */
async function readFiles({ db, engine }: TestPlatform): Promise<string> {
  if (engine !== 'sqlite') return '';
  const { rows } = await sql<{ file: string }>`select file from pragma_database_list`.execute(db);
  const files = rows.flatMap(({ file }) => [file, `${file}-wal`]).filter((file) => existsSync(file));
  assert.ok(files.length > 0);
  return files.map((file) => readFileSync(file).toString('latin1')).join('');
}
