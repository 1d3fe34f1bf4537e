import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmodSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Failure } from '#core/failure.ts';
import { makeTestDirectory } from '#test/database.ts';
import { openSecrets, secretsOf } from './seal.ts';

const none = { masterKeys: undefined, masterKeyFile: undefined };
const newKey = (id: string) => ({ id, key: randomBytes(32) });

test('what is sealed opens again, and nothing of it can be read', () => {
  const secrets = secretsOf([newKey('k1')]);
  const sealed = secrets.seal('correct horse', 'connections/1');
  assert.equal(secrets.open(sealed, 'connections/1'), 'correct horse');
  assert.doesNotMatch(Buffer.from(sealed.split('.')[3] ?? '', 'base64url').toString('latin1'), /horse/);
  assert.notEqual(secrets.seal('correct horse', 'connections/1'), sealed, 'the nonce is new each time');
});

test('a sealed value moved to another row does not open', () => {
  const secrets = secretsOf([newKey('k1')]);
  const sealed = secrets.seal('password', 'connections/1');
  assert.throws(() => secrets.open(sealed, 'connections/2'), Failure);
});

test('a sealed value of which any part is changed does not open', () => {
  const key = newKey('k1');
  const secrets = secretsOf([key, { id: 'k2', key: key.key }]);
  const sealed = secrets.seal('password', 'x/1');
  const parts = sealed.split('.');
  const changed = [
    sealed.replace('v1.k1.', 'v1.k2.'),
    sealed.replace('v1.', 'v2.'),
    [...parts.slice(0, 2), randomBytes(12).toString('base64url'), parts[3]].join('.'),
    [...parts.slice(0, 3), `A${parts[3]?.slice(1)}`].join('.'),
    [...parts.slice(0, 3), parts[3]?.slice(0, 22)].join('.'),
    [...parts.slice(0, 3), ''].join('.'),
    '',
  ];
  for (const text of changed.filter((one) => one !== sealed)) assert.throws(() => secrets.open(text, 'x/1'), text);
});

test('after a rotation the old key opens and the new one seals', () => {
  const [old, fresh] = [newKey('old'), newKey('new')];
  const sealed = secretsOf([old]).seal('password', 'x/1');
  const rotated = secretsOf([fresh, old]);
  assert.equal(rotated.open(sealed, 'x/1'), 'password');
  assert.match(rotated.seal('password', 'x/1'), /^v1\.new\./);
});

test('a value sealed with a key that is not there is refused by that key’s name', () => {
  const sealed = secretsOf([newKey('gone')]).seal('password', 'x/1');
  assert.throws(() => secretsOf([newKey('other')]).open(sealed, 'x/1'), /master key "gone"/);
});

test('the first start makes a key that only its owner may read, and every later one uses it', (t) => {
  const dataDir = makeTestDirectory(t);
  const sealed = openSecrets(none, dataDir).seal('password', 'x/1');
  assert.deepEqual(readdirSync(dataDir), ['master-key']);
  assert.equal(statSync(join(dataDir, 'master-key')).mode & 0o777, 0o600);
  chmodSync(join(dataDir, 'master-key'), 0o644);
  assert.equal(openSecrets(none, dataDir).open(sealed, 'x/1'), 'password');
  assert.equal(statSync(join(dataDir, 'master-key')).mode & 0o777, 0o600, 'a file that was opened up is closed again');
});

test('a damaged key file is never replaced by a new key', (t) => {
  const path = join(makeTestDirectory(t), 'master-key');
  writeFileSync(path, 'k1:half');
  assert.throws(() => openSecrets(none, join(path, '..')), /damaged/);
  assert.equal(readFileSync(path, 'utf8'), 'k1:half');
});

test('keys may come from a file, a line each', (t) => {
  const masterKeyFile = join(makeTestDirectory(t), 'keys');
  const [a, b] = [newKey('a'), newKey('b')];
  writeFileSync(masterKeyFile, `\n${[a, b].map((one) => `${one.id}:${one.key.toString('base64')}`).join('\n\n')}\n`);
  const secrets = openSecrets({ masterKeys: undefined, masterKeyFile }, '/nonexistent');
  assert.equal(secrets.open(secretsOf([b]).seal('password', 'x/1'), 'x/1'), 'password');
  assert.match(secrets.seal('password', 'x/1'), /^v1\.a\./);
});

test('a key file that cannot be read is named', () => {
  const masterKeyFile = '/nonexistent/master-key';
  assert.throws(() => openSecrets({ masterKeys: undefined, masterKeyFile }, '/tmp'), /\/nonexistent\/master-key/);
});
