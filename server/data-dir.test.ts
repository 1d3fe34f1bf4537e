import assert from 'node:assert/strict';
import { statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Failure } from '#core/failure.ts';
import { makeTestDirectory } from '#test/database.ts';
import { parseStorageUrl } from './config-storage.ts';
import { prepareDataDir, requireDataDir, requireInstallation } from './data-dir.ts';

test('what is missing is made, for its owner alone', (t) => {
  const path = join(makeTestDirectory(t), 'a/b/data');
  prepareDataDir(path);
  assert.equal(statSync(path).mode & 0o777, 0o700);
  prepareDataDir(path);
});

test('a link to a directory is a directory', (t) => {
  const directory = makeTestDirectory(t);
  symlinkSync(directory, join(directory, 'link'));
  prepareDataDir(join(directory, 'link'));
  prepareDataDir(join(directory, 'link/data'));
});

test('what cannot be a directory is refused by name, and in a moment', (t) => {
  const directory = makeTestDirectory(t);
  writeFileSync(join(directory, 'file'), '');
  symlinkSync(join(directory, 'nowhere'), join(directory, 'dangling'));
  // The last one keeps Node's own `mkdir -p` busy for ever.
  for (const path of ['file', 'file/below', 'file/below/that', 'dangling', '/proc/lading/data']) {
    const full = path.startsWith('/') ? path : join(directory, path);
    assert.throws(
      () => prepareDataDir(full),
      (error) => error instanceof Failure && error.message.includes(full) && error.message.includes('LADING_DATA_DIR'),
      path,
    );
  }
});

test('a command that only looks makes nothing', (t) => {
  const path = join(makeTestDirectory(t), 'data');
  assert.throws(() => requireDataDir(path), /It is not there/);
  assert.throws(() => statSync(path));
});

test('a data directory is asked for only where rows or objects are in it', (t) => {
  const dataDir = join(makeTestDirectory(t), 'data');
  const databaseUrl = 'postgres://127.0.0.1/lading';
  const storage = parseStorageUrl('s3://images');
  requireInstallation({ dataDir, databaseUrl, storage });
  assert.throws(() => requireInstallation({ dataDir, databaseUrl, storage: undefined }), /It is not there/);
  prepareDataDir(dataDir);
  assert.throws(() => requireInstallation({ dataDir, databaseUrl, storage: undefined }), /no directory objects in/);
  assert.throws(() => requireInstallation({ dataDir, databaseUrl: undefined, storage }), /no lading\.db in/);
});
