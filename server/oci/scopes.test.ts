import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Failure } from '#core/failure.ts';
import { parseRepositoryName } from '#core/names.ts';
import { formatScopes, parseScopes, repositoryScope } from './scopes.ts';

const repository = (name: string, ...actions: string[]) => ({ type: 'repository', name, actions });

const asked: { of: string; scopes: string[]; is: ReturnType<typeof repository>[] }[] = [
  { of: 'one action', scopes: ['repository:a/b:pull'], is: [repository('a/b', 'pull')] },
  { of: 'actions in any order', scopes: ['repository:a/b:push,pull'], is: [repository('a/b', 'pull', 'push')] },
  {
    of: 'repeated parameters and lists with spaces',
    scopes: ['repository:a/one:pull', 'repository:a/two:pull  repository:a/one:push'],
    is: [repository('a/one', 'pull', 'push'), repository('a/two', 'pull')],
  },
  {
    of: 'the same scope twice',
    scopes: ['repository:a/one:pull repository:a/one:pull,push'],
    is: [repository('a/one', 'pull', 'push')],
  },
  { of: '* as everything', scopes: ['repository:a/b:*'], is: [repository('a/b', 'pull', 'push', 'delete')] },
  { of: 'a class', scopes: ['repository(plugin):a/b:pull'], is: [repository('a/b', 'pull')] },
  { of: 'a host in the name', scopes: ['repository:host:5000/x:pull'], is: [repository('host:5000/x', 'pull')] },
  { of: 'unknown actions', scopes: ['repository:a/b:pull,fly,PULL, push'], is: [repository('a/b', 'pull')] },
  {
    of: 'the catalog',
    scopes: ['registry:catalog:*'],
    is: [{ type: 'registry', name: 'catalog', actions: ['*'] }],
  },
  {
    of: 'what is malformed, beside what is not',
    scopes: ['', ' ', 'repository', 'repository:a', ':a:pull', 'repository::pull', 'R%:a:pull', 'repository:a/b:pull'],
    is: [repository('a/b', 'pull')],
  },
];

for (const { of, scopes, is } of asked) {
  test(`scopes are understood: ${of}`, () => assert.deepEqual(parseScopes(scopes), is));
}

test('64 scopes are taken, 65 are refused, and so is a list longer than 8 KiB', () => {
  const scopes = (count: number) => Array.from({ length: count }, (_, i) => `repository:a/r${i}:pull`);
  assert.equal(parseScopes(scopes(64)).length, 64);
  assert.throws(() => parseScopes(scopes(65)), isRefusal);
  assert.throws(() => parseScopes([scopes(65).join(' ')]), isRefusal);
  assert.throws(() => parseScopes([`repository:${'a'.repeat(9000)}:pull`]), isRefusal);
});

const isRefusal = (error: unknown) =>
  error instanceof Failure && error.reason === 'invalid' && error.detail.about === 'scope';

test('no text makes the parser throw anything but its own refusal, and what it reads it writes and reads again', () => {
  const part = fc.constantFrom('repository', 'registry', ':', ',', ' ', 'pull', 'push', '*', 'a/b', '(x)', '"', '\n');
  const text = fc.oneof(
    fc.string(),
    fc.array(part).map((parts) => parts.join('')),
  );
  fc.assert(
    fc.property(fc.array(text, { maxLength: 5 }), (values) => {
      const scopes = parseScopes(values);
      const withActions = scopes.filter(({ actions }) => actions.length > 0);
      assert.deepEqual(parseScopes([formatScopes(withActions)]), withActions);
    }),
    { numRuns: 500 },
  );
});

test('a push is challenged for pull as well, because clients look before they push', () => {
  const name = parseRepositoryName('default/app');
  assert.equal(formatScopes([repositoryScope(name, 'push')]), 'repository:default/app:pull,push');
  assert.equal(formatScopes([repositoryScope(name, 'pull')]), 'repository:default/app:pull');
  assert.equal(formatScopes([repositoryScope(name, 'delete')]), 'repository:default/app:delete');
});
