import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Failure } from '#core/failure.ts';
import { parseRepositoryName } from '#core/names.ts';
import { challengeFor } from './challenge.ts';
import { catalogScope, repositoryScope } from './scopes.ts';

const peer = {
  baseUrl: 'https://registry.example.com',
  region: { id: 'id', slug: 'local', name: 'Local', host: 'registry.example.com' },
};
const app = parseRepositoryName('default/app');
const start = 'Bearer realm="https://registry.example.com/token",service="registry.example.com"';

const nothingShown = new Failure('unauthenticated', 'Sign in.');
const badToken = new Failure('unauthenticated', 'No.', { isBadToken: true });
const tooSmall = new Failure('denied', 'No.', { isScopeTooSmall: true });

const cases = [
  { of: 'the ping', failure: nothingShown, scopes: [], is: start },
  {
    of: 'a pull without a token: no error, or clients take theirs for bad',
    failure: nothingShown,
    scopes: [repositoryScope(app, 'pull')],
    is: `${start},scope="repository:default/app:pull"`,
  },
  {
    of: 'an expired token',
    failure: badToken,
    scopes: [repositoryScope(app, 'push')],
    is: `${start},scope="repository:default/app:pull,push",error="invalid_token"`,
  },
  {
    of: 'a token without the action',
    failure: tooSmall,
    scopes: [repositoryScope(app, 'delete')],
    is: `${start},scope="repository:default/app:delete",error="insufficient_scope"`,
  },
  {
    of: 'a mount: both repositories in one parameter',
    failure: nothingShown,
    scopes: [repositoryScope(app, 'push'), repositoryScope(parseRepositoryName('default/other'), 'pull')],
    is: `${start},scope="repository:default/app:pull,push repository:default/other:pull"`,
  },
  {
    of: 'the catalog',
    failure: nothingShown,
    scopes: [catalogScope],
    is: `${start},scope="registry:catalog:*"`,
  },
  { of: 'a refusal that no token would change', failure: new Failure('denied', 'No.'), scopes: [], is: undefined },
  { of: 'something else', failure: new Failure('limit', 'Full.'), scopes: [], is: undefined },
];

for (const { of, failure, scopes, is } of cases) {
  test(`the challenge is right for ${of}`, () => assert.equal(challengeFor(failure, peer, scopes), is));
}

// The conformance suite finds the scheme at the last "bearer" or "basic" in the value, and reads only key="value".
test("every challenge can be read by the conformance suite's two expressions", () => {
  for (const { failure, scopes, is } of cases.filter((one) => one.is !== undefined)) {
    const value = challengeFor(failure, peer, scopes) ?? '';
    assert.deepEqual(value.match(/bearer|basic/gi), ['Bearer'], is);
    const read = Object.fromEntries([...value.matchAll(/(\w+)="([^"]*)"/g)].map(([, key, text]) => [key, text]));
    assert.equal(read.realm, 'https://registry.example.com/token');
    assert.ok(Object.values(read).every((text) => text !== ''));
  }
});
