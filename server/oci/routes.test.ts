import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Failure } from '#core/failure.ts';
import { imageType, pushBlob, pushImage } from '#test/oci-client.ts';
import { errorsOf, openRegistry, outcomeOf, sha256, startSession } from '#test/registry-client.ts';
import { parseRoute, type Route } from './routes.ts';

const digest = sha256('');
const words = ['a', 'a.b', 'a_b', 'a__b', 'a---b', '0', 'blobs', 'manifests', 'tags', 'list', 'uploads', 'referrers'];

// Edge case 1. What would break without this: a router that splits from the left loses repositories named like routes.
test('any name in front of any route is read back as it is, also a name made of route words', () => {
  const name = fc.array(fc.constantFrom(...words), { minLength: 1, maxLength: 6 }).map((parts) => parts.join('/'));
  const suffixes: [string, Omit<Extract<Route, { name: unknown }>, 'name'>][] = [
    ['tags/list', { kind: 'tags' }],
    ['blobs/uploads', { kind: 'uploads' }],
    ['blobs/uploads/', { kind: 'uploads' }],
    ['blobs/uploads/0199-a_b.c=', { kind: 'upload', id: '0199-a_b.c=' }],
    [`blobs/${digest}`, { kind: 'blob', reference: digest }],
    [`manifests/${digest}`, { kind: 'manifest', reference: digest }],
    ['manifests/list', { kind: 'manifest', reference: 'list' }],
    [`referrers/${digest}`, { kind: 'referrers', reference: digest }],
  ] as never;
  fc.assert(
    fc.property(
      name,
      fc.constantFrom(...suffixes),
      fc.constantFrom('', '?a=/tags/list'),
      (name, [suffix, route], query) => {
        assert.deepEqual(parseRoute(`/v2/${name}/${suffix}${query}`), { ...route, name });
      },
    ),
  );
});

test('whatever stands in a path, it is a route with a legal name, nothing, or a refusal about the name', () => {
  const piece = fc.constantFrom(
    ...words,
    '',
    '..',
    '.',
    'A',
    '%2F',
    '%2e',
    '%',
    '%zz',
    '%00',
    '_x',
    '_catalog',
    'ä',
    digest,
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
      try {
        const route = parseRoute(`/v2/${pieces.join('/')}`);
        if (route && 'name' in route) assert.match(route.name, /^[a-z0-9]+(?:[._/-]+[a-z0-9]+)*$/);
      } catch (error) {
        assert.ok(error instanceof Failure && error.reason === 'invalid' && error.detail.about === 'name');
      }
    }),
  );
});

test('repositories named like routes are pushed to, pulled from and listed', async (t) => {
  const { owner } = await openRegistry(t);
  for (const name of [
    'acme/foo/manifests/tags',
    'acme/a/blobs/uploads',
    'acme/tags/list',
    'acme/referrers/uploads/blobs',
  ]) {
    const image = await pushImage(owner, name, 'list');
    assert.equal((await owner('GET', `/v2/${name}/manifests/list`)).headers['docker-content-digest'], image, name);
    assert.equal((await owner('GET', `/v2/${name}/tags/list`)).text, JSON.stringify({ name, tags: ['list'] }));
    assert.equal((await owner('GET', `/v2/${name}/blobs/${sha256('layer')}`)).text, 'layer', name);
    assert.equal((await owner('GET', await startSession(owner, name))).status, 204, name);
    assert.equal((await owner('GET', `/v2/${name}/referrers/${image}`)).status, 200, name);
  }
});

// Edge case 2 and security test 5.
test('only names of the grammar are names, on every route', async (t) => {
  const { owner, team } = await openRegistry(t);
  const long = `acme/${'a'.repeat(250)}`;
  assert.equal(long.length, 255);
  for (const name of [
    'acme/a__b',
    'acme/a---b',
    'acme/a.b_c-d',
    'acme/0',
    'acme/a/b/c/d/e/f',
    long,
    `${team.registryName}/x`,
  ]) {
    assert.equal((await owner('GET', `/v2/${name}/tags/list`)).code, 'NAME_UNKNOWN', name);
    assert.equal((await owner('POST', `/v2/${name}/blobs/uploads/`)).status, 202, name);
  }
  const bad = [
    'A/b',
    'acme/B',
    'acme//b',
    'acme/a___b',
    'acme/a..b',
    'acme/-a',
    'acme/a-',
    'acme/_a',
    'acme/.a',
    'acme/a/',
  ];
  const encoded = [
    'acme/..',
    'acme/%2e%2e',
    'acme%2Fb',
    'acme/a%2fb',
    'acme/%00',
    'acme/a%00b',
    'acme/а',
    'acme/%D0%B0',
  ];
  for (const name of [...bad, ...encoded, `${long}a`, `acme/${'a'.repeat(3000)}`, 'acme/%E2%84%AA', 'acme/a%252fb']) {
    for (const [method, url] of [
      ['GET', `/v2/${name}/tags/list`],
      ['POST', `/v2/${name}/blobs/uploads/`],
      ['PUT', `/v2/${name}/manifests/v1`],
      ['GET', `/v2/${name}/blobs/${digest}`],
      ['GET', `/v2/${name}/referrers/${digest}`],
    ] as const) {
      const answer = await owner(method, encodeURI(url).replaceAll('%25', '%'));
      assert.equal(outcomeOf(answer), '400 NAME_INVALID', `${method} ${name}`);
    }
  }
});

test('a registry without a repository is no repository', async (t) => {
  const { owner } = await openRegistry(t);
  const answer = await owner('POST', '/v2/acme/blobs/uploads/');
  assert.equal(outcomeOf(answer), '400 NAME_INVALID');
  assert.match(answer.text, /acme\/<repository>/);
  assert.equal(outcomeOf(await owner('GET', '/v2/acme/tags/list')), '400 NAME_INVALID');
  assert.equal(outcomeOf(await owner('PUT', '/v2/acme/manifests/v1', { body: '{}' })), '400 NAME_INVALID');
});

// Edge case 2: the old suite reads `.INVALID` as a tag that is not there; a push must be told what is wrong.
test('a malformed reference is 404 to read and to delete, 400 to write', async (t) => {
  const { owner } = await openRegistry(t);
  await pushImage(owner, 'acme/app', 'v1');
  const short = 'sha256:bad';
  const table: [string, string, string][] = [
    ['.INVALID_MANIFEST_NAME', '404 MANIFEST_UNKNOWN', '400 NAME_INVALID'],
    ['-x', '404 MANIFEST_UNKNOWN', '400 NAME_INVALID'],
    ['a'.repeat(129), '404 MANIFEST_UNKNOWN', '400 NAME_INVALID'],
    ['%00', '404 MANIFEST_UNKNOWN', '400 NAME_INVALID'],
    ['a%2Fb', '404 MANIFEST_UNKNOWN', '400 NAME_INVALID'],
    ['%E2%82%AC', '404 MANIFEST_UNKNOWN', '400 NAME_INVALID'],
    [short, '404 MANIFEST_UNKNOWN', '400 DIGEST_INVALID'],
    [sha256('x').toUpperCase(), '404 MANIFEST_UNKNOWN', '400 DIGEST_INVALID'],
    [`sha256:${'A'.repeat(64)}`, '404 MANIFEST_UNKNOWN', '400 DIGEST_INVALID'],
    [`sha512:${'a'.repeat(64)}`, '404 MANIFEST_UNKNOWN', '400 DIGEST_INVALID'],
    [`md5:${'a'.repeat(32)}`, '404 MANIFEST_UNKNOWN', '400 DIGEST_INVALID'],
    ['sha256:..%2F..%2Fx', '404 MANIFEST_UNKNOWN', '400 DIGEST_INVALID'],
  ];
  for (const [reference, read, write] of table) {
    const url = `/v2/acme/app/manifests/${reference}`;
    assert.equal(outcomeOf(await owner('GET', url)), read, reference);
    assert.equal((await owner('HEAD', url)).status, 404, reference);
    assert.equal(outcomeOf(await owner('DELETE', url)), read, reference);
    const put = await owner('PUT', url, { headers: { 'content-type': imageType }, body: '{}' });
    assert.equal(outcomeOf(put), write, reference);
  }
});

test('a malformed digest of a blob or of a subject is 400', async (t) => {
  const { owner } = await openRegistry(t);
  await pushBlob(owner, 'acme/app', 'x');
  for (const bad of [
    'sha256:bad',
    'sha256:../../x',
    'sha256:..%2f..%2fx',
    'latest',
    `md5:${'a'.repeat(32)}`,
    sha256('x').toUpperCase(),
    '%00',
  ]) {
    for (const [method, kind] of [
      ['GET', 'blobs'],
      ['DELETE', 'blobs'],
      ['GET', 'referrers'],
    ] as const) {
      assert.equal(
        outcomeOf(await owner(method, `/v2/acme/app/${kind}/${bad}`)),
        '400 DIGEST_INVALID',
        `${method} ${kind} ${bad}`,
      );
    }
  }
});

// Edge case 3.
test('what is encoded once is read; what is encoded twice is something else', async (t) => {
  const { owner } = await openRegistry(t);
  const bytes = 'encoded';
  const raw = await pushBlob(owner, 'acme/one', bytes);
  const encoded = encodeURIComponent(raw);
  const twice = encodeURIComponent(encoded);
  for (const reference of [raw, encoded]) {
    assert.equal((await owner('GET', `/v2/acme/one/blobs/${reference}`)).text, bytes);
    const put = await owner('PUT', `${await startSession(owner, 'acme/two')}?digest=${reference}`, { body: bytes });
    assert.equal(put.status, 201);
    assert.equal(put.headers.location, `/v2/acme/two/blobs/${raw}`);
    for (const from of ['acme/one', 'acme%2Fone']) {
      const target = `acme/m${reference === raw}${from.length}`.toLowerCase();
      const mount = await owner('POST', `/v2/${target}/blobs/uploads/?mount=${reference}&from=${from}`);
      assert.equal(mount.status, 201, from);
    }
  }
  assert.equal(outcomeOf(await owner('GET', `/v2/acme/one/blobs/${twice}`)), '400 DIGEST_INVALID');
  const put = await owner('PUT', `${await startSession(owner, 'acme/two')}?digest=${twice}`, { body: bytes });
  assert.equal(outcomeOf(put), '400 DIGEST_INVALID');
  const mount = await owner('POST', `/v2/acme/none/blobs/uploads/?mount=${raw}&from=acme%252Fone`);
  assert.equal(mount.status, 202);
});

test('a wrong method on a known path is 405 with Allow; an unknown path is 404; both as JSON', async (t) => {
  const { owner, ask } = await openRegistry(t);
  const table: [string, string, string][] = [
    ['POST', '/v2/', 'GET, HEAD'],
    ['DELETE', '/v2/_catalog', 'GET'],
    ['POST', '/v2/_oci/ext/discover', 'GET'],
    ['PUT', '/v2/acme/app/tags/list', 'GET'],
    ['DELETE', `/v2/acme/app/referrers/${digest}`, 'GET'],
    ['POST', '/v2/acme/app/manifests/v1', 'GET, HEAD, PUT, DELETE'],
    ['PATCH', `/v2/acme/app/blobs/${digest}`, 'GET, HEAD, DELETE'],
    ['GET', '/v2/acme/app/blobs/uploads/', 'POST'],
    ['POST', '/v2/acme/app/blobs/uploads/x', 'GET, PATCH, PUT, DELETE'],
    ['OPTIONS', '/v2/acme/app/manifests/v1', 'GET, HEAD, PUT, DELETE'],
  ];
  for (const [method, url, allow] of table) {
    const answer = await owner(method, url);
    assert.equal(outcomeOf(answer), '405 UNSUPPORTED', `${method} ${url}`);
    assert.equal(answer.headers.allow, allow, `${method} ${url}`);
  }
  const unknown = [
    '/v2/acme',
    '/v2/acme/app',
    '/v2/acme/app/tags',
    '/v2/acme/app/tags/list/',
    '/v2/acme/app/blobs',
    '/v2/_oci/ext',
  ];
  const ids = ['/v2/acme/app/blobs/uploads/a%20b', '/v2/acme/app/blobs/uploads/..%2fx', '/v2/x/_lading/ext/discover'];
  for (const url of [...unknown, ...ids, '/v2/acme/app/manifests', '/v3/']) {
    const answer = await ask('GET', url);
    assert.equal(answer.status, 404, url);
    if (url.startsWith('/v2')) assert.ok(errorsOf(answer));
  }
});

test('a path that cannot be decoded is refused in the form that clients read', async (t) => {
  const { owner } = await openRegistry(t);
  for (const url of ['/v2/acme/%/tags/list', '/v2/%zz', '/v2/acme/app/manifests/%E2%82']) {
    const answer = await owner('GET', url);
    assert.equal(answer.status, 400, url);
    assert.ok(errorsOf(answer));
    assert.equal(answer.headers['docker-distribution-api-version'], 'registry/2.0');
  }
});

// A router that decodes would answer under other spellings of the prefix, past whatever a proxy allows by path.
test('the prefix is /v2 and nothing that decodes to it', async (t) => {
  const { owner } = await openRegistry(t);
  await pushImage(owner, 'acme/app', 'v1');
  for (const url of [
    '/%76%32/acme/app/tags/list',
    '/v%32/acme/app/tags/list',
    '//v2/acme/app/tags/list',
    '/v2%2Facme/app/tags/list',
  ]) {
    assert.equal((await owner('GET', url)).status, 404, url);
  }
});

test('both spellings of the version check answer themselves, without a redirect', async (t) => {
  const { owner } = await openRegistry(t);
  for (const url of ['/v2', '/v2/']) {
    const answer = await owner('GET', url);
    assert.equal(answer.status, 200);
    assert.equal(answer.text, '{}');
    assert.equal(answer.headers['content-type'], 'application/json');
    assert.equal(answer.headers['docker-distribution-api-version'], 'registry/2.0');
    assert.equal((await owner('HEAD', url)).status, 200);
  }
  const extensions = await owner('GET', '/v2/_oci/ext/discover');
  assert.equal(extensions.status, 200);
  assert.deepEqual(JSON.parse(extensions.text), { extensions: [] });
});
