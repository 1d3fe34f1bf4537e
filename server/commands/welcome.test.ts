import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { welcomeText } from './welcome.ts';

const first = {
  url: 'https://registry.example.com',
  registryName: 'default',
  isNewTeam: true,
  secret: 'ldg_key_shown_once',
  keyFile: '/srv/data/bootstrap-key',
};

test('a terminal is shown the key', () => {
  assert.match(welcomeText({ ...first, isTerminal: true }), /^ {2}ldg_key_shown_once$/m);
});

// Whatever else reads the output keeps it: a log collector would have the owner's key for ever.
test('nothing but a terminal is shown the key, only where it is', () => {
  const text = welcomeText({ ...first, isTerminal: false });
  assert.doesNotMatch(text, /ldg_key_shown_once/);
  assert.match(text, /\/srv\/data\/bootstrap-key/);
});

test('a key that was given is never shown', () => {
  for (const isTerminal of [true, false]) {
    assert.doesNotMatch(welcomeText({ ...first, keyFile: undefined, isTerminal }), /ldg_key_shown_once|bootstrap-key/);
  }
});

test('the image is named as clients of the public URL must name it', () => {
  const text = welcomeText({ ...first, isTerminal: true });
  assert.match(text, /^ {2}docker push registry\.example\.com\/default\/alpine:latest$/m);
});

test('the way to all else is one line', () => {
  const lines = welcomeText({ ...first, isTerminal: false }).split('\n');
  assert.equal(
    lines.filter((line) => line.includes('docs/api.md') && line.includes(`${first.url}/lading/v1`)).length,
    1,
  );
});

test('a path with blanks, quotes and dollars comes out of the shell as it went in', () => {
  const keyFile = `/tmp/it's $HOME "here"/bootstrap-key`;
  const line = welcomeText({ ...first, keyFile, isTerminal: true })
    .split('\n')
    .find((one) => one.includes('docker login'));
  const command = line?.split(' | ')[0]?.replace('cat ', 'printf %s ') ?? '';
  assert.equal(execFileSync('sh', ['-c', command], { encoding: 'utf8' }), keyFile);
});

test('a start that lets somebody in again says why there is another key, and what else the first one says', () => {
  const text = welcomeText({ ...first, isNewTeam: false, isTerminal: true });
  assert.match(text, /a new owner's API key, because no key was left that could make keys/);
  assert.doesNotMatch(text, /first registry/);
  assert.match(text, /^ {2}ldg_key_shown_once$/m);
});
