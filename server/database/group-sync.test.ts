import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newGroupSync } from './group-sync.ts';

/** Syncs that end when the test says so. */
function openSyncs() {
  const started: PromiseWithResolvers<void>[] = [];
  const group = newGroupSync(() => {
    const one = Promise.withResolvers<void>();
    started.push(one);
    return one.promise;
  });
  return { group, started };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

test('who wrote after a sync began waits for the next one, shared with all who came meanwhile', async () => {
  const { group, started } = openSyncs();
  const ended: string[] = [];
  const write = (name: string) => {
    group.wrote();
    return group.settle()?.then(() => ended.push(name));
  };
  const all = [write('a'), write('b'), write('c')];
  await turn();
  assert.equal(started.length, 1);
  started[0]?.resolve();
  await turn();
  assert.deepEqual(ended, ['a']);
  assert.equal(started.length, 2, 'b and c share the second');
  all.push(write('d'));
  started[1]?.resolve();
  await turn();
  assert.deepEqual(ended, ['a', 'b', 'c']);
  started[2]?.resolve();
  await Promise.all(all);
  assert.deepEqual(ended, ['a', 'b', 'c', 'd']);
});

test('nobody waits for what is synced already, or for more than he needs', async () => {
  const { group, started } = openSyncs();
  assert.equal(group.settle(), undefined);
  group.wrote();
  const settled = [group.settle(), group.settle()];
  await turn();
  started[0]?.resolve();
  await Promise.all(settled);
  assert.equal(group.settle(), undefined);
  assert.equal(started.length, 1);
});

test('after a sync that failed nothing counts as durable any more', async () => {
  const { group, started } = openSyncs();
  group.wrote();
  const first = group.settle();
  group.wrote();
  const second = group.settle();
  started[0]?.reject(new Error('the disk is gone'));
  await assert.rejects(first ?? assert.fail(), /the disk is gone/);
  await assert.rejects(second ?? assert.fail(), /the disk is gone/);
  group.wrote();
  await assert.rejects(group.settle() ?? assert.fail(), /the disk is gone/);
  assert.equal(started.length, 1);
});
