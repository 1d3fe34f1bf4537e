import assert from 'node:assert/strict';
import { test } from 'node:test';
import { settings } from '#server/config.ts';
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
  assert.deepEqual(
    Object.keys(shown),
    Object.values(settings).map((setting) => setting.name),
  );
  assert.deepEqual(shown.LADING_LOG_LEVEL, { value: 'warn', source: 'environment' });
  assert.deepEqual(shown.LADING_LISTEN, { value: '127.0.0.1:8080', source: 'default' });
  assert.deepEqual(shown.LADING_PUBLIC_URL, { value: null, source: 'unset' });
});
