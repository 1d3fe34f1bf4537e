import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRegistry } from '#core/registries.ts';
import { createToken } from '#core/tokens.ts';
import { parseAddressRange, plainSite } from '#http/site.ts';
import {
  type Answer,
  type Ask,
  type AskOptions,
  basic,
  bearer,
  digestOf,
  openOci,
  pushImage,
  signInFor,
  withAuthorization,
} from '#test/oci-client.ts';
import { seedTeam } from '#test/platform.ts';

async function open(t: Parameters<typeof openOci>[0], options: Parameters<typeof openOci>[1] = {}) {
  const opened = await openOci(t, options);
  const team = await seedTeam(opened.platform, 'acme');
  const other = await seedTeam(opened.platform, 'other');
  const owner = withAuthorization(opened.ask, basic(team.secret));
  const image = await pushImage(owner, 'acme/app', 'v1');
  const tokenFor = async (mode: 'ro' | 'rw', registryIds: string[] | null) =>
    (await createToken(opened.platform, team.owner, { mode, registryIds })).secret;
  /** Reads and writes, but in another registry of its team only. */
  const tokenElsewhere = async () => {
    const elsewhere = await createRegistry(opened.platform, team.owner, { name: 'elsewhere' });
    return basic(await tokenFor('rw', [elsewhere.id]));
  };
  return { ...opened, team, other, owner, image, tokenFor, tokenElsewhere };
}

/** One request for each route of the data plane, in an order in which each finds what it needs. */
function everyRoute(repository: string, digest: string): [string, string, AskOptions?][] {
  const path = `/v2/${repository}`;
  return [
    ['GET', '/v2/'],
    ['GET', '/v2/_catalog'],
    ['GET', '/v2/_oci/ext/discover'],
    ['GET', `${path}/tags/list`],
    ['GET', `${path}/referrers/${digest}`],
    ['GET', `${path}/manifests/v1`],
    ['HEAD', `${path}/manifests/${digest}`],
    ['PUT', `${path}/manifests/v2`, { body: '{}' }],
    ['GET', `${path}/blobs/${digestOf('layer')}`],
    ['HEAD', `${path}/blobs/${digestOf('layer')}`],
    ['POST', `${path}/blobs/uploads/`],
    ['POST', `${path}/blobs/uploads/?digest=${digestOf('x')}`, { body: 'x' }],
    ['POST', `${path}/blobs/uploads/?mount=${digestOf('layer')}&from=${repository}`],
    ['GET', `${path}/blobs/uploads/none`],
    ['PATCH', `${path}/blobs/uploads/none`, { body: 'x' }],
    ['PUT', `${path}/blobs/uploads/none?digest=${digestOf('x')}`],
    ['DELETE', `${path}/blobs/uploads/none`],
    ['DELETE', `${path}/blobs/${digestOf('nothing')}`],
    ['DELETE', `${path}/manifests/none`],
  ];
}

const statusesOf = async (ask: Ask, routes: [string, string, AskOptions?][]) => {
  const statuses: Record<string, number> = {};
  for (const [method, url, options] of routes) statuses[`${method} ${url}`] = (await ask(method, url, options)).status;
  return statuses;
};

// Security test 14. What would break without this: a route that reads its credentials itself.
test('a secret has the same rights on every route by Basic, by Bearer, and by an access token for all it holds', async (t) => {
  const { ask, team, other, image, tokenFor } = await open(t);
  const secrets = {
    owner: team.secret,
    'read-only': await tokenFor('ro', null),
    'read-write on this registry': await tokenFor('rw', [team.registryId]),
    'another team': other.secret,
  };
  const routes = everyRoute('acme/app', image);
  for (const [name, secret] of Object.entries(secrets)) {
    const byBasic = await statusesOf(withAuthorization(ask, basic(secret)), routes);
    assert.deepEqual(await statusesOf(withAuthorization(ask, basic(secret, '')), routes), byBasic, `${name}, no user`);
    assert.deepEqual(await statusesOf(withAuthorization(ask, bearer(secret)), routes), byBasic, `${name}, Bearer`);
    const token = await signInFor(ask, basic(secret), 'repository:acme/app:*', 'registry:catalog:*');
    const byToken = await statusesOf(withAuthorization(ask, token), routes);
    // What the secret does not hold is not in the token either, which is told as 401 insufficient_scope.
    const expected = Object.entries(byBasic).map(([route, status]) => [route, status === 403 ? 401 : status]);
    assert.deepEqual(byToken, Object.fromEntries(expected), `${name}, access token`);
  }
});

test('a secret in a cookie, in the query or in X-Auth-Token signs nobody in', async (t) => {
  const { ask, team, image } = await open(t);
  const token = (await signInFor(ask, basic(team.secret), 'repository:acme/app:*')).slice('Bearer '.length);
  const nobody = await statusesOf(ask, everyRoute('acme/app', image));
  for (const [method, url, options] of everyRoute('acme/app', image)) {
    for (const secret of [team.secret, token]) {
      const headers = { cookie: `token=${secret}; session=${secret}`, 'x-auth-token': secret };
      const query = `${url.includes('?') ? '&' : '?'}access_token=${secret}&token=${secret}`;
      const answer = await ask(method, url + query, { ...options, headers });
      assert.equal(answer.status, nobody[`${method} ${url}`], `${method} ${url}`);
      assert.equal(answer.status, 401, `${method} ${url}`);
    }
  }
});

/** All that a client sees, with the names that it asked for made equal. */
function seen({ status, headers, text }: Answer, name: string): string {
  const { date, 'x-request-id': id, ...rest } = headers;
  const session = headers['docker-upload-uuid'] ?? '?';
  const shown = JSON.stringify({ status, rest, text })
    .replaceAll(session, 'ID')
    .replaceAll(id ?? '?', 'ID');
  return shown.replaceAll(name, 'NAME').replaceAll(name.split('/')[0] ?? '', 'REGISTRY');
}

// Security test 19. What would break without this: guessing names would find out what other teams run.
test('what is hidden and what is missing get the same answer on every route, from everyone', async (t) => {
  const { ask, other, platform, tokenElsewhere } = await open(t);
  const third = await seedTeam(platform, 'third');
  const digest = await pushImage(withAuthorization(ask, basic(other.secret)), 'other/app', 'v1');
  const anonymous = await signInFor(ask, undefined, 'repository:other/app:pull');
  const thirds = basic(third.secret);
  const askers: Record<string, Ask> = {
    nobody: ask,
    'an anonymous token': withAuthorization(ask, anonymous),
    'a token bound elsewhere': withAuthorization(ask, await tokenElsewhere()),
    'the owner of another team': withAuthorization(ask, thirds),
    "another team's access token": withAuthorization(
      ask,
      await signInFor(ask, thirds, 'repository:other/app:*', 'repository:other/abc:*', 'repository:freed/app:*'),
    ),
  };
  for (const [who, asker] of Object.entries(askers)) {
    const answers = async (name: string) => {
      const all = [];
      for (const [method, url, options] of everyRoute(name, digest)) {
        all.push(`${method} ${seen(await asker(method, url, options), name)}`);
      }
      return all.map((line) => line.replaceAll(name, 'NAME'));
    };
    const hidden = await answers('other/app');
    assert.deepEqual(await answers('other/abc'), hidden, `${who}: a repository that is not there`);
    assert.deepEqual(await answers('freed/app'), hidden, `${who}: a registry that is not there`);
  }
});

test('within a registry that one may not read, what is there and what is not look alike', async (t) => {
  const { ask, image, tokenElsewhere } = await open(t);
  const bound = await tokenElsewhere();
  for (const authorization of [bound, await signInFor(ask, bound, 'repository:acme/app:*')]) {
    const asker = withAuthorization(ask, authorization);
    const answers = async (name: string) => {
      const all = [];
      for (const [method, url, options] of everyRoute(name, image)) {
        all.push(seen(await asker(method, url, options), name));
      }
      return all;
    };
    assert.deepEqual(await answers('acme/abc'), await answers('acme/app'));
  }
});

test('an unknown secret, a revoked one and one with a wrong user name are told apart by nothing', async (t) => {
  const { ask, team } = await open(t);
  const shown = [basic('wrong'), basic(`${team.secret}x`), basic(team.secret.slice(0, -1)), basic('wrong', 'owner')];
  const answers = await Promise.all(
    shown.map(async (authorization) => seen(await ask('GET', '/v2/', { headers: { authorization } }), '?')),
  );
  assert.equal(new Set(answers).size, 1);
  assert.equal((await ask('GET', '/v2/', { headers: { authorization: basic(team.secret, 'wrong') } })).status, 200);
});

// Security tests 20 and 26: who can choose the realm reads the passwords.
test('the realm never comes from what a client or a stranger in between says', async (t) => {
  const { ask } = await open(t);
  const realmOf = async (headers: Record<string, string>) =>
    /realm="([^"]*)"/.exec((await ask('GET', '/v2/', { headers })).headers['www-authenticate'] ?? '')?.[1];
  assert.equal(await realmOf({}), 'http://localhost:8080/token');
  for (const headers of [
    { host: 'evil.example.com' },
    { host: 'evil.example.com:8080' },
    { host: 'localhost:8080@evil.example.com' },
    { host: 'localhost:8080", error="' },
    { 'x-forwarded-host': 'evil.example.com' },
    { 'x-forwarded-proto': 'https' },
    { 'x-forwarded-host': 'evil.example.com', 'x-forwarded-proto': 'https', 'x-forwarded-for': '203.0.113.9' },
    { forwarded: 'host=evil.example.com;proto=https' },
    { 'x-original-host': 'evil.example.com' },
  ] as Record<string, string>[]) {
    const realm = (await realmOf(headers)) ?? '';
    assert.match(realm, /^http:\/\/(?:localhost:8080|127\.0\.0\.1:\d+)\/token$/, JSON.stringify(headers));
  }
});

test('forwarded headers count from a listed proxy, and from it alone', async (t) => {
  const site = { ...plainSite, trustedProxies: [parseAddressRange('192.0.2.0/24')] };
  const { ask, platform, team } = await open(t, { site });
  const headers = { 'x-forwarded-proto': 'https', 'x-forwarded-for': '203.0.113.9' };
  const realm = async (from: string) => (await ask('GET', '/v2/', { headers, from })).headers['www-authenticate'];
  assert.match((await realm('192.0.2.7')) ?? '', /realm="https:\/\/localhost:8080\/token"/);
  assert.match((await realm('198.51.100.7')) ?? '', /realm="http:\/\/localhost:8080\/token"/);
  const authorization = basic(team.secret);
  for (const [from, tag] of [
    ['192.0.2.7', 'proxied'],
    ['198.51.100.7', 'direct'],
  ] as const) {
    const put = withAuthorization(
      (method, url, o) => ask(method, url, { ...o, from, headers: { ...headers, ...o?.headers } }),
      authorization,
    );
    await pushImage(put, 'acme/app', tag);
  }
  const rows = await platform.db.selectFrom('audit_events').selectAll().where('action', 'like', '%push%').execute();
  const addresses = new Set(rows.map((row) => row.address));
  assert.deepEqual([...addresses].sort(), ['127.0.0.1', '198.51.100.7', '203.0.113.9']);
});

test('no answer sends a client to another host', async (t) => {
  const { owner, ask, image } = await open(t);
  const hosts = { host: 'evil.example.com' };
  for (const [method, url, options] of everyRoute('acme/app', image)) {
    const answer = await owner(method, url, { ...options, headers: hosts });
    const { location, link } = answer.headers;
    if (location !== undefined) assert.match(location, /^\/v2\/[^/\\]/, `${method} ${url}`);
    if (link !== undefined) assert.match(link, /^<\/v2\/[^/\\]/, `${method} ${url}`);
  }
  for (const path of [
    '//evil.example.com/',
    '/\\evil.example.com',
    '/v2//evil.example.com/',
    '/v2/%0d%0aLocation:x/tags/list',
    '/v2/..%2f..%2ftoken',
  ]) {
    const { status, headers } = await ask('GET', path);
    // What asks here reads a backslash as browsers do, and so comes to the front page.
    assert.ok(status >= 400 || path.startsWith('/\\'), path);
    assert.equal(headers.location, undefined, path);
  }
});
