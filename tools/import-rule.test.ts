import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { makeTestDirectory, type Scope } from '#test/database.ts';
import { findFaults, listImports } from './import-rule.ts';

const repository = join(import.meta.dirname, '..');

function plant(t: Scope, files: Readonly<Record<string, string>>): string {
  const root = makeTestDirectory(t);
  cpSync(join(repository, 'package.json'), join(root, 'package.json'));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return root;
}

const violations: readonly [string, string, string][] = [
  ['the core knows a surface', 'server/core/tags.ts', "import { bindOci } from '#oci/bind.ts';"],
  ['the core knows what surfaces share', 'server/core/tags.ts', "import type { Peer } from '#http/peer.ts';"],
  ['the core uses a web framework', 'server/core/tags.ts', "import { fastify } from 'fastify';"],
  ['one surface knows another', 'server/oci/tags.ts', "import { x } from '#native/errors.ts';"],
  ['a dialect knows another', 'server/dialects/nodion/a.ts', "import { x } from '#native/errors.ts';"],
  ['a surface knows an adapter', 'server/oci/tags.ts', "import { openDiskStore } from '#blobs/disk.ts';"],
  ['an adapter knows another', 'server/blobs/disk.ts', "import { openDatabase } from '#database/open-database.ts';"],
  ['a surface reads the configuration', 'server/oci/tags.ts', "import { readConfig } from '#server/config.ts';"],
  ['the data plane knows the wire schemas', 'server/oci/tags.ts', "import { Tag } from '#contract/tags.ts';"],
  ['a background job speaks HTTP', 'server/jobs/jobs.ts', "import { peerOf } from '#http/peer.ts';"],
  ['the contract knows the core', 'contract/tags.ts', "import { x } from '#core/tags.ts';"],
  ['the app opens adapters', 'server/app.ts', "import { openDiskStore } from '#blobs/disk.ts';"],
  ['product code uses test code', 'server/http/peer.ts', "import { x } from '#test/platform.ts';"],
  ['a relative path leaves its part', 'server/oci/tags.ts', "import { x } from '../core/tags.ts';"],
  ['an import is over several lines', 'server/core/tags.ts', "import {\n  a,\n  b,\n} from '#http/peer.ts';"],
  ['an import is dynamic', 'server/core/tags.ts', "const x = await import('#http/peer.ts');"],
  ['an export passes it on', 'server/core/tags.ts', "export * from '#http/peer.ts';"],
  ['an import is for its effect', 'server/core/tags.ts', "import '#http/peer.ts';"],
  ['an alias is unknown', 'server/core/tags.ts', "import { x } from '#elsewhere/x.ts';"],
  ['a folder has no rule', 'server/utils/x.ts', 'export const x = 1;'],
];
for (const [name, file, text] of violations) {
  test(`it is found that ${name}`, (t) => {
    const faults = findFaults(plant(t, { [file]: `${text}\n` }));
    assert.equal(faults.length, 1);
    assert.equal(faults[0]?.file, file);
  });
}

test('what the rule allows is not reported', (t) => {
  const root = plant(t, {
    'server/core/tags.ts':
      "import { createHash } from 'node:crypto';\nimport type { Kysely } from 'kysely';\nimport './digest.ts';\n",
    'server/oci/bind.ts': "import { x } from '#core/tags.ts';\nimport { y } from '#http/peer.ts';\nimport 'fastify';\n",
    'server/database/migrations/0001.ts': "import type { Migration } from '../migrate.ts';\n",
    'server/commands/serve.ts': "import { x } from '#server/app.ts';\nimport { y } from '#server/open-platform.ts';\n",
    'server/core/tags.test.ts': "import { x } from '#server/app.ts';\n",
    'server/seal.ts': "import { x } from './config.ts';\n",
  });
  assert.deepEqual(findFaults(root), []);
});

test('the word import in a text is no import', () => {
  assert.deepEqual(listImports("const text = 'you may import from \"x\"';\n// import y from 'y'\n"), []);
});

test('the command names the file of a planted violation and fails', (t) => {
  const root = plant(t, { 'server/core/tags.ts': "import { peerOf } from '#http/peer.ts';\n" });
  const command = join(repository, 'tools/check-imports.ts');
  const { status, stderr } = spawnSync(process.execPath, [command, root], { encoding: 'utf8' });
  assert.equal(status, 1);
  assert.match(stderr, /server\/core\/tags\.ts imports #http\/peer\.ts: server\/core may not know server\/http/);
});

test('this repository keeps the rule', () => {
  execFileSync(process.execPath, [join(repository, 'tools/check-imports.ts')]);
});
