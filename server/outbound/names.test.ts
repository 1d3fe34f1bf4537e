import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Resolve, takingTurns } from './names.ts';
import { openOutbound } from './outbound.ts';

const never = new AbortController().signal;

/** A resolver whose answers come when they are told to. */
function open(bounds: { together: number; ofDomain: number }) {
  const asked: string[] = [];
  const answers = new Map<string, () => void>();
  const resolve = takingTurns((hostname) => {
    asked.push(hostname);
    const { promise, resolve } = Promise.withResolvers<readonly { address: string; family: number }[]>();
    answers.set(hostname, () => resolve([{ address: '203.0.113.7', family: 4 }]));
    return promise;
  }, bounds);
  const settle = () => new Promise((resolve) => setImmediate(resolve));
  return { asked, resolve, settle, answer: (hostname: string) => answers.get(hostname)?.() };
}

// The system's resolver has a few threads: names under one silent domain took all of them, and nobody else's was looked up.
test('names of a domain that nobody answers for keep no other name waiting', async () => {
  const { asked, resolve, settle, answer } = open({ together: 4, ofDomain: 2 });
  for (let i = 0; i < 50; i++) resolve(`h${i}.silent.example.co.uk`, never);
  const other = resolve('registry.example.com', never);
  await settle();
  assert.deepEqual(asked, ['h0.silent.example.co.uk', 'h1.silent.example.co.uk', 'registry.example.com']);
  answer('registry.example.com');
  assert.deepEqual(await other, [{ address: '203.0.113.7', family: 4 }]);
  answer('h1.silent.example.co.uk');
  await settle();
  assert.deepEqual(asked.slice(3), ['h2.silent.example.co.uk']);
});

test('so many names are looked up at once and no more, and all of them in the end', async () => {
  const { asked, resolve, settle, answer } = open({ together: 4, ofDomain: 2 });
  const all = Array.from({ length: 20 }, (_, i) => resolve(`r${i}.test`, never));
  await settle();
  assert.equal(asked.length, 4);
  for (let i = 0; i < 20; i++) {
    answer(`r${i}.test`);
    await settle();
    assert.equal(asked.length, Math.min(20, i + 5));
  }
  assert.equal((await Promise.all(all)).length, 20);
});

test('what nobody waits for any more is not looked up, and a name without addresses gives its turn back', async () => {
  const { asked, resolve, settle, answer } = open({ together: 1, ofDomain: 1 });
  const first = resolve('first.test', never);
  const gone = new AbortController();
  resolve('gone.test', gone.signal);
  resolve('last.test', never);
  await settle();
  gone.abort();
  answer('first.test');
  await first;
  await settle();
  assert.deepEqual(asked, ['first.test', 'last.test']);
  const failing = takingTurns(async () => assert.fail('no such name'), { together: 1, ofDomain: 1 });
  for (let i = 0; i < 3; i++) await assert.rejects(failing('a.test', never), /no such name/);
});

test('a request whose name has no turn in time ends in its time', async () => {
  const silent: Resolve = () => new Promise(() => {});
  const outbound = openOutbound({ allowed: [], resolve: takingTurns(silent, { together: 1, ofDomain: 1 }) });
  const ask = () => outbound({ method: 'GET', url: 'https://registry.example.com/v2/', timeoutMs: 50 });
  const answers = await Promise.all([ask(), ask(), ask()]);
  for (const answer of answers) assert.ok('failedAt' in answer && /seconds|in time|answer/.test(answer.message));
});
