import assert from 'node:assert/strict';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { copy, makePlace, serveOn } from '#test/copy-world.ts';
import { makeTestDirectory } from '#test/database.ts';
import { findBroken } from '#test/invariants.ts';
import { pushImage } from '#test/oci-client.ts';

test('a backup of an older release is restored in this schema, and stays as it was', async (t) => {
  const source = await serveOn(t, await makePlace(t));
  await pushImage(source.owner, 'acme/app', 'v1', ['one', 'two']);
  const [backup, restored] = [await makePlace(t, 'embedded'), await makePlace(t)];
  await copy(source.place, backup);
  const rows = new DatabaseSync(join(backup.dataDir ?? '', 'lading.db'));
  t.after(() => rows.close());
  rows.exec('drop index uploads_by_start; delete from schema_migrations where number >= 11');

  const scratch = makeTestDirectory(t);
  mkdirSync(join(scratch, 'older-backup-of-a-killed-one'));
  await copy(backup, restored, { rules: { isBackup: true, mustBeEmpty: true, scratch } });

  assert.deepEqual(rows.prepare('select max(number) as n from schema_migrations').get()?.n, 10);
  assert.deepEqual(readdirSync(scratch), []);
  const target = await serveOn(t, restored, source.team);
  assert.deepEqual(await findBroken(target.platform), []);
  assert.equal((await target.owner('GET', '/v2/acme/app/manifests/v1')).status, 200);
});
