import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { makeTestSchema, testDatabaseUrl } from '#test/database.ts';
import { type PostgresProxy, startPostgresProxy } from '#test/servers/postgres-proxy.ts';
import { openPipeline, type Pipeline } from './postgres-pipeline.ts';

// Needs a server: `npm run test:all`.
if (testDatabaseUrl !== undefined) testOnServer(testDatabaseUrl);

async function open(
  t: TestContext,
  serverUrl: string,
  silenceMs = 400,
): Promise<{ proxy: PostgresProxy; pipeline: Pipeline }> {
  const proxy = await startPostgresProxy(t, serverUrl);
  const pipeline = openPipeline(proxy.url, { acquireTimeoutMs: 2000, silenceMs, settings: ['select 0'] });
  t.after(() => pipeline.end());
  await isThere(pipeline);
  return { proxy, pipeline };
}

const one = { text: 'select $1::int as value', values: [1], name: 'one' };
const echoed = { text: 'select $1::int as value', name: 'echoed' };
const slow = { text: 'select $1::int as value, pg_sleep(0.02)', name: 'slow' };
const isThere = (pipeline: Pipeline) => until(async () => (await pipeline.ask(one)) !== undefined);

async function until(isTrue: () => unknown): Promise<void> {
  const end = performance.now() + 5000;
  while (!(await isTrue())) {
    assert.ok(performance.now() < end, 'in vain');
    await delay(5);
  }
}

function testOnServer(serverUrl: string): void {
  test('what is asked at once goes out before the first answer, over one connection, and each gets its own', async (t) => {
    const { proxy, pipeline } = await open(t, serverUrl);
    const [connections, before] = [proxy.connections, proxy.seen.length];
    let answered = 0;
    const values = Array.from({ length: 5 }, (_, value) => value);
    const asked = values.map(async (value) => {
      const answer = await pipeline.ask<{ value: number }>({ ...slow, values: [value] });
      answered++;
      return answer?.rows[0]?.value;
    });
    await until(() => proxy.seen.length === before + values.length);
    assert.equal(answered, 0);
    assert.deepEqual(pipeline.load(), { totalCount: 1, idleCount: 0, waitingCount: 0 });
    assert.deepEqual(await Promise.all(asked), values);
    assert.equal(proxy.connections, connections);
    assert.deepEqual(pipeline.load(), { totalCount: 1, idleCount: 1, waitingCount: 0 });
  });

  test('the error of one query is not that of those before and behind it', async (t) => {
    const { pipeline } = await open(t, serverUrl);
    const halves = { text: 'select 1 / $1::int as value', name: 'halves' };
    const [first, second, third] = await Promise.allSettled([
      pipeline.ask<{ value: number }>({ ...echoed, values: [1] }),
      pipeline.ask({ ...halves, values: [0] }),
      pipeline.ask<{ value: number }>({ ...echoed, values: [3] }),
    ]);
    assert.equal(first.status === 'fulfilled' && first.value?.rows[0]?.value, 1);
    assert.match(String(second.status === 'rejected' && second.reason), /division by zero/);
    assert.equal(third.status === 'fulfilled' && third.value?.rows[0]?.value, 3);
  });

  test('a connection that ends leaves what was asked to a pool, and another is opened', async (t) => {
    const { proxy, pipeline } = await open(t, serverUrl);
    const { connections } = proxy;
    proxy.cut = (_text, connection) => (connection <= connections ? 'before' : undefined);
    const asked = await Promise.all([1, 2, 3].map((value) => pipeline.ask({ ...echoed, values: [value] })));
    assert.deepEqual(asked, [undefined, undefined, undefined]);
    await isThere(pipeline);
    assert.equal(proxy.connections, connections + 1);
  });

  // What would break without this: while the server is silent, each pull would wait for it twice.
  test('a server that says nothing is waited for once by everybody', async (t) => {
    const { proxy, pipeline } = await open(t, serverUrl);
    proxy.cut = (text) => (text.includes('pg_sleep') ? 'silent' : undefined);
    const began = performance.now();
    const asked = await Promise.allSettled([1, 2, 3].map((value) => pipeline.ask({ ...slow, values: [value] })));
    assert.ok(performance.now() - began < 2000);
    for (const each of asked) {
      assert.equal(each.status, 'rejected');
      assert.equal(each.reason.reason, 'unavailable');
    }
    await isThere(pipeline);
  });

  test('a kept query whose table has changed is left to a pool, and the next connection plans it anew', async (t) => {
    const { pipeline } = await open(t, await makeTestSchema(t, serverUrl));
    const run = async (text: string) => assert.ok(await pipeline.ask({ text, values: [], name: text }));
    await run('create table kept (a int)');
    const all = { text: 'select * from kept', values: [], name: 'all' };
    assert.ok(await pipeline.ask(all));
    await run('alter table kept add column b int');
    assert.equal(await pipeline.ask(all), undefined);
    await isThere(pipeline);
    assert.ok(await pipeline.ask(all));
  });

  test('a query behind one that could not be parsed is left to a pool', async (t) => {
    const { pipeline } = await open(t, serverUrl);
    const wrong = { text: 'selec 1', values: [], name: 'wrong' };
    const [first, second] = await Promise.allSettled([pipeline.ask(wrong), pipeline.ask(wrong)]);
    assert.match(String(first.status === 'rejected' && first.reason), /syntax error/);
    assert.deepEqual(second, { status: 'fulfilled', value: undefined });
    await isThere(pipeline);
  });

  // What would break without this: a lock that one query waits for would hold up every pull of this replica.
  test('nobody joins where the one before has waited for a second', async (t) => {
    const { pipeline } = await open(t, serverUrl, 5000);
    const stuck = pipeline.ask({ text: 'select pg_sleep(0.3), $1::int', values: [1], name: 'stuck' });
    await delay(50);
    const joined = pipeline.ask({ text: 'select pg_sleep(1.5)', values: [], name: 'longer' });
    assert.ok(await stuck);
    await delay(1100);
    assert.equal(await pipeline.ask(one), undefined);
    assert.ok(await joined);
    assert.ok(await pipeline.ask(one));
  });

  test('one that is being opened is closed when it ends', async (t) => {
    const proxy = await startPostgresProxy(t, serverUrl);
    const pipeline = openPipeline(proxy.url, { acquireTimeoutMs: 2000, settings: ['select 0'] });
    assert.equal(await pipeline.ask(one), undefined);
    await pipeline.end();
    assert.deepEqual(pipeline.load(), { totalCount: 0, idleCount: 0, waitingCount: 0 });
    assert.equal(await pipeline.ask(one), undefined);
    assert.deepEqual([proxy.connections, proxy.seen], [1, ['select 0']]);
  });

  test('more than a hundred behind each other are left to a pool', async (t) => {
    const { pipeline } = await open(t, serverUrl);
    const asked = await Promise.all(
      Array.from({ length: 103 }, (_, value) => pipeline.ask({ ...echoed, values: [value] })),
    );
    assert.equal(asked.filter((answer) => answer === undefined).length, 3);
  });

  test('a server that is not there is left to a pool, and asked again later', async (t) => {
    const pipeline = openPipeline('postgres://nobody@127.0.0.1:1/none', { acquireTimeoutMs: 500, settings: [] });
    t.after(() => pipeline.end());
    assert.equal(await pipeline.ask(one), undefined);
    await delay(50);
    assert.equal(await pipeline.ask(one), undefined);
    assert.deepEqual(pipeline.load(), { totalCount: 0, idleCount: 0, waitingCount: 0 });
  });
}
