import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { settings } from '#server/config.ts';
import { makeTestDirectory } from '#test/database.ts';
import { showConfig } from './config.ts';

function print(environment: Record<string, string>, json = false): string {
  const lines: string[] = [];
  assert.equal(showConfig(environment, { json, print: (line: string) => lines.push(line) }), 0);
  return lines.join('\n');
}

const secrets = {
  LADING_DATABASE_URL: 'postgres://lading:hidden-one@db.internal/lading?sslpassword=hidden-two',
  LADING_BOOTSTRAP_KEY: 'hidden-three'.padEnd(40, 'x'),
  LADING_METRICS_TOKEN: 'hidden-four-and-long',
  LADING_MASTER_KEY: `k1:${Buffer.from('hidden-five'.padEnd(32)).toString('base64')}`,
};

for (const json of [false, true]) {
  test(`no secret is printed ${json ? 'as JSON' : 'as text'}`, () => {
    const text = print(secrets, json);
    assert.doesNotMatch(text, /hidden|aGlkZGVu/);
    assert.match(text, /db\.internal/, 'the database can still be recognised');
  });
}

test('every setting is printed, with where it comes from', () => {
  const shown = JSON.parse(print({ LADING_LOG_LEVEL: 'warn' }, true));
  assert.deepEqual(Object.keys(shown), [...Object.values(settings).map((setting) => setting.name), 'masterKeys']);
  assert.deepEqual(shown.LADING_LOG_LEVEL, { value: 'warn', source: 'environment' });
  assert.deepEqual(shown.LADING_LISTEN, { value: '127.0.0.1:8080', source: 'default' });
  assert.deepEqual(shown.LADING_PUBLIC_URL, { value: null, source: 'unset' });
});

test('the data directory is shown as the place that it is', () => {
  assert.match(print({}), new RegExp(`^LADING_DATA_DIR +${join(process.cwd(), 'data')} {2}\\(default\\)$`, 'm'));
});

test('the ids of the master keys in effect are shown with where they stand, never the keys', (t) => {
  const dataDir = makeTestDirectory(t);
  const key = Buffer.alloc(32, 'hidden').toString('base64');
  const file = join(dataDir, 'keys');
  writeFileSync(file, `new:${key}\nold:${key}\n`);
  const environment = { LADING_DATA_DIR: dataDir };
  const cases = [
    [{}, new RegExp(`^Master keys: none; ${dataDir}/master-key is not there\\.`, 'm')],
    [{ LADING_MASTER_KEY: `k9:${key}` }, /^Master keys: k9, from LADING_MASTER_KEY$/m],
    [
      { LADING_MASTER_KEY_FILE: file },
      new RegExp(`^Master keys: new, old \\(the first seals, all open\\), from ${file}$`, 'm'),
    ],
  ] as const;
  for (const [more, expected] of cases) {
    const text = print({ ...environment, ...more });
    assert.match(text, expected);
    assert.ok(!text.includes(key));
  }
  writeFileSync(join(dataDir, 'master-key'), `made:${key}\n`);
  assert.deepEqual(JSON.parse(print(environment, true)).masterKeys, {
    ids: ['made'],
    source: join(dataDir, 'master-key'),
  });
});

test('a master key file that cannot be read is said, and the answer is not "usable"', (t) => {
  const missing = join(makeTestDirectory(t), 'nothing');
  const lines: string[] = [];
  const code = showConfig({ LADING_MASTER_KEY_FILE: missing }, { print: (line: string) => lines.push(line) });
  assert.equal(code, 2);
  assert.match(lines.at(-1) ?? '', /^\nMaster keys: The master key file .*nothing cannot be used: ENOENT/);
});
