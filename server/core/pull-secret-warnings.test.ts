import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openConnectionWorld } from '#test/connection-world.ts';
import { testConnection } from './connection-tests.ts';
import { updateConnection } from './connections.ts';
import { getPullSecret } from './pull-secrets.ts';

// Without it a deployment gets a password that is known to be refused, and nobody says so.
test('a connection whose last test the registry refused is handed out with a warning that says when', async (t) => {
  const { platform, owner, connect } = await openConnectionWorld(t);
  const { id } = await connect({ password: 'wrong' });
  await connect({ name: 'nowhere', url: 'https://127.0.0.1:1' });
  const warnings = async () => (await getPullSecret(platform, owner, { project: 'default' })).warnings;
  const about = async () => (await warnings()).filter((one) => one.includes('last test'));
  assert.deepEqual(await about(), []);
  await testConnection(platform, owner, { connection: id });
  await testConnection(platform, owner, { connection: 'nowhere' });
  const [said, ...others] = await about();
  assert.match(said ?? '', /^Connection scripted failed its last test at 2026-01-01T00:00:00\.000Z: .*refuses/);
  assert.deepEqual(others, [], 'one that was not reached may be there for whoever pulls');
  await updateConnection(platform, owner, { connection: id, password: 'correct horse' });
  assert.deepEqual(await about(), []);
  await testConnection(platform, owner, { connection: id });
  assert.deepEqual(await about(), []);
});
