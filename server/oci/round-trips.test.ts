import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { sql } from 'kysely';
import { newLocalState } from '#core/local-state.ts';
import { openDatabase } from '#database/open-database.ts';
import { buildApp } from '#server/app.ts';
import { testDatabaseUrl } from '#test/database.ts';
import { askerOf, basic, digestOf, pushImage, signInFor, withAuthorization } from '#test/oci-client.ts';
import { openRegistry } from '#test/registry-client.ts';
import { startPostgresProxy } from '#test/servers/postgres-proxy.ts';

// What a pull costs on Postgres: a change made on one replica is seen by the next request on any, so each request asks; and
// one question has to be enough. Needs a server: `npm run test:all`.
if (testDatabaseUrl !== undefined) testOnServer(testDatabaseUrl);

/** A registry with one image, and a replica whose every statement is seen on its way. */
async function openSeen(t: TestContext, serverUrl: string) {
  const registry = await openRegistry(t);
  const { platform, team, owner } = registry;
  const manifest = await pushImage(owner, 'acme/app', 'v1');
  const { rows } = await sql<{ name: string }>`select current_schema() as name`.execute(platform.db);
  const proxy = await startPostgresProxy(t, serverUrl);
  const url = new URL(proxy.url);
  url.searchParams.set('options', `-c search_path=${rows[0]?.name}`);
  const { db, scans, close } = await openDatabase({ url: url.href, dataDir: '', poolSize: 4 });
  const replica = { ...platform, db, scans, local: newLocalState() };
  const app = await buildApp(replica);
  t.after(async () => {
    await app.close();
    await close();
  });
  const ask = askerOf(app);
  const scope = (actions: string) => signInFor(ask, basic(team.secret), `repository:acme/app:${actions}`);
  const [pull, push] = [await scope('pull'), await scope('pull,push')];
  const statementsOf = async (work: () => Promise<unknown>) => {
    const before = proxy.seen.length;
    await work();
    return proxy.seen.slice(before);
  };
  return { registry, platform: replica, ask, pull, push, manifest, statementsOf, proxy };
}

const blob = digestOf('layer');

function testOnServer(serverUrl: string): void {
  test('a GET and a HEAD of a manifest or a blob ask the database once, whoever asks', async (t) => {
    const { ask, pull, push, manifest, statementsOf } = await openSeen(t, serverUrl);
    const urls = [`manifests/v1`, `manifests/${manifest}`, `blobs/${blob}`].map((path) => `/v2/acme/app/${path}`);
    const requests = [pull, push].flatMap((token) =>
      urls.flatMap((url) => ['GET', 'HEAD'].map((method) => ({ method, url, ask: withAuthorization(ask, token) }))),
    );
    const asked: string[] = [];
    for (const isFirst of [true, false]) {
      for (const { method, url, ask } of requests) {
        // The first time, connections begin, leases are taken, and who asks is looked up: at most once a second.
        const statements = await statementsOf(async () => assert.equal((await ask(method, url)).status, 200));
        if (!isFirst) asked.push(`${method} ${url}: ${statements.length}`);
      }
    }
    assert.deepEqual(
      asked,
      requests.map(({ method, url }) => `${method} ${url}: 1`),
    );
  });

  test('a manifest that was read before is not sent by the database again, and is the same', async (t) => {
    const { ask, pull, manifest, platform, registry } = await openSeen(t, serverUrl);
    const read = withAuthorization(ask, pull);
    const first = await read('GET', '/v2/acme/app/manifests/v1');
    // Nobody but this test changes bytes under their digest: it shows from where they come.
    await registry.platform.db
      .updateTable('manifests')
      .set({ bytes: Buffer.from('changed') })
      .execute();
    for (const reference of ['v1', manifest]) {
      assert.equal((await read('GET', `/v2/acme/app/manifests/${reference}`)).text, first.text);
    }
    platform.local.manifests.bytes.clear();
    assert.equal((await read('GET', '/v2/acme/app/manifests/v1')).text, 'changed');
  });

  test('a tag that was moved on another replica is seen by the next request, which still asks once', async (t) => {
    const { ask, pull, registry, statementsOf } = await openSeen(t, serverUrl);
    const read = withAuthorization(ask, pull);
    await read('GET', '/v2/acme/app/manifests/v1');
    const moved = await pushImage(registry.owner, 'acme/app', 'v1', ['another']);
    const statements = await statementsOf(async () => {
      const { headers, text } = await read('GET', '/v2/acme/app/manifests/v1');
      assert.deepEqual([headers['docker-content-digest'], digestOf(text)], [moved, moved]);
    });
    assert.equal(statements.length, 1);
  });

  test('the server plans these questions once for each connection', async (t) => {
    const { ask, pull, proxy } = await openSeen(t, serverUrl);
    const read = withAuthorization(ask, pull);
    const before = proxy.parsed.length;
    for (const path of ['manifests/v1', `blobs/${blob}`]) {
      for (let n = 0; n < 3; n++) await read('GET', `/v2/acme/app/${path}`);
    }
    const planned = proxy.parsed.slice(before).filter(({ text }) => /from "registries"/.test(text));
    assert.ok(planned.length >= 2);
    const distinct = new Set(planned.map(({ text, connection }) => `${connection} ${text}`));
    assert.equal(planned.length, distinct.size);
  });

  test('a migration that changes what these questions answer costs nobody an error', async (t) => {
    const { ask, pull, registry } = await openSeen(t, serverUrl);
    const read = withAuthorization(ask, pull);
    const change = (type: string) =>
      sql.raw(`alter table registries alter column is_public type ${type}`).execute(registry.platform.db);
    assert.equal((await read('GET', '/v2/acme/app/manifests/v1')).status, 200);
    await change('bigint');
    const { status } = await read('GET', '/v2/acme/app/manifests/v1');
    // The tables are other tests' too.
    await change('integer');
    assert.equal(status, 200);
  });
}
