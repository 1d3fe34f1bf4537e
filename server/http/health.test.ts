import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openOci } from '#test/oci-client.ts';

const ok = async () => {};

test('healthz answers while database and store do not', async (t) => {
  const { ask } = await openOci(t, { checks: { database: () => Promise.reject(new Error('down')) } });
  assert.equal((await ask('GET', '/healthz')).status, 200);
});

test('readyz names what fails, and not why', async (t) => {
  const down = () => Promise.reject(new Error('password of db.internal refused'));
  const { ask } = await openOci(t, { checks: { database: down, store: ok } });
  const { status, text } = await ask('GET', '/readyz');
  assert.equal(status, 503);
  assert.deepEqual(JSON.parse(text), { status: 'unavailable', checks: { database: 'failed', store: 'ok' } });
});

test('readyz answers 503 where a check gives no answer', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { ask } = await openOci(t, { checks: { store: () => new Promise(() => {}) } });
  const asked = ask('GET', '/readyz');
  // The timer is set once the request has reached the handler.
  for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve));
  t.mock.timers.tick(3000);
  const { status, text } = await asked;
  assert.equal(status, 503);
  assert.deepEqual(JSON.parse(text).checks, { store: 'no answer' });
});

test('many who ask readyz at once cost one question', async (t) => {
  let asked = 0;
  const { ask } = await openOci(t, { checks: { store: async () => void asked++ } });
  const answers = await Promise.all(Array.from({ length: 20 }, () => ask('GET', '/readyz')));
  assert.ok(answers.every((answer) => answer.status === 200));
  assert.equal(asked, 1);
});

test('a server that is about to end is alive and not ready', async (t) => {
  const draining = { hasBegun: false };
  const { ask } = await openOci(t, { checks: { store: ok }, draining });
  assert.equal((await ask('GET', '/readyz')).status, 200);
  draining.hasBegun = true;
  const { status, text } = await ask('GET', '/readyz');
  assert.equal(status, 503);
  assert.deepEqual(JSON.parse(text), { status: 'draining', checks: { store: 'ok' } });
  assert.equal((await ask('GET', '/healthz')).status, 200);
});
