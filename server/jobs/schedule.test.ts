import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Log } from '#core/platform.ts';
import { type Job, startSchedule } from './schedule.ts';

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };

/** Lets everything that is due now happen: no timer of these tests runs by itself. */
async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
}

test('a job runs at once, then after each pause', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let runs = 0;
  const job: Job = { name: 'x', everyMs: 1000, run: async () => ++runs < 0 };
  const schedule = startSchedule([job], silent);
  await settle();
  assert.equal(runs, 1);
  t.mock.timers.tick(999);
  await settle();
  assert.equal(runs, 1);
  t.mock.timers.tick(1);
  await settle();
  assert.equal(runs, 2);
  await schedule.stop();
});

test('a job never runs beside itself, however long it takes', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { promise, resolve } = Promise.withResolvers<boolean>();
  let runs = 0;
  const run = () => {
    runs++;
    return promise;
  };
  const schedule = startSchedule([{ name: 'x', everyMs: 10, run }], silent);
  await settle();
  t.mock.timers.tick(1000);
  await settle();
  assert.equal(runs, 1);
  resolve(false);
  await schedule.stop();
});

test('a job with more to do goes on without a pause', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let runs = 0;
  const schedule = startSchedule([{ name: 'x', everyMs: 1000, run: async () => ++runs < 5 }], silent);
  for (let i = 0; i < 5; i++) {
    await settle();
    t.mock.timers.tick(1);
  }
  await settle();
  assert.equal(runs, 5);
  await schedule.stop();
});

test('a job that fails is tried again, and logged when it begins to fail and when it works again', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const lines: string[] = [];
  const note = (_fields: object, message: string) => void lines.push(message);
  let runs = 0;
  const run = async () => {
    runs++;
    if (runs <= 3) throw new Error('the disk is full');
    return false;
  };
  const schedule = startSchedule([{ name: 'x', everyMs: 1000, run }], { ...silent, error: note, info: note });
  for (let i = 0; i < 5; i++) {
    await settle();
    t.mock.timers.tick(1000);
  }
  assert.equal(runs, 5);
  assert.deepEqual(lines, ['a background job failed; it is tried again', 'a background job works again']);
  await schedule.stop();
});

test('stopping waits for what runs, tells it to stop, and begins nothing more', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { promise, resolve } = Promise.withResolvers<boolean>();
  let runs = 0;
  let isStopping = () => false;
  let hasStopped = false;
  const run: Job['run'] = (asked) => {
    runs++;
    isStopping = asked;
    return promise;
  };
  const schedule = startSchedule([{ name: 'x', everyMs: 10, run }], silent);
  await settle();
  assert.equal(isStopping(), false);
  const stopped = schedule.stop().then(() => {
    hasStopped = true;
  });
  await settle();
  assert.deepEqual([isStopping(), hasStopped], [true, false]);
  resolve(true);
  await stopped;
  t.mock.timers.tick(1000);
  await settle();
  assert.equal(runs, 1);
});

test('a job that fails is shown as failing until it works again', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let isBroken = true;
  const run = async () => {
    if (isBroken) throw new Error('out of order');
    return false;
  };
  const other: Job = { name: 'well', everyMs: 10, run: async () => false };
  const schedule = startSchedule([{ name: 'ill', everyMs: 10, run }, other], silent);
  const failing = () => schedule.meter()[0]?.samples.map(({ labels, value }) => [labels.name, value]);
  await settle();
  assert.deepEqual(failing(), [
    ['ill', 1],
    ['well', 0],
  ]);
  isBroken = false;
  t.mock.timers.tick(10);
  await settle();
  assert.deepEqual(failing(), [
    ['ill', 0],
    ['well', 0],
  ]);
  await schedule.stop();
});
