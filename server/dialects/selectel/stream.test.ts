import assert from 'node:assert/strict';
import { get, type IncomingMessage } from 'node:http';
import { type TestContext, test } from 'node:test';
import { fastify } from 'fastify';
import { sendArray } from './stream.ts';

async function serve<Item>(t: TestContext, items: () => AsyncIterable<Item>): Promise<() => Promise<IncomingMessage>> {
  const app = fastify();
  t.after(() => app.close());
  app.get('/', (_request, reply) => sendArray(reply, items(), (item) => item));
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  return () => new Promise((resolve, reject) => get(url, resolve).once('error', reject));
}

const read = async (answer: IncomingMessage) => Buffer.concat(await answer.toArray()).toString();

test('any number of items is an array', async (t) => {
  for (const count of [0, 1, 2, 5000]) {
    const expected = Array.from({ length: count }, (_, i) => ({ i, text: 'x'.repeat(100) }));
    const ask = await serve(t, async function* () {
      yield* expected;
    });
    assert.deepEqual(JSON.parse(await read(await ask())), expected);
  }
});

test('what refuses before the first item is a refusal still', async (t) => {
  // biome-ignore lint/correctness/useYield: it fails before.
  const ask = await serve(t, async function* () {
    throw Object.assign(new Error('not here'), { statusCode: 404 });
  });
  assert.equal((await ask()).statusCode, 404);
});

// Without this test each client that goes away leaves a reader behind.
test('the reading ends when the client goes away, and does not run ahead of it', async (t) => {
  let produced = 0;
  const ended = Promise.withResolvers<void>();
  const ask = await serve(t, async function* () {
    try {
      for (;;) {
        produced++;
        yield 'x'.repeat(10_000);
      }
    } finally {
      ended.resolve();
    }
  });
  const answer = await ask();
  await new Promise((resolve) => answer.once('data', resolve));
  answer.destroy();
  await ended.promise;
  assert.ok(produced < 10_000, `${produced} items were read for nobody`);
});

test('an array that breaks off is not taken for a whole one', async (t) => {
  const ask = await serve(t, async function* () {
    yield 'x'.repeat(100_000);
    throw new Error('the database is gone');
  });
  const answer = await ask();
  assert.equal(answer.statusCode, 200);
  await assert.rejects(read(answer), { code: 'ECONNRESET' });
});
