import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Failure } from '#core/failure.ts';
import { parseRepositoryName } from '#core/names.ts';
import { type AskOptions, basic, openOci, pushImage, signInFor, withAuthorization } from '#test/oci-client.ts';
import { seedTeam } from '#test/platform.ts';
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

// Edge cases 28 and 29 of the contract, on the real app: what a client is told for each way to come with too little.
test('every route challenges with the scope that it needs, and names an error only where something was shown', async (t) => {
  const { ask, platform } = await openOci(t);
  const team = await seedTeam(platform, 'acme');
  const digest = await pushImage(withAuthorization(ask, basic(team.secret)), 'acme/app', 'v1');
  const small = await signInFor(ask, basic(team.secret), 'repository:acme/other:pull');
  const [pull, push, remove] = ['pull', 'pull,push', 'delete'].map((actions) => `repository:acme/app:${actions}`);
  const routes: [string, string, string | undefined, AskOptions?][] = [
    ['GET', '/v2/', undefined],
    ['HEAD', '/v2/', undefined],
    ['GET', '/v2', undefined],
    ['GET', '/v2/_catalog', 'registry:catalog:*'],
    ['GET', '/v2/acme/app/tags/list', pull],
    ['GET', '/v2/acme/app/manifests/v1', pull],
    ['HEAD', '/v2/acme/app/manifests/v1', pull],
    ['PUT', '/v2/acme/app/manifests/v1', push, { body: '{}' }],
    ['DELETE', '/v2/acme/app/manifests/v1', remove],
    ['HEAD', `/v2/acme/app/blobs/${digest}`, pull],
    ['DELETE', `/v2/acme/app/blobs/${digest}`, remove],
    ['GET', `/v2/acme/app/referrers/${digest}`, pull],
    ['POST', '/v2/acme/app/blobs/uploads/', push],
    ['POST', `/v2/acme/app/blobs/uploads/?mount=${digest}&from=acme%2Fb`, `${push} repository:acme/b:pull`],
    ['POST', `/v2/acme/app/blobs/uploads/?mount=${digest}&from=a%22,x=%22`, push],
    ['GET', '/v2/acme/app/blobs/uploads/id', push],
    ['PATCH', '/v2/acme/app/blobs/uploads/id', push, { body: 'x' }],
    ['PUT', '/v2/acme/app/blobs/uploads/id', push],
    ['DELETE', '/v2/acme/app/blobs/uploads/id', push],
  ];
  const shown: [string, string | undefined, string | undefined][] = [
    ['nothing', undefined, undefined],
    ['empty credentials', 'Basic Og==', undefined],
    ['a wrong password', basic('wrong'), 'invalid_token'],
    ['a wrong token', 'Bearer eyJ.e30.x', 'invalid_token'],
    ['a token for another repository', small, 'insufficient_scope'],
  ];
  for (const [what, authorization, error] of shown) {
    for (const [method, url, scope, options = {}] of routes) {
      const isGood = error === 'insufficient_scope' && scope === undefined;
      const headers = authorization === undefined ? {} : { authorization };
      const answer = await ask(method, url, { ...options, headers });
      const expected = `Bearer realm="http://localhost:8080/token",service="localhost:8080"${scope === undefined ? '' : `,scope="${scope}"`}${error === undefined ? '' : `,error="${error}"`}`;
      assert.deepEqual(
        [answer.status, answer.headers['www-authenticate']],
        isGood ? [200, undefined] : [401, expected],
        `${what}: ${method} ${url}`,
      );
      if (isGood) continue;
      assert.equal(answer.headers['content-type'], 'application/json');
      assert.equal(answer.headers['docker-distribution-api-version'], 'registry/2.0');
      if (method === 'HEAD') assert.equal(answer.bytes.length, 0);
      else assert.equal(answer.code, 'UNAUTHORIZED');
    }
  }
});

test('any token that signs in is enough for the ping: an anonymous one, and one without any scope', async (t) => {
  const { ask, platform } = await openOci(t);
  const team = await seedTeam(platform, 'acme');
  for (const authorization of [await signInFor(ask, undefined), await signInFor(ask, basic(team.secret))]) {
    const { status, text } = await ask('GET', '/v2/', { headers: { authorization } });
    assert.deepEqual([status, text], [200, '{}']);
  }
});
