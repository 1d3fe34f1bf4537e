import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { settings } from '#server/config.ts';
import { makeTestDirectory, type Scope } from '#test/database.ts';
import {
  checkDecisions,
  checkLinks,
  checkSettingNames,
  checkSettings,
  checkTree,
  pathsOfTree,
  settingsTable,
} from './document-checks.ts';

const repository = join(import.meta.dirname, '..');
const configuration = () => readFileSync(join(repository, 'docs/configuration.md'), 'utf8');

function plant(t: Scope, files: Readonly<Record<string, string>>): string {
  const root = makeTestDirectory(t);
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return root;
}

test('every setting stands in the table, with its default', () => {
  const table = settingsTable();
  for (const { name, fallback } of Object.values(settings)) {
    const row = table.split('\n').find((line) => line.startsWith(`| \`${name}\``));
    assert.ok(row?.includes(fallback === '' ? '|  |' : `\`${fallback}\``), name);
  }
});

test('a table that lacks a setting, has one too many or another default is out of step', (t) => {
  const good = configuration();
  assert.deepEqual(checkSettings(plant(t, { 'docs/configuration.md': good })), []);
  const changed = [
    good.replace(/^\| `LADING_LISTEN`.*\n/m, ''),
    good.replace(/^(\| `LADING_LISTEN`.*\n)/m, '$1| `LADING_NONSENSE` |  | None. |\n'),
    good.replace('`127.0.0.1:8080`', '`127.0.0.1:80`'),
    good.replace('<!-- settings:', '<!-- no settings:'),
    '',
  ];
  for (const text of changed) assert.equal(checkSettings(plant(t, { 'docs/configuration.md': text })).length, 1);
});

test('a setting that does not exist is found in any document', (t) => {
  const root = plant(t, { 'README.md': 'Set LADING_LISTEN, LADING_TEST_DATABASE_URL and `LADING_LISTN`.' });
  assert.deepEqual(checkSettingNames(root), ['README.md speaks of LADING_LISTN, which is not a setting.']);
});

test('a folder that the README shows and nobody has is found', (t) => {
  const tree = '```\nserver/\n  core/   what it does\n  gone/   what it did\ndocs/\n```\n';
  const root = plant(t, { 'README.md': tree, 'server/core/a.ts': '', 'docs/a.md': '' });
  assert.deepEqual(checkTree(root), ['README.md shows server/gone/, which is not there.']);
});

test('a tree drawn with lines is read like one drawn with blanks', () => {
  assert.deepEqual(pathsOfTree('server/\n├── core/  x\n│   └── deep/\n└── oci/\nbin/lading  runs it'), [
    'server/',
    'server/core/',
    'server/core/deep/',
    'server/oci/',
  ]);
});

test('a link to nowhere is found, and one to the web is left alone', (t) => {
  const root = plant(t, {
    'docs/a.md': '[b](b.md) [up](../README.md#top) [web](https://example.com) [here](#x) [gone](c.md)',
    'docs/b.md': '',
    'README.md': '',
  });
  assert.deepEqual(checkLinks(root), ['docs/a.md links to c.md, which is not there.']);
});

test('two decisions with one number are found', (t) => {
  const root = plant(t, { 'docs/decisions/0001-a.md': '', 'docs/decisions/0001-b.md': '', 'docs/decisions/x.md': '' });
  assert.equal(checkDecisions(root).length, 2);
});

test('this repository’s documents are in step', () => {
  const { status, stderr } = spawnSync(process.execPath, [join(repository, 'tools/check-docs.ts')], {
    encoding: 'utf8',
  });
  assert.equal(status, 0, stderr);
});
