import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { findFreePort } from '#test/servers/child.ts';
import { connectPostgres } from './snapshot.ts';

// What would break without this: with the driver's next release copies would take any server's certificate.
test('a copy means by sslmode what servers mean, and the driver has nothing to warn of', async (t) => {
  const warnings: string[] = [];
  const note = ({ message }: Error) => void warnings.push(message);
  process.on('warning', note);
  t.after(() => process.off('warning', note));
  const url = `postgres://someone@127.0.0.1:${await findFreePort()}/lading?sslmode=require`;
  await assert.rejects(connectPostgres(url), { reason: 'unavailable' });
  process.emitWarning('the last one');
  while (!warnings.includes('the last one')) await once(process, 'warning');
  assert.deepEqual(warnings, ['the last one']);
});
