import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Credentials, parseAuthorization, parseAuthToken } from './authorization.ts';

const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`;

const headers: readonly [string | undefined, Credentials][] = [
  [undefined, { scheme: 'none' }],
  ['', { scheme: 'none' }],
  ['Basic Og==', { scheme: 'none' }],
  [basic('docker:ldg_x'), { scheme: 'basic', username: 'docker', secret: 'ldg_x' }],
  [basic(':ldg_x'), { scheme: 'basic', username: '', secret: 'ldg_x' }],
  [basic('user:with:colons'), { scheme: 'basic', username: 'user', secret: 'with:colons' }],
  [basic('user:'), { scheme: 'basic', username: 'user', secret: '' }],
  [basic('user:ümlaut'), { scheme: 'basic', username: 'user', secret: 'ümlaut' }],
  [`bAsIc  ${Buffer.from('a:b').toString('base64')} `, { scheme: 'basic', username: 'a', secret: 'b' }],
  ['Bearer ldg_x', { scheme: 'bearer', secret: 'ldg_x' }],
  ['bearer ldg_x', { scheme: 'bearer', secret: 'ldg_x' }],
  // Whatever cannot be read is refused: taking it for anonymous would hide a client's mistake behind public rights.
  [basic('nocolon'), { scheme: 'unreadable' }],
  ['Basic !!!!', { scheme: 'unreadable' }],
  ['Basic', { scheme: 'unreadable' }],
  ['Bearer', { scheme: 'unreadable' }],
  ['Bearer two words', { scheme: 'unreadable' }],
  ['Digest username=x', { scheme: 'unreadable' }],
  [`Bearer ${'x'.repeat(13_000)}`, { scheme: 'unreadable' }],
];
for (const [header, expected] of headers) {
  test(`Authorization ${JSON.stringify(header?.slice(0, 40))} is read as ${expected.scheme}`, () => {
    assert.deepEqual(parseAuthorization(header), expected);
  });
}

test('a long header of blanks is refused in no time', () => {
  const begin = performance.now();
  assert.equal(parseAuthorization(`Basic${' '.repeat(12_000)}\tx y`).scheme, 'unreadable');
  assert.ok(performance.now() - begin < 50);
});

test('X-Auth-Token is one bare secret', () => {
  assert.deepEqual(parseAuthToken('ldg_x'), { scheme: 'bearer', secret: 'ldg_x' });
  assert.deepEqual(parseAuthToken(undefined), { scheme: 'none' });
  assert.deepEqual(parseAuthToken('two words'), { scheme: 'unreadable' });
  assert.deepEqual(parseAuthToken(['a', 'b']), { scheme: 'unreadable' });
});
