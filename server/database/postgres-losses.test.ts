import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { sql } from 'kysely';
import { newLocalState } from '#core/local-state.ts';
import { ensureRegions } from '#core/regions.ts';
import { deleteRegistry } from '#core/registries.ts';
import { startJobs } from '#jobs/jobs.ts';
import { buildApp } from '#server/app.ts';
import { testDatabaseUrl } from '#test/database.ts';
import { findBroken } from '#test/invariants.ts';
import { type Answer, type Ask, askerOf, basic, digestOf, pushImage, withAuthorization } from '#test/oci-client.ts';
import { openTestPlatform, seedTeam } from '#test/platform.ts';
import { imageOf, openRegistry, putManifest } from '#test/registry-client.ts';
import { makeDatabase, startPostgres } from '#test/servers/postgres.ts';
import { startPostgresProxy } from '#test/servers/postgres-proxy.ts';
import { openDatabase } from './open-database.ts';
import { openPool, tryOnLiving } from './postgres-pool.ts';

// Needs a server: `npm run test:all`.
if (testDatabaseUrl !== undefined) testOnServer(testDatabaseUrl);

/** Two replicas on one database: `cut` reaches it by way of the proxy, `registry` directly and sees how things are. */
async function openBoth(t: TestContext, serverUrl: string) {
  const registry = await openRegistry(t);
  const { platform, team } = registry;
  const { rows } = await sql<{ name: string }>`select current_schema() as name`.execute(platform.db);
  const proxy = await startPostgresProxy(t, serverUrl);
  const url = new URL(proxy.url);
  url.searchParams.set('options', `-c search_path=${rows[0]?.name}`);
  const { db, scans, check, close } = await openDatabase({ url: url.href, dataDir: '', poolSize: 4 });
  const app = await buildApp({ ...platform, db, scans, local: newLocalState() }, { checks: { database: check } });
  t.after(async () => {
    await app.close();
    await close();
  });
  return { registry, proxy, cut: withAuthorization(askerOf(app), basic(team.secret)) };
}

const layer = 'a layer';
const digest = digestOf(layer);
const blobUrl = `/v2/acme/app/blobs/${digest}`;
const pushLayer = (ask: Ask) => ask('POST', `/v2/acme/app/blobs/uploads/?digest=${digest}`, { body: layer });

function assertRetryable(answer: Answer): void {
  assert.equal(answer.status, 503, answer.text);
  assert.equal(answer.code, 'UNAVAILABLE');
  assert.match(answer.headers['retry-after'] ?? '', /^[1-9]/);
}

function testOnServer(serverUrl: string): void {
  test('a read whose connection ends is made again on another, and nobody notices', async (t) => {
    const { registry, proxy, cut } = await openBoth(t, serverUrl);
    await pushImage(registry.owner, 'acme/app', 'v1');
    for (const where of ['before', 'after'] as const) {
      let cuts = 0;
      proxy.cut = (text) => (/from "registries"/.test(text) && ++cuts === 1 ? where : undefined);
      assert.equal((await cut('GET', '/v2/acme/app/manifests/v1')).status, 200);
      assert.equal(cuts, 2, 'one try more');
    }
  });

  test('a pool full of connections that died unnoticed costs a read no more than tries', async (t) => {
    const { registry, proxy, cut } = await openBoth(t, serverUrl);
    await pushImage(registry.owner, 'acme/app', 'v1');
    await Promise.all(Array.from({ length: 8 }, () => cut('GET', '/v2/acme/app/manifests/v1')));
    const last = proxy.connections;
    proxy.cut = (_statement, connection) => (connection <= last ? 'before' : undefined);
    assert.equal((await cut('GET', '/v2/acme/app/manifests/v1')).status, 200);
    assert.equal((await pushLayer(cut)).status, 201);
    assert.ok(proxy.connections > last);
  });

  // What would break without this: while the server is silent, a pull waits minutes for what it will not get.
  test('a server that says nothing is waited for once, however many connections to it there are', async (t) => {
    const proxy = await startPostgresProxy(t, serverUrl);
    const pool = openPool(proxy.url, { max: 4, acquireTimeoutMs: 5000, settings: ['select 1'], silenceMs: 300 });
    t.after(() => pool.end());
    const ask = async (text: string) => {
      const [, client] = await tryOnLiving(pool, (client) => client.query(text));
      client.release();
    };
    await Promise.all(Array.from({ length: 4 }, () => ask('select pg_sleep(0.05)')));
    proxy.cut = (text) => (text === 'select 2' ? 'silent' : undefined);
    await assert.rejects(ask('select 2'), { reason: 'unavailable' });
    assert.deepEqual([proxy.connections, proxy.seen.filter((text) => text === 'select 2').length], [4, 1]);
    await ask('select 3');
  });

  // What would break without this: a restart of the server in the middle of a push would be the client's problem.
  test('a transaction whose connection ends before its commit is sent is made again, once', async (t) => {
    const { registry, proxy, cut } = await openBoth(t, serverUrl);
    let isOver = false;
    proxy.cut = (text) => {
      if (isOver || !/^insert into "repository_blobs"/.test(text)) return undefined;
      isOver = true;
      return 'after';
    };
    const answer = await pushLayer(cut);
    assert.deepEqual([answer.status, isOver], [201, true], answer.text);
    assert.deepEqual(await findBroken(registry.platform), []);
    assert.equal((await registry.owner('HEAD', blobUrl)).status, 200);
  });

  for (const where of ['before', 'after'] as const) {
    test(`a commit cut off ${where} the server has it is not repeated but 503, and done wholly or not at all`, async (t) => {
      const { registry, proxy, cut } = await openBoth(t, serverUrl);
      await pushImage(registry.owner, 'acme/app', 'v1', ['another']);
      let isSealing = false;
      let commits = 0;
      proxy.cut = (text) => {
        if (/^insert into "repository_blobs"/.test(text)) isSealing = true;
        if (text !== 'commit' || !isSealing) return undefined;
        isSealing = false;
        commits++;
        return where;
      };
      assertRetryable(await pushLayer(cut));
      assert.equal(commits, 1, 'it was sent once');
      proxy.cut = () => undefined;
      const { status } = await registry.owner('HEAD', blobUrl);
      assert.equal(status, where === 'after' ? 200 : 404);
      assert.deepEqual(await findBroken(registry.platform), []);
      assert.equal((await pushLayer(cut)).status, 201);
      assert.deepEqual(await findBroken(registry.platform), []);
    });
  }

  test('a push cut off at any one of its statements loses nothing acknowledged and does nothing twice', async (t) => {
    const { registry, proxy, cut } = await openBoth(t, serverUrl);
    const statements = await countStatements();
    assert.ok(statements > 20, `${statements} statements`);
    for (let n = 1; n <= statements; n++) {
      const name = `acme/cut-${n}`;
      let seen = 0;
      proxy.cut = () => (++seen === n ? 'after' : undefined);
      await pushUntilTaken(name);
      proxy.cut = () => undefined;
      assert.equal((await registry.owner('GET', `/v2/${name}/manifests/v1`)).status, 200, name);
    }
    assert.deepEqual(await findBroken(registry.platform), []);

    async function countStatements(): Promise<number> {
      const before = proxy.seen.length;
      await pushUntilTaken('acme/uncut');
      return proxy.seen.length - before;
    }

    /** As a client does: what was 503 is sent again. What was acknowledged is looked at at once. */
    async function pushUntilTaken(name: string): Promise<void> {
      for (const text of ['{}', layer]) {
        const url = `/v2/${name}/blobs/uploads/?digest=${digestOf(text)}`;
        await untilTaken(() => cut('POST', url, { body: text }));
        assert.equal((await registry.owner('GET', `/v2/${name}/blobs/${digestOf(text)}`)).text, text);
      }
      await untilTaken(() => putManifest(cut, name, 'v1', imageOf([layer])));
    }
  });

  test('after a restart of the server readiness goes red and green again, jobs go on, and a push goes through', async (t) => {
    const postgres = await startPostgres();
    t.after(() => postgres.stop());
    const { db, scans, check, close } = await openDatabase({ url: await makeDatabase(postgres.url), dataDir: '' });
    t.after(close);
    const other = await openTestPlatform(t);
    const regions = await ensureRegions(db, [{ slug: 'local', name: 'Local', host: 'localhost:8080' }]);
    const platform = { ...other, db, scans, config: { ...other.config, regions } };
    const team = await seedTeam(platform, 'acme');
    const app = await buildApp(platform, { checks: { database: check } });
    const ask = askerOf(app);
    const owner = withAuthorization(ask, basic(team.secret));
    const jobs = startJobs(platform, { auditRetentionDays: 365 });
    t.after(async () => {
      await jobs.stop();
      await app.close();
    });
    await pushImage(owner, 'acme/app', 'v1');
    await postgres.restart('fast', () => comesTrue(async () => (await ask('GET', '/readyz')).status === 503));
    const upAt = performance.now();
    await comesTrue(async () => (await ask('GET', '/readyz')).status === 200);
    assert.ok(performance.now() - upAt < 5000, 'ready again in seconds');
    await pushImage(owner, 'acme/app', 'v2');
    assert.equal((await owner('GET', '/v2/acme/app/manifests/v1')).status, 200);
    await deleteRegistry(platform, team.owner, { registry: team.registryName });
    await comesTrue(async () => (await db.selectFrom('registries').select('id').execute()).length === 0);
  });
}

async function untilTaken(push: () => Promise<Answer>): Promise<void> {
  for (let tries = 0; tries < 2; tries++) {
    const answer = await push();
    if (answer.status === 201) return;
    assertRetryable(answer);
  }
  assert.fail('One cut is one 503 at most.');
}

/** What comes about by itself, after a while that nobody can name. */
async function comesTrue(condition: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!(await condition())) {
    assert.ok(Date.now() < deadline, 'it never came about');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
