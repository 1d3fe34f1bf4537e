import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isAbout } from '#test/connection-world.ts';
import { parseSecret, type SecretInput } from './connection-secrets.ts';
import type { Failure } from './failure.ts';
import { type Provider, providers } from './providers.ts';

const keyFile = JSON.stringify({ type: 'service_account', private_key: 'planted', client_email: 'x@y' });
const base64 = (text: string) => Buffer.from(text).toString('base64');
const aws = { username: 'AKIAIOSFODNN7EXAMPLE', password: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY' };

test('a password goes with a user name, for every provider that takes one', () => {
  const takers = providers.filter((one) => !['gcr', 'artifact-registry', 'ecr'].includes(one));
  assert.equal(takers.length, 7);
  for (const provider of takers) {
    assert.deepEqual(parseSecret(provider, { username: 'ci', password: 'geheim: mit Blank' }), {
      username: 'ci',
      secret: { kind: 'password', password: 'geheim: mit Blank' },
    });
  }
});

test('without anything a registry is read anonymously', () => {
  for (const provider of providers) {
    for (const input of [{}, { username: '', password: '' }, { password: '' }] as SecretInput[]) {
      assert.deepEqual(parseSecret(provider, input), { username: '', secret: null });
    }
  }
});

type Case = [Provider, SecretInput, field: string, said?: RegExp];

const refused: readonly Case[] = [
  ['oci', { username: 'planted' }, '/password'],
  ['ghcr', { username: 'planted' }, '/password', /read:packages/],
  ['quay', { password: 'planted' }, '/username'],
  ['oci', { username: 'a:planted', password: 'x' }, '/username'],
  ['oci', { username: 'a planted', password: 'x' }, '/username'],
  ['oci', { username: 'a\0planted', password: 'x' }, '/username'],
  ['oci', { username: 'x'.repeat(256), password: 'x' }, '/username'],
  ['oci', { username: 'x', password: 'planted\r\nx-evil: 1' }, '/password'],
  ['oci', { username: 'x', password: 'planted\u0007' }, '/password'],
  ['oci', { username: 'x', password: 'planted'.repeat(10_000) }, '/password'],
  ['oci', { username: 'x', password: 'planted', keyFile }, '/keyFile'],
  ['oci', { password: 'planted', auths: {} }, '/auths'],
  ['ghcr', { keyFile }, '/keyFile', /GitHub/],
  ['ecr', { username: '_json_key', password: keyFile }, '/username'],
  ['gcr', { username: 'planted', password: 'x' }, '/username', /_json_key/],
  ['gcr', { username: '_json_key', password: 'planted' }, '/keyFile', /service account/],
  ['gcr', { username: '_json_key_base64', password: base64('planted') }, '/password'],
  ['gcr', { username: 'somebody', keyFile }, '/username'],
  ['gcr', { keyFile: 'planted' }, '/keyFile'],
  ['gcr', { keyFile: '{"type":"authorized_user","private_key":"planted"}' }, '/keyFile'],
  ['artifact-registry', { keyFile: { type: 'service_account' } }, '/keyFile'],
  ['artifact-registry', { keyFile: ['planted'] }, '/keyFile'],
  ['artifact-registry', { keyFile: null }, '/keyFile'],
  ['artifact-registry', { keyFile: 7 }, '/keyFile'],
  ['artifact-registry', { keyFile: `{"type":"service_account","private_key":"${'x'.repeat(70_000)}"}` }, '/keyFile'],
  ['ecr', { username: 'planted', password: aws.password }, '/username', /access key/],
  ['ecr', { username: aws.username, password: 'planted' }, '/password', /secret access key/],
  ['ecr', { auths: { 'ghcr.io': aws } }, '/auths'],
  // Kept without its path, it would be shown to all of the host.
  ['oci', { auths: { 'quay.io/planted': aws } }, '/auths', /without a path/],
  ['oci', { auths: { 'https://quay.io/v2/planted/': aws } }, '/auths', /without a path/],
];

test('what a provider does not take is refused, with the field and what it wants, and never repeated', () => {
  for (const [provider, input, field, said = /./] of refused) {
    assert.throws(
      () => parseSecret(provider, input),
      ({ reason, message, detail }: Failure) =>
        reason === 'invalid' &&
        said.test(message) &&
        Object.keys(detail.fields ?? {})[0] === field &&
        !/planted/.test(message),
      `${provider} ${JSON.stringify(input).slice(0, 80)}`,
    );
  }
});

test('a Google key file is taken in each of the forms in which people have it', () => {
  const stored = { username: '_json_key', secret: { kind: 'key_file', keyFile } };
  for (const provider of ['gcr', 'artifact-registry', 'oci'] as const) {
    assert.deepEqual(parseSecret(provider, { keyFile }), stored);
    assert.deepEqual(parseSecret(provider, { keyFile: JSON.parse(keyFile) }), stored);
    assert.deepEqual(parseSecret(provider, { username: '_json_key', keyFile }), stored);
    assert.deepEqual(parseSecret(provider, { username: '_json_key', password: keyFile }), stored);
  }
  const pretty = JSON.stringify(JSON.parse(keyFile), null, 2);
  assert.deepEqual(parseSecret('gcr', { keyFile: pretty }).secret, { kind: 'key_file', keyFile: pretty });
  const encoded = base64(keyFile);
  assert.deepEqual(parseSecret('gcr', { username: '_json_key_base64', password: encoded }), {
    username: '_json_key_base64',
    secret: { kind: 'password', password: encoded },
  });
  const token = { username: 'oauth2accesstoken', password: 'ya29.x' };
  assert.equal(parseSecret('gcr', token).username, 'oauth2accesstoken');
});

test('ECR takes an access key, or a token that somebody fetched', () => {
  assert.deepEqual(parseSecret('ecr', aws), {
    username: aws.username,
    secret: { kind: 'password', password: aws.password },
  });
  assert.equal(parseSecret('ecr', { username: 'AWS', password: 'eyJ' }).username, 'AWS');
});

test('the auths of a Docker config are taken as every client writes them', () => {
  const auth = base64('me:pass:word');
  const one = parseSecret('oci', { auths: { 'https://GHCR.io/v2/': { auth, email: 'x@y' } } });
  assert.deepEqual(one, {
    username: 'me',
    secret: { kind: 'auths', auths: { 'ghcr.io': { username: 'me', password: 'pass:word' } } },
  });
  const two = parseSecret('oci', {
    auths: { 'ghcr.io': { username: 'a', password: 'b' }, 'registry.example.com:5000': { auth, username: 'other' } },
  });
  assert.equal(two.username, '', 'each has its own');
  assert.deepEqual(two.secret, {
    kind: 'auths',
    auths: {
      'ghcr.io': { username: 'a', password: 'b' },
      'registry.example.com:5000': { username: 'me', password: 'pass:word' },
    },
  });
});

test('auths that open nothing, or that name no host, are refused', () => {
  const entry = { auth: base64('a:planted') };
  const hosts = (n: number) => Object.fromEntries(Array.from({ length: n }, (_, i) => [`r${i}.example.com`, entry]));
  const bad: unknown[] = [
    {},
    [],
    null,
    'planted',
    { 'ghcr.io': {} },
    { 'ghcr.io': null },
    { 'ghcr.io': 'planted' },
    { 'ghcr.io': { auth: base64('planted') } },
    { 'ghcr.io': { auth: base64(':planted') } },
    { 'ghcr.io': { auth: base64('planted:') } },
    { 'ghcr.io': { auth: base64('a:planted\u0000') } },
    { 'ghcr.io': { username: 'a' } },
    { 'ghcr.io': { identitytoken: 'planted' } },
    { 'not a host': entry },
    { 'http://ghcr.io': entry },
    { 'https://a:planted@ghcr.io': entry },
    { 'ghcr.io': entry, 'https://ghcr.io/': entry },
    hosts(21),
    { 'ghcr.io': { username: 'a:b', password: 'c' } },
    { '*.example.com': { username: 'a', password: 'c' } },
  ];
  for (const auths of bad) {
    assert.throws(
      () => parseSecret('oci', { auths }),
      (failure: Failure) => failure.reason === 'invalid' && !failure.message.includes('planted'),
      JSON.stringify(auths),
    );
  }
  assert.equal(parseSecret('oci', { auths: hosts(20) }).secret?.kind, 'auths');
  assert.throws(() => parseSecret('ghcr', { auths: { 'evil.example': entry } }), { message: /GitHub/ });
});

// A pull secret is made of a thousand of them, as one text.
test('no secret is longer than a header can be, and Docker auths together not much longer', () => {
  const long = 'x'.repeat(16 * 1024);
  const auths = (count: number, password: string) =>
    Object.fromEntries(Array.from({ length: count }, (_, i) => [`r${i}.example.com`, { username: 'u', password }]));
  assert.ok(parseSecret('oci', { username: 'u', password: long }).secret);
  assert.ok(parseSecret('oci', { auths: auths(1, long) }).secret);
  assert.ok(parseSecret('oci', { auths: auths(20, 'x'.repeat(1600)) }).secret);
  const padded = JSON.stringify({ ...JSON.parse(keyFile), padding: long });
  const cases: [SecretInput, string][] = [
    [{ username: 'u', password: `${long}x` }, 'password'],
    [{ keyFile: padded }, 'keyFile'],
    [{ keyFile: JSON.parse(padded) }, 'keyFile'],
    [{ auths: auths(1, `${long}x`) }, 'auths'],
    [{ auths: auths(2, long) }, 'auths'],
    [{ auths: auths(20, 'x'.repeat(1700)) }, 'auths'],
  ];
  for (const [input, field] of cases) {
    assert.throws(() => parseSecret('oci', input), isAbout(`/${field}`), field);
  }
});
