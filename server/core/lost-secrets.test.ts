import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { secretsOf } from '#server/seal.ts';
import { noLogin } from '#test/connection-world.ts';
import { openTestPlatform, seedTeam } from '#test/platform.ts';
import { seedEachSealedColumn, seedSealedConnections } from '#test/sealed-connections.ts';
import { listAuditEvents } from './audit-events.ts';
import { supplyNextCluster } from './cluster-supply.ts';
import { deleteCluster, updateCluster } from './clusters.ts';
import { createConnection, getConnection, revealConnection, updateConnection } from './connections.ts';
import { countLost, discardLost } from './lost-secrets.ts';
import { getPullSecret } from './pull-secrets.ts';
import { sealedColumns } from './sealed-columns.ts';
import { requireMasterKeys } from './sealed-rows.ts';
import { listSigningKeys } from './signing-keys.ts';
import { type Finding, verify } from './verify.ts';

const newKeys = (id: string) => secretsOf([{ id, key: randomBytes(32) }]);

test('what no configured key opens is counted by what it is, and found by verify', async (t) => {
  const platform = await openTestPlatform(t, { secrets: newKeys('old') });
  const team = await seedTeam(platform, 'acme');
  await seedEachSealedColumn(platform, team);
  assert.deepEqual(await countLost(platform), { lost: [], looked: sealedColumns.length });
  await seedSealedConnections(platform.db, team.teamId, newKeys('old'), 2);
  const findings: Finding[] = [];
  const looked = { deep: false, repair: false, report: (one: Finding) => findings.push(one) };
  const checked = await verify({ platform, ...looked });
  assert.equal(checked.secrets, sealedColumns.length + 2);
  const { kind, what, found } = findings[0] ?? {};
  assert.deepEqual([kind, what, findings.length], ['secrets lost', 'secrets of connections: 2', 1]);
  assert.match(String(found), /^sealed with "old", but that key does not open them$/);
  findings.length = 0;
  await verify({ platform: { ...platform, secrets: newKeys('new') }, ...looked });
  assert.equal(findings.length, sealedColumns.length);
  for (const one of findings) assert.match(String(one.found), /^sealed with "old", which is not configured$/);
});

test('dropping what is lost lets the server start, keeps what opens, and says so to the teams', async (t) => {
  const before = await openTestPlatform(t, { secrets: newKeys('old') });
  const team = await seedTeam(before, 'acme');
  const login = { provider: 'ghcr', username: 'ci', password: 'lost' };
  await createConnection(before, team.owner, { name: 'Lost', ...login });
  await getPullSecret(before, team.owner, { project: 'default' });
  await listSigningKeys(before);
  const after = { ...before, secrets: newKeys('new'), local: { ...before.local } };
  Object.assign(after.local.signingKeys, { keys: [], readAt: 0 });
  await createConnection(after, team.owner, { name: 'Kept', ...login, password: 'kept' });
  await assert.rejects(requireMasterKeys(after), { message: /"old", which is not configured.*--discard-lost/ });

  assert.equal(await discardLost(after), 3);
  assert.equal(await discardLost(after), 0);
  await requireMasterKeys(after);
  assert.equal((await listSigningKeys(after)).length, 1);
  const lost = await getConnection(after, team.owner, 'lost');
  assert.deepEqual([lost.hasSecret, lost.username, lost.status], [false, '', 'untested']);
  assert.deepEqual((await revealConnection(after, team.owner, 'kept')).secret, { kind: 'password', password: 'kept' });
  const { entries } = await getPullSecret(after, team.owner, { project: 'default' });
  assert.deepEqual(
    entries.map(({ source }) => (source.kind === 'hosted' ? source.kind : source.slug)),
    ['hosted', 'kept'],
  );
  const { items } = await listAuditEvents(after, team.owner, { limit: 50, action: 'connection.secret-lost' });
  assert.deepEqual(
    items.map(({ target, actor, detail }) => [target.name, actor.kind, detail]),
    [['lost', 'system', { masterKey: 'old' }]],
  );
  const again = await updateConnection(after, team.owner, { connection: 'lost', username: 'ci', password: 'new' });
  assert.equal(again.hasSecret, true);
  await updateConnection(after, team.owner, { connection: 'kept', ...noLogin, description: 'still' });
});

test('a cluster whose credentials were lost says so until they are given again, and can be deleted', async (t) => {
  const before = await openTestPlatform(t, { secrets: newKeys('old') });
  const team = await seedTeam(before, 'acme');
  await seedEachSealedColumn(before, team);
  const after = { ...before, secrets: newKeys('new') };
  assert.equal(await discardLost(after), sealedColumns.length);
  await requireMasterKeys(after);
  assert.equal(await supplyNextCluster(after, 'worker'), true);
  const integration = () => after.db.selectFrom('cluster_integrations').selectAll().executeTakeFirst();
  const failing = await integration();
  assert.match(failing?.error ?? '', /credentials of cluster c were lost with a master key. Give them again/);
  const { items } = await listAuditEvents(after, team.owner, { limit: 50, action: 'cluster' });
  assert.deepEqual(
    items.map(({ action }) => action),
    ['cluster.credentials-lost'],
  );
  await updateCluster(after, team.owner, { cluster: 'c', token: 'given-again' });
  assert.deepEqual(await countLost(after), { lost: [], looked: 1 });
  await after.db.updateTable('clusters').set({ sealed_credentials: '' }).execute();
  await deleteCluster(after, team.owner, { cluster: 'c' });
  assert.equal(await supplyNextCluster(after, 'worker'), true);
  assert.equal(await integration(), undefined);
  assert.deepEqual(await after.db.selectFrom('clusters').select('id').execute(), []);
});
