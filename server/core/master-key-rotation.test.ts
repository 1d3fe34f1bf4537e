import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { sql } from 'kysely';
import type { SealKey } from '#server/config-values.ts';
import { secretsOf } from '#server/seal.ts';
import type { Scope } from '#test/database.ts';
import { openTestPlatform, seedTeam, type TestPlatform } from '#test/platform.ts';
import { seedEachSealedColumn, seedSealedConnections } from '#test/sealed-connections.ts';
import { rotateMasterKey } from './master-key-rotation.ts';
import type { Platform } from './platform.ts';
import { nameOf, type SealedColumn, sealContext, sealedColumns, sealedIn } from './sealed-columns.ts';
import { listOutdated, requireMasterKeys, reseal } from './sealed-rows.ts';

const newKey = (id: string): SealKey => ({ id, key: randomBytes(32) });
// An underscore is a wildcard of LIKE, and one id begins as the other: neither may be taken for the other.
const [old, fresh] = [newKey('k_1'), newKey('k_1b')];

/** A team, and platforms with the keys of before, during and after the rotation, on one database. */
async function open(t: Scope) {
  const platform = await openTestPlatform(t, { secrets: secretsOf([old]) });
  const team = await seedTeam(platform, 'acme');
  const withKeys = (...keys: SealKey[]): TestPlatform => ({ ...platform, secrets: secretsOf(keys) });
  return { platform, team, during: withKeys(fresh, old), after: withKeys(fresh), withKeys };
}

type World = Awaited<ReturnType<typeof open>>;

const seedConnections = ({ platform, team }: World, count: number, secrets = platform.secrets) =>
  seedSealedConnections(platform.db, team.teamId, secrets, count);

const seedEachColumn = ({ platform, team }: World) => seedEachSealedColumn(platform, team);

async function openAll({ db, secrets }: Platform, column: SealedColumn): Promise<string[]> {
  const { rows } = await sql<{ key: string; sealed: string | null }>`select ${sql.ref(column.key)} as key,
    ${sql.ref(column.column)} as sealed from ${sql.table(column.table)}`.execute(db);
  return rows.map(({ key, sealed }) => secrets.open(sealed ?? '', sealContext(column, key)));
}

const ignore = () => {};

// A column that is missing in the list would stay sealed with a key that the operator is told to take out.
test('every sealed column of the database is in the list', async (t) => {
  const { platform } = await open(t);
  const { rows } = await sql<{ name: string }>`select ${
    platform.engine === 'sqlite'
      ? sql`m.name || '.' || c.name as name from sqlite_schema m, pragma_table_info(m.name) c`
      : sql`table_name || '.' || column_name as name from information_schema.columns where table_schema = current_schema`
  }`.execute(platform.db);
  const found = rows.map(({ name }) => name).filter((name) => name.includes('.sealed_'));
  assert.deepEqual(found.toSorted(), sealedColumns.map(nameOf).toSorted());
});

// Values that are stored already are bound to these words: another spelling would open none of them.
test('what sealed values are bound to stays as it is', () => {
  assert.deepEqual(
    sealedColumns.map((column) => sealContext(column, '1')),
    [
      'signing_keys/1',
      'clusters/1',
      'cluster_integrations/1',
      'connections/1',
      'connections/1/replacement',
      'project_pull_tokens/1',
    ],
  );
});

test('after a rotation the new key alone opens every column, and a second one has nothing to do', async (t) => {
  const world = await open(t);
  await seedEachColumn(world);
  const done = await rotateMasterKey(world.during, ignore);
  const all = sealedColumns.length;
  assert.deepEqual(done, { keyId: fresh.id, found: all, resealed: all, unreadable: [], left: 0 });
  for (const column of sealedColumns) assert.deepEqual(await openAll(world.after, column), [nameOf(column)]);
  const again = await rotateMasterKey(world.after, () => assert.fail('something was written'));
  assert.deepEqual(again, { keyId: fresh.id, found: 0, resealed: 0, unreadable: [], left: 0 });
});

test('a rotation that is cut off goes on where it was', async (t) => {
  const world = await open(t);
  await seedConnections(world, 100);
  let reports = 0;
  const cut = rotateMasterKey(world.during, () => {
    if (++reports === 2) throw new Error('killed');
  });
  await assert.rejects(cut, /killed/);
  const { found, left } = await rotateMasterKey(world.during, ignore);
  assert.ok(found > 0 && found < 100, `${found} were left`);
  assert.equal(left, 0);
  assert.equal((await openAll(world.after, sealedIn.connections)).length, 100);
});

test('what a server has changed since the row was read is kept', async (t) => {
  const world = await open(t);
  const [id = ''] = await seedConnections(world, 1);
  const [row] = await listOutdated(world.during, sealedIn.connections, '', 1);
  const changed = world.during.secrets.seal('another password', `connections/${id}`);
  await world.platform.db.updateTable('connections').set({ sealed_secret: changed }).execute();
  assert.equal(await reseal(world.during, sealedIn.connections, row ?? assert.fail()), 'changed');
  assert.deepEqual(await openAll(world.after, sealedIn.connections), ['another password']);
});

test('10,000 rows are sealed anew while servers replace passwords, and the last password of each stays', async (t) => {
  const world = await open(t);
  const ids = await seedConnections(world, 10_000);
  const replaced = ids.filter((_, i) => i % 10 === 0);
  const rotation = rotateMasterKey(world.during, ignore);
  await Promise.all([
    rotation,
    replacePasswords(world, replaced.slice(0, 500)),
    replacePasswords(world, replaced.slice(500)),
  ]);
  const { left, resealed } = await rotation;
  assert.equal(left, 0);
  assert.ok(resealed >= 9_000, `${resealed}`);
  const isReplaced = new Set(replaced);
  const expected = ids.map((id) => (isReplaced.has(id) ? `new password of ${id}` : `password of ${id}`));
  assert.deepEqual((await openAll(world.after, sealedIn.connections)).toSorted(), expected.toSorted());
});

async function replacePasswords({ during: { db, secrets } }: World, ids: readonly string[]): Promise<void> {
  for (const id of ids) {
    const sealed_secret = secrets.seal(`new password of ${id}`, `connections/${id}`);
    await db.updateTable('connections').set({ sealed_secret }).where('id', '=', id).execute();
  }
}

test('what a server seals with the old key meanwhile is found by another pass', async (t) => {
  const world = await open(t);
  const [id = ''] = await seedConnections(world, 50);
  const sealed_secret = world.platform.secrets.seal('late', `connections/${id}`);
  let reports = 0;
  const { left } = await rotateMasterKey(world.during, async () => {
    if (++reports !== 2) return;
    await world.platform.db.updateTable('connections').set({ sealed_secret }).where('id', '=', id).execute();
  });
  assert.equal(left, 0);
  assert.ok((await openAll(world.after, sealedIn.connections)).includes('late'));
});

test('a server that goes on sealing with the old key is told of, not waited for', async (t) => {
  const world = await open(t);
  const [id = ''] = await seedConnections(world, 1);
  const sealed_secret = world.platform.secrets.seal('again and again', `connections/${id}`);
  const { left } = await rotateMasterKey(world.during, async () => {
    await world.platform.db.updateTable('connections').set({ sealed_secret }).where('id', '=', id).execute();
  });
  assert.equal(left, 1);
});

test('a damaged row is named and left, and all others are sealed anew', async (t) => {
  const world = await open(t);
  const ids = await seedConnections(world, 30);
  const sealed_secret = world.platform.secrets.seal('moved here', 'connections/elsewhere');
  await world.platform.db
    .updateTable('connections')
    .set({ sealed_secret })
    .where('id', '=', ids[12] ?? '')
    .execute();
  const { left, resealed, unreadable } = await rotateMasterKey(world.during, ignore);
  assert.deepEqual([left, resealed], [1, 29]);
  assert.deepEqual(unreadable, [{ column: 'connections.sealed_secret', key: ids[12] }]);
});

const refusals: readonly [string, (world: World) => Platform, RegExp][] = [
  ['a key that is not configured', (world) => world.after, /master key "k_1", which is not configured/],
  ['another key of the same id', (world) => world.withKeys(fresh, newKey('k_1')), /"k_1", and does not open with it/],
];
for (const [name, platformOf, sentence] of refusals) {
  test(`${name} is refused by its id in every column, and nothing is changed`, async (t) => {
    const world = await open(t);
    await seedEachColumn(world);
    const platform = platformOf(world);
    await assert.rejects(requireMasterKeys(platform), { reason: 'unavailable', message: sentence });
    await assert.rejects(
      rotateMasterKey(platform, () => assert.fail('something was written')),
      sentence,
    );
    // One by one: what is sealed with the missing key in this column alone is found, too.
    for (const column of sealedColumns) {
      const only = await open(t);
      await seedEachColumn(only);
      await rotateAllBut(only, column);
      await assert.rejects(requireMasterKeys(platformOf(only)), sentence, nameOf(column));
    }
  });
}

async function rotateAllBut({ during }: World, left: SealedColumn): Promise<void> {
  for (const column of sealedColumns.filter((one) => one !== left)) {
    for (const row of await listOutdated(during, column, '', 10)) await reseal(during, column, row);
  }
}

test('among many good rows one damaged one does not keep a server from starting', async (t) => {
  const world = await open(t);
  const ids = await seedConnections(world, 6);
  const sealed_secret = world.platform.secrets.seal('moved here', 'connections/elsewhere');
  await world.platform.db
    .updateTable('connections')
    .set({ sealed_secret })
    .where('id', '=', ids[0] ?? '')
    .execute();
  await requireMasterKeys(world.platform);
});

test('the start opens a few rows of each column, however many there are', async (t) => {
  const world = await open(t);
  await seedConnections(world, 2_000);
  let opened = 0;
  const secrets = { ...world.platform.secrets };
  const { open: openOne } = secrets;
  secrets.open = (sealed, context) => {
    opened++;
    return openOne(sealed, context);
  };
  await requireMasterKeys({ ...world.platform, secrets });
  assert.equal(opened, 1);
});
