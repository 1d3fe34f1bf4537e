import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  isRepositoryName,
  isTagName,
  parseRegistryName,
  parseRepositoryName,
  parseTagName,
  splitRepositoryName,
} from './names.ts';

const letters = (unit: string, maxLength: number) =>
  fc.string({ unit: fc.constantFrom(...unit), minLength: 1, maxLength });
const run = letters('abcxyz019', 4);
const separator = fc.constantFrom('.', '_', '__', '-', '--', '-----');
const component = fc
  .tuple(run, fc.array(fc.tuple(separator, run), { maxLength: 3 }))
  .map(([first, rest]) => first + rest.map(([s, r]) => s + r).join(''));
const repository = fc.array(component, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'));

test('every name of the spec’s grammar is one, up to 255 characters', () => {
  fc.assert(
    fc.property(repository, (name) => {
      assert.equal(isRepositoryName(name), name.length <= 255);
    }),
  );
  assert.equal(isRepositoryName('a'.repeat(255)), true);
  assert.equal(isRepositoryName('a'.repeat(256)), false);
});

test('one wrong character anywhere makes it no name', () => {
  const wrong = fc.constantFrom(
    'A',
    ' ',
    '\0',
    '\n',
    'ä',
    'а',
    '％',
    '%',
    '\\',
    ':',
    '@',
    '//',
    '..',
    '___',
    '._',
    '_.',
    '-_',
    '/.',
    '/-',
    './',
  );
  fc.assert(
    fc.property(repository, wrong, fc.nat(), (name, text, at) => {
      const place = at % (name.length + 1);
      const broken = name.slice(0, place) + text + name.slice(place);
      assert.equal(isRepositoryName(broken), false, broken);
    }),
  );
  for (const text of ['', '/', 'a/', '/a', '.a', 'a.', '-a', 'a-', '_a', 'a_', 'a//b', 'a/../b', 'a\n']) {
    assert.equal(isRepositoryName(text), false, text);
    assert.throws(() => parseRepositoryName(text), { reason: 'invalid', detail: { about: 'name' } });
  }
});

test('a name is split at its first slash, and joined again it is the same', () => {
  fc.assert(
    fc.property(repository, (name) => {
      const split = splitRepositoryName(parseRepositoryName(name));
      assert.equal(split.registry.includes('/'), false);
      assert.equal(split.repository === '' ? split.registry : `${split.registry}/${split.repository}`, name);
    }),
  );
});

test('a tag is 1 to 128 letters, digits, dots, dashes and underscores, not beginning with a dot or a dash', () => {
  const tail = 'aZ09._-';
  fc.assert(
    fc.property(letters('aZ09_', 1), fc.string({ unit: fc.constantFrom(...tail), maxLength: 140 }), (first, rest) => {
      assert.equal(isTagName(first + rest), rest.length <= 127);
    }),
  );
  for (const text of [
    '',
    '.',
    '-',
    '.a',
    '-a',
    'a b',
    'a/b',
    'a:b',
    'a@b',
    'a+b',
    'ä',
    'a\0',
    'a\n',
    '%00',
    'a'.repeat(129),
  ]) {
    assert.equal(isTagName(text), false, text);
    assert.throws(() => parseTagName(text), { reason: 'invalid', detail: { about: 'tag' } });
  }
});

test('a registry’s name is simpler than a repository’s, and never looks like an id', () => {
  for (const text of ['a', '0', 'a-b', 'a'.repeat(63), '0197a000-0000-7000-8000-00000000000'])
    assert.equal(parseRegistryName(text), text);
  const bad = ['', '-', 'a-', '-a', 'a--b', 'a_b', 'a.b', 'a/b', 'A', 'ä', 'a\n', '_catalog', 'a'.repeat(64)];
  for (const text of [...bad, '0197a000-0000-7000-8000-000000000000']) {
    assert.throws(() => parseRegistryName(text), { reason: 'invalid' }, text);
  }
});

// Security test 5. What would break without this: one long name would stop every other request.
test('hostile names cost no more than their length', () => {
  const started = performance.now();
  for (const text of [
    'a'.repeat(60_000),
    'a-'.repeat(60_000),
    '-'.repeat(60_000),
    'a__'.repeat(60_000),
    'a/'.repeat(60_000),
    `${'a.'.repeat(60_000)}!`,
  ]) {
    assert.equal(isRepositoryName(text), false);
    assert.equal(isTagName(text), false);
    assert.throws(() => parseRegistryName(text));
  }
  assert.ok(performance.now() - started < 2000);
});
