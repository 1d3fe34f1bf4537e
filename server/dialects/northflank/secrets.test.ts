import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sql } from 'kysely';
import { testConnection } from '#core/connection-tests.ts';
import type { Log } from '#core/platform.ts';
import { buildApp } from '#server/app.ts';
import { listTables } from '#test/database.ts';
import { callerOf } from '#test/dialect-client.ts';
import { keyfile, registries } from '#test/northflank-client.ts';
import { loopback, openTestPlatform, seedTeam } from '#test/platform.ts';
import { startRegistry } from '#test/servers/registry.ts';

const planted = 'planted-secret';
const encoded = Buffer.from(`bob:${planted}`).toString('base64');
const auths = { 'https://a.example': { auth: encoded } };

// Without this test a secret may stand in an error text, a log line or a table, and nobody looks there.
test('a secret is in the answer that shows it and nowhere else', async (t) => {
  const lines: string[] = [];
  const write = (fields: object, message: string) => void lines.push(JSON.stringify([fields, message]));
  const log: Log = { debug: write, info: write, warn: write, error: write };
  const platform = await openTestPlatform(t, { log }, { allowed: loopback });
  const team = await seedTeam(platform, 'acme');
  const app = await buildApp(platform, { metricsToken: 'for-metrics' });
  t.after(() => app.close());
  const call = callerOf(app, team.secret, '/v1');
  const registry = await startRegistry(t);

  const login = { username: 'bob', password: planted };
  const custom = { provider: 'custom', registryUrl: registry.url };
  const asked: [string, object][] = [
    ['POST ', { name: 'any', ...custom, ...login }],
    ['POST ', { name: 'any', ...custom, ...login }],
    ['POST ', { name: 'key', provider: 'gcr', keyfile: { ...keyfile, private_key: planted } }],
    ['POST ', { name: 'docker', provider: 'custom', auths }],
    ['POST ', { name: 'newer', ...custom, credentials: login }],
    ['PATCH /any', { credentials: login }],
    ['POST /any/modify', { ...login, description: 'Changed' }],
    ['PATCH /any', { registryUrl: `http://${planted}.example`, ...login }],
    ['PATCH /any', { registryUrl: `https://bob:${planted}@a.example` }],
    ['PATCH /any', { username: `bob:${planted}` }],
    ['POST ', { name: 'other', provider: 'gcr', ...login }],
    ['POST ', { name: 'other', provider: 'gcr', username: '_json_key', password: planted }],
    ['POST ', { name: 'other', provider: 'custom', keyfile: planted, registryUrl: 'a.example' }],
    ['POST ', { name: 'other', provider: 'custom', auths: { 'a.example': planted } }],
    ['POST ', { name: 'other', provider: 'custom', auths: { [`${planted}!`]: {} } }],
    ['POST ', { name: 'other', ...custom, username: planted }],
    ['POST ', { name: 'other', ...custom, password: planted }],
    ['POST ', { name: 'other', ...custom, username: 'bob', password: `${planted}\0` }],
    ['POST ', { name: 'other', provider: 'dockerhub', ...login, registryUrl: planted }],
    ['POST ', { name: 'other', provider: 'ecr', registryUrl: 'a.example', ...login, aws: { region: planted } }],
    ['PATCH /nothing', login],
  ];
  const texts: string[] = [];
  for (const [request, body] of asked) texts.push((await call(request.replace(' ', ` ${registries}`), { body })).text);
  texts.push((await call(`GET ${registries}`)).text, (await call(`GET ${registries}`, { key: 'x' })).text);
  const shown = await call(`GET ${registries}/any`);
  assert.equal(shown.json.data.credentials.password, planted);
  texts.push(JSON.stringify(await testConnection(platform, team.owner, { connection: 'any' })));
  texts.push((await app.inject({ url: '/metrics', headers: { authorization: 'Bearer for-metrics' } })).body);
  texts.push((await call(`DELETE ${registries}/newer`)).text);

  const tables = await listTables(platform.db);
  assert.ok(tables.length > 10);
  for (const name of tables) {
    const { rows } = await sql`select * from ${sql.table(name)}`.execute(platform.db);
    texts.push(JSON.stringify(rows));
  }
  assert.ok(lines.length > asked.length);
  for (const text of [...texts, ...lines]) {
    for (const secret of [planted, encoded.slice(0, -3), Buffer.from(planted).toString('base64').slice(0, -3)]) {
      assert.ok(!text.includes(secret), `${secret} is in ${text.slice(0, 2000)}`);
    }
  }
});
