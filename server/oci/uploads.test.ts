import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createToken } from '#core/tokens.ts';
import { type Answer, pushBlob, withAuthorization } from '#test/oci-client.ts';
import {
  assertHeaders,
  errorsOf,
  openRegistry,
  outcomeOf,
  sha256,
  sha512,
  startSession,
} from '#test/registry-client.ts';
import { assertCreated, assertSession, patch, put, read, statesOf, usageOf } from '#test/registry-uploads.ts';

const emptySha512 = sha512('');

// Edge case 14 among them: crane says JSON and sends nothing.
test('a session starts with every form of POST that clients send', async (t) => {
  const { owner } = await openRegistry(t);
  const forms: [string, Record<string, string>][] = [
    ['/v2/acme/app/blobs/uploads/', {}],
    ['/v2/acme/app/blobs/uploads', {}],
    ['/v2/acme/app/blobs/uploads/', { 'content-length': '0' }],
    ['/v2/acme/app/blobs/uploads/', { 'content-type': 'application/json' }],
    ['/v2/acme/app/blobs/uploads/', { 'content-type': 'application/json', 'content-length': '0' }],
    ['/v2/acme/app/blobs/uploads/', { 'content-type': 'application/octet-stream', 'content-length': '0' }],
    ['/v2/acme/app/blobs/uploads/?digest-algorithm=sha256', {}],
    ['/v2/acme/app/blobs/uploads/?digest-algorithm=sha512', {}],
    // A digest without a body is a hint of what will come.
    [`/v2/acme/app/blobs/uploads/?digest=${sha256('x')}`, { 'content-length': '0' }],
    ['/v2/acme/app/blobs/uploads/?unknown=1', {}],
  ];
  for (const [url, headers] of forms) {
    const location = assertSession(await owner('POST', url, { headers }), 202, 'acme/app', 0);
    assertSession(await owner('GET', location), 204, 'acme/app', 0);
  }
  for (const algorithm of ['md5', 'SHA256', 'blake3', '', '%00']) {
    const answer = await owner('POST', `/v2/acme/app/blobs/uploads/?digest-algorithm=${algorithm}`);
    assert.equal(outcomeOf(answer), '400 DIGEST_INVALID', algorithm);
  }
});

test('a blob comes in one POST, one PUT, one PATCH, many PATCHes, or PATCHes with the rest in the PUT', async (t) => {
  const { owner } = await openRegistry(t);
  const bytes = 'abcdefghij0123456789';
  const half = [bytes.slice(0, 10), bytes.slice(10)] as const;
  const ways: Record<string, (repository: string, digest: string) => Promise<Answer>> = {
    post: (repository, digest) => owner('POST', `/v2/${repository}/blobs/uploads/?digest=${digest}`, { body: bytes }),
    put: async (repository, digest) => put(owner, await startSession(owner, repository), digest, bytes),
    'put-ranged': async (repository, digest) =>
      put(owner, await startSession(owner, repository), digest, bytes, '0-19'),
    patch: async (repository, digest) => {
      const location = await startSession(owner, repository);
      return put(owner, assertSession(await patch(owner, location, bytes), 202, repository, 20), digest);
    },
    patches: async (repository, digest) => {
      let location = await startSession(owner, repository);
      location = assertSession(await patch(owner, location, half[0], '0-9'), 202, repository, 10);
      location = assertSession(await patch(owner, location, half[1], '10-19'), 202, repository, 20);
      return put(owner, location, digest);
    },
    rest: async (repository, digest) => {
      const location = await startSession(owner, repository);
      await patch(owner, location, half[0]);
      return put(owner, location, digest, half[1], '10-19');
    },
  };
  for (const [way, upload] of Object.entries(ways)) {
    for (const digest of [sha256(bytes), sha512(bytes)]) {
      const repository = `acme/${way}${digest.slice(0, 6)}`;
      assertCreated(await upload(repository, digest), repository, digest);
      assert.equal(await read(owner, repository, digest), bytes, way);
      assertCreated(await upload(repository, digest), repository, digest);
    }
  }
});

// Edge case 5: the old suite repeats a chunk on the POST's Location and asks there where it stands.
test('a chunk out of order is 416 with the true offset, writes nothing, and the session goes on', async (t) => {
  const { owner } = await openRegistry(t);
  const first = await startSession(owner, 'acme/app');
  for (const range of ['1-5', '10-19', '999999999999-999999999999']) {
    assertSession(await patch(owner, first, 'x'.repeat(5), range), 416, 'acme/app', 0);
  }
  await patch(owner, first, 'abcdefghij', '0-9');
  const second = (await patch(owner, first, 'klmnopqrst', '10-19')).headers.location ?? '';
  for (const range of ['10-19', '0-9', '21-30', '19-20']) {
    assertSession(await patch(owner, first, 'klmnopqrst', range), 416, 'acme/app', 20);
  }
  for (const location of [first, second, `${second}?digest=${sha256('x')}&unknown=1`]) {
    assertSession(await owner('GET', location), 204, 'acme/app', 20);
  }
  const digest = sha256('abcdefghijklmnopqrst');
  assertCreated(await put(owner, second, digest), 'acme/app', digest);
});

// Edge case 6.
test('a closing PUT out of order is 416 and costs nothing: the right one still ends the upload', async (t) => {
  const { owner } = await openRegistry(t);
  const location = await startSession(owner, 'acme/app');
  const digest = sha256('0123456789');
  assertSession(await put(owner, location, digest, '0123456789', '5-14'), 416, 'acme/app', 0);
  await patch(owner, location, '01234', '0-4');
  for (const range of ['0-4', '6-10', '4-8']) {
    assertSession(await put(owner, location, digest, '56789', range), 416, 'acme/app', 5);
    assertSession(await owner('GET', `${location}?digest=${digest}`), 204, 'acme/app', 5);
  }
  assertCreated(await put(owner, location, digest, '56789', '5-9'), 'acme/app', digest);
});

// Edge case 7.
test('a Content-Range that is none, or does not fit the length, is 400 and appends nothing', async (t) => {
  const { owner } = await openRegistry(t);
  const location = await startSession(owner, 'acme/app');
  const table: [string, string][] = [
    ['0-3', '400 SIZE_INVALID'],
    ['0-5', '400 SIZE_INVALID'],
    ['5-0', '400 BLOB_UPLOAD_INVALID'],
    ['0', '400 BLOB_UPLOAD_INVALID'],
    ['-4', '400 BLOB_UPLOAD_INVALID'],
    ['0-', '400 BLOB_UPLOAD_INVALID'],
    ['bytes 0-4/5', '400 BLOB_UPLOAD_INVALID'],
    ['bytes=0-4', '400 BLOB_UPLOAD_INVALID'],
    ['a-b', '400 BLOB_UPLOAD_INVALID'],
    ['0-4,5-9', '400 BLOB_UPLOAD_INVALID'],
    ['0 - 4', '400 BLOB_UPLOAD_INVALID'],
    ['0-99999999999999999999', '400 BLOB_UPLOAD_INVALID'],
  ];
  for (const [range, outcome] of table) {
    assert.equal(outcomeOf(await patch(owner, location, 'abcde', range)), outcome, range);
    assert.equal(outcomeOf(await put(owner, location, sha256('abcde'), 'abcde', range)), outcome, `PUT ${range}`);
  }
  assertSession(await owner('GET', location), 204, 'acme/app', 0);
  assertCreated(await put(owner, location, sha256('abcde'), 'abcde', '0-4'), 'acme/app', sha256('abcde'));
});

// Edge case 8.
test('content that has another digest is 400, is readable under neither, and ends the session', async (t) => {
  const { owner, platform } = await openRegistry(t);
  const [claimed, real] = [sha256('claimed'), sha256('real')];
  const ways: (() => Promise<[Answer, string?]>)[] = [
    async () => [await owner('POST', `/v2/acme/app/blobs/uploads/?digest=${claimed}`, { body: 'real' })],
    async () => {
      const location = await startSession(owner, 'acme/app');
      return [await put(owner, location, claimed, 'real'), location];
    },
    async () => {
      const location = await startSession(owner, 'acme/app');
      await patch(owner, location, 're');
      return [await put(owner, location, claimed, 'al'), location];
    },
    async () => {
      const location = await startSession(owner, 'acme/app');
      await patch(owner, location, 'real');
      return [await put(owner, location, sha512('claimed')), location];
    },
  ];
  for (const way of ways) {
    const [answer, location] = await way();
    assert.equal(outcomeOf(answer), '400 DIGEST_INVALID');
    assert.match(answer.text, new RegExp(`${sha256('real')}|${sha512('real')}`));
    for (const digest of [claimed, real])
      assert.equal((await owner('HEAD', `/v2/acme/app/blobs/${digest}`)).status, 404);
    if (location) assert.equal(outcomeOf(await owner('GET', location)), '404 BLOB_UPLOAD_UNKNOWN');
  }
  assert.deepEqual(await statesOf({ platform }), { doomed: 5 });
  assert.deepEqual(await usageOf({ platform }), { size: 0, reserved: 0 });
});

// Edge case 9 and security test 4.
test('a digest that cannot be stored is 400 and leaves the session for the right one', async (t) => {
  const { owner } = await openRegistry(t);
  const location = await startSession(owner, 'acme/app');
  await patch(owner, location, 'bytes');
  const bad = [
    '',
    'bytes',
    `md5:${'a'.repeat(32)}`,
    `blake3:${'a'.repeat(64)}`,
    sha256('bytes').toUpperCase(),
    `sha256:${sha256('bytes').slice(7).toUpperCase()}`,
    sha256('bytes').slice(0, -1),
    `${sha256('bytes')}0`,
    `sha512:${sha256('bytes').slice(7)}`,
    `sha256:${sha512('bytes').slice(7)}`,
    'sha256:../../x',
    'sha256:..%2F..%2Fx',
    `${sha256('bytes')}%00`,
    `${sha256('bytes')}%0A`,
    ` ${sha256('bytes')}`,
  ];
  for (const digest of bad) {
    assert.equal(outcomeOf(await put(owner, location, digest)), '400 DIGEST_INVALID', digest);
    const post = await owner('POST', `/v2/acme/app/blobs/uploads/?digest=${digest}`, { body: 'bytes' });
    assert.equal(outcomeOf(post), '400 DIGEST_INVALID', `POST ${digest}`);
  }
  assert.equal(outcomeOf(await owner('PUT', location)), '400 DIGEST_INVALID', 'no digest at all');
  assertCreated(await put(owner, location, sha512('bytes')), 'acme/app', sha512('bytes'));
  assert.equal(await read(owner, 'acme/app', sha512('bytes')), 'bytes');
});

// Edge case 10.
test('a blob of no bytes comes in every way, under both algorithms', async (t) => {
  const { owner } = await openRegistry(t);
  const ways: ((repository: string, digest: string) => Promise<Answer>)[] = [
    (repository, digest) =>
      owner('POST', `/v2/${repository}/blobs/uploads/?digest=${digest}`, { headers: { 'content-length': '0' } }),
    (repository, digest) => owner('POST', `/v2/${repository}/blobs/uploads/?digest=${digest}`),
    async (repository, digest) => put(owner, await startSession(owner, repository), digest),
    async (repository, digest) => owner('PUT', `${await startSession(owner, repository)}?digest=${digest}`),
    async (repository, digest) => {
      const location = await startSession(owner, repository);
      assertSession(await patch(owner, location, ''), 202, repository, 0);
      return put(owner, location, digest);
    },
  ];
  for (const [index, way] of ways.entries()) {
    for (const digest of [sha256(''), emptySha512]) {
      const repository = `acme/empty${index}${digest.slice(3, 6)}`;
      assertCreated(await way(repository, digest), repository, digest);
      const get = await owner('GET', `/v2/${repository}/blobs/${digest}`);
      assert.equal(get.status, 200);
      assertHeaders(get, { 'Content-Length': '0', 'Docker-Content-Digest': digest });
    }
  }
  const location = await startSession(owner, 'acme/app');
  assert.equal(outcomeOf(await put(owner, location, sha256('not empty'))), '400 DIGEST_INVALID');
});

// Edge case 13.
test('a session is none elsewhere, nor after its end: 404 BLOB_UPLOAD_UNKNOWN for every method', async (t) => {
  const { owner } = await openRegistry(t);
  await pushBlob(owner, 'acme/b', 'so that it is there');
  const elsewhere = (await startSession(owner, 'acme/a')).replace('/acme/a/', '/acme/b/');
  const nowhere = elsewhere.replace('/acme/b/', '/acme/never/');
  const cancelled = await startSession(owner, 'acme/a');
  const cancel = await owner('DELETE', cancelled);
  assert.equal(cancel.status, 204);
  assertHeaders(cancel, { 'Content-Length': undefined, 'Content-Type': undefined, Location: undefined });
  const finished = await startSession(owner, 'acme/a');
  await put(owner, finished, sha256('x'), 'x');
  const invented = '/v2/acme/a/blobs/uploads/0197a000-0000-7000-8000-000000000000';
  for (const location of [elsewhere, nowhere, cancelled, finished, invented, '/v2/acme/a/blobs/uploads/a.b_c=']) {
    for (const [method, query, body] of [
      ['GET', '', undefined],
      ['PATCH', '', 'x'],
      ['PUT', `?digest=${sha256('x')}`, 'x'],
      ['PUT', `?digest=${sha256('x')}`, ''],
      ['DELETE', '', undefined],
    ] as const) {
      const answer = await owner(method, location + query, body === undefined ? {} : { body });
      assert.equal(outcomeOf(answer), '404 BLOB_UPLOAD_UNKNOWN', `${method} ${location}`);
      assertHeaders(answer, { Range: undefined, Location: undefined });
    }
  }
});

test('who has only pull rights opens no session and touches nobody’s', async (t) => {
  const { owner, ask, platform, team } = await openRegistry(t);
  const { secret } = await createToken(platform, team.owner, { mode: 'ro', registryIds: null });
  const reader = withAuthorization(ask, `Bearer ${secret}`);
  const location = await startSession(owner, 'acme/app');
  for (const [method, url] of [
    ['POST', '/v2/acme/app/blobs/uploads/'],
    ['GET', location],
    ['PATCH', location],
    ['PUT', `${location}?digest=${sha256('')}`],
    ['DELETE', location],
  ] as const) {
    assert.equal(errorsOf(await reader(method, url))[0]?.code, 'DENIED', method);
  }
  assertSession(await owner('GET', location), 204, 'acme/app', 0);
});

test('the content type of a body means nothing', async (t) => {
  const { owner } = await openRegistry(t);
  for (const type of [
    'application/json',
    'application/octet-stream',
    'text/plain; charset=utf-8',
    'multipart/form-data',
    '',
    'x',
  ]) {
    const location = await startSession(owner, 'acme/app');
    const headers = { 'content-type': type };
    assert.equal((await owner('PATCH', location, { headers, body: '{"a":' })).status, 202, type);
    const answer = await owner('PUT', `${location}?digest=${sha256('{"a":1}')}`, { headers, body: '1}' });
    assert.equal(answer.status, 201, type);
  }
});
