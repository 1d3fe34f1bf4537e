import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import {
  type Ask,
  basic,
  digestOf,
  imageType,
  openOci,
  pushBlob,
  pushImage,
  withAuthorization,
} from '#test/oci-client.ts';
import { seedTeam } from '#test/platform.ts';

const indexType = 'application/vnd.oci.image.index.v1+json';
const mib = 1024 * 1024;

async function open(t: Parameters<typeof openOci>[0]) {
  const { ask: anyone, platform, app } = await openOci(t);
  const team = await seedTeam(platform, 'acme');
  const ask = withAuthorization(anyone, basic(team.secret));
  const image = await pushImage(ask, 'acme/app', 'v1');
  return { ask, platform, app, image, authorization: basic(team.secret) };
}

const putManifest = (ask: Ask, body: string | Buffer, type = imageType, reference = 'hostile') =>
  ask('PUT', `/v2/acme/app/manifests/${reference}`, { headers: { 'content-type': type }, body });

/** The codes that the distribution spec allows in a body. */
const specCodes = new Set(
  `BLOB_UNKNOWN BLOB_UPLOAD_INVALID BLOB_UPLOAD_UNKNOWN DIGEST_INVALID MANIFEST_BLOB_UNKNOWN MANIFEST_INVALID
   MANIFEST_UNKNOWN NAME_INVALID NAME_UNKNOWN SIZE_INVALID UNAUTHORIZED DENIED UNSUPPORTED TOOMANYREQUESTS`.split(
    /\s+/,
  ),
);

// Security test 1: a number from a client never decides how much is read.
test('a page is never longer than its maximum, whatever number asks for it', async (t) => {
  const { ask, platform, image } = await open(t);
  const { id } = await platform.db.selectFrom('repositories').select('id').executeTakeFirstOrThrow();
  const names = Array.from({ length: 1200 }, (_, i) => `t${String(i).padStart(4, '0')}`);
  const base = { repository_id: id, digest: image, belongs_to: null, created_at: 0, updated_at: 0 };
  for (let at = 0; at < names.length; at += 100) {
    await platform.db
      .insertInto('tags')
      .values(names.slice(at, at + 100).map((name) => ({ ...base, name })))
      .execute();
  }
  const lists = ['/v2/acme/app/tags/list', '/v2/_catalog', `/v2/acme/app/referrers/${image}`];
  for (const huge of ['1001', '4294967296', '9223372036854775808', '9'.repeat(400)]) {
    const { status, text: body, headers } = await ask('GET', `${lists[0]}?n=${huge}`);
    assert.equal(status, 200, huge);
    assert.deepEqual(JSON.parse(body).tags, names.slice(0, 1000), huge);
    assert.match(headers.link ?? '', /rel="next"/);
    for (const list of lists) assert.equal((await ask('GET', `${list}?n=${huge}`)).status, 200);
  }
  for (const [list, key] of [
    [lists[0], 'tags'],
    [lists[1], 'repositories'],
  ] as const) {
    const { status, text: body, headers } = await ask('GET', `${list}?n=0`);
    assert.deepEqual([status, JSON.parse(body)[key], headers.link], [200, [], undefined]);
  }
  for (const wrong of ['-1', 'abc', '1.5', '0x10', '1e3', '', '%00', '1%202', 'NaN']) {
    for (const list of lists) {
      const { status, code = '' } = await ask('GET', `${list}?n=${wrong}`);
      assert.equal(status, 400, `${list} ${wrong}`);
      assert.ok(specCodes.has(code), code);
    }
  }
});

// Security test 2: a document costs no more than reading it once, and is refused before it costs anything in the database.
test('manifests made to exhaust are refused fast', async (t) => {
  const { ask, platform } = await open(t);
  const descriptor = (i: number) => `{"mediaType":"a","digest":"sha256:${i.toString(16).padStart(64, '0')}","size":1}`;
  const many = (list: string, count: number, head = '') =>
    `{"schemaVersion":2,${head}"${list}":[${Array.from({ length: count }, (_, i) => descriptor(i)).join()}]}`;
  const config = `"config":${descriptor(0)},`;
  const cases: Record<string, [string, number, string?]> = {
    'one byte too many': ['{'.padEnd(4 * mib + 1), 413],
    '16 MiB': [' '.repeat(16 * mib), 413],
    'deep lists': ['['.repeat(10_000), 400],
    'deep lists that close': [`{"schemaVersion":2,"x":${'['.repeat(10_000)}${']'.repeat(10_000)}}`, 400],
    'deep objects': [`${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}`, 400],
    '100,000 descriptors': [many('layers', 100_000, config), 413],
    'as many layers as fit': [many('layers', 36_000, config), 400],
    'as many children as fit': [many('manifests', 36_000), 400, indexType],
    'one long text': [`{"schemaVersion":2,"a":"${'\\\\u0000'.repeat(500_000)}"`, 400],
    'many keys': [`{${Array.from({ length: 200_000 }, (_, i) => `"${i}":0`).join()}}`, 400],
    'a long number': [`{"schemaVersion":${'9'.repeat(2 * mib)}}`, 400],
  };
  for (const [name, [body, status, type]] of Object.entries(cases)) {
    const began = performance.now();
    const answer = await putManifest(ask, body, type);
    assert.equal(answer.status, status, `${name}: ${answer.text.slice(0, 300)}`);
    assert.ok(specCodes.has(answer.code ?? ''), name);
    assert.ok(answer.bytes.length < mib, `${name}: an answer of ${answer.bytes.length} bytes`);
    // Generous for a busy machine; work that grows with the square would take minutes.
    assert.ok(performance.now() - began < 10_000, `${name}: ${performance.now() - began} ms`);
  }
  assert.equal((await platform.db.selectFrom('manifests').select('digest').execute()).length, 1);
});

// Security tests 2 and 3: one document must not be read as two different things by two readers (CVE-2021-41190).
test('documents that two readers could read differently are refused', async (t) => {
  const { ask } = await open(t);
  const size = 2;
  const config = { mediaType: 'application/vnd.oci.empty.v1+json', digest: digestOf('{}'), size };
  const layers: unknown[] = [];
  const image = { schemaVersion: 2, config, layers };
  const json = JSON.stringify;
  const cases: Record<string, [string | Buffer, string?]> = {
    'image and index at once': [json({ ...image, manifests: [] })],
    'index and image at once': [json({ ...image, manifests: [] }), indexType],
    'an index with a config': [json({ schemaVersion: 2, manifests: [], config }), indexType],
    'an index with layers': [json({ schemaVersion: 2, manifests: [], layers }), indexType],
    'an index called an image': [json({ schemaVersion: 2, manifests: [] })],
    'an image called an index': [json(image), indexType],
    'mediaType against Content-Type': [json({ ...image, mediaType: indexType })],
    'the same key twice': [`{"schemaVersion":2,"config":${json(config)},"layers":[],"layers":[]}`],
    'the same key twice, once escaped': [`{"schemaVersion":2,"config":${json(config)},"layers":[],"l\\u0061yers":[]}`],
    'the same key twice, deeper': [`{"schemaVersion":2,"config":{"size":1,${json(config).slice(1)},"layers":[]}`],
    'a list': ['[]'],
    null: ['null'],
    'a text': ['"manifest"'],
    nothing: [''],
    'two documents': [json(image) + json(image)],
    'something behind it': [`${json(image)}x`],
    'a byte order mark': [`\uFEFF${json(image)}`],
    'not UTF-8': [Buffer.concat([Buffer.from(json(image).slice(0, -1)), Buffer.from(',"a":"\xff"}', 'latin1')])],
    'UTF-16': [Buffer.from(json(image), 'utf16le')],
    'Docker schema 1': [json({ schemaVersion: 1, name: 'x', tag: 'y', fsLayers: [], history: [] })],
    'schema 1 by its type': [json({ schemaVersion: 1 }), 'application/vnd.docker.distribution.manifest.v1+prettyjws'],
    'a text as schemaVersion': [json({ ...image, schemaVersion: '2' })],
    'no config': [json({ schemaVersion: 2, layers })],
    'a config that is a list': [json({ ...image, config: [config] })],
    'layers that are none': [json({ ...image, layers: { length: 1 } })],
    'a negative size': [json({ ...image, config: { ...config, size: -1 } })],
    'a size with a fraction': [json({ ...image, config: { ...config, size: 1.5 } })],
    'a size beyond integers': [json({ ...image, config: { ...config, size: 2 ** 60 } })],
    'a subject that is a text': [json({ ...image, subject: digestOf('x') })],
    'another media type': [json(image), 'text/html'],
  };
  for (const [name, [body, type]] of Object.entries(cases)) {
    const { status, code } = await putManifest(ask, body, type);
    assert.deepEqual([status, code], [400, 'MANIFEST_INVALID'], name);
  }
  await pushBlob(ask, 'acme/app', '{}');
  assert.equal((await putManifest(ask, json(image))).status, 201, 'the document that they were made of is good');
});

const badDigests = [
  `sha256:${'A'.repeat(64)}`,
  `SHA256:${'a'.repeat(64)}`,
  `sha256:${'a'.repeat(63)}`,
  `sha256:${'a'.repeat(65)}`,
  `sha256:${'g'.repeat(64)}`,
  `sha512:${'a'.repeat(64)}`,
  `sha256:${'a'.repeat(128)}`,
  `sha1:${'a'.repeat(40)}`,
  `md5:${'a'.repeat(32)}`,
  'sha256:',
  ':',
  'sha256:../../../../etc/passwd',
  'sha256:..%2F..%2Fx',
  `sha256:${'a'.repeat(64)}%00`,
  `sha256:${'a'.repeat(64)}%0a`,
  `sha256:${'a'.repeat(64)} `,
];

// Security test 4.
test('a digest is exactly one of the two forms wherever it is written', async (t) => {
  const { ask } = await open(t);
  for (const bad of badDigests) {
    const inPath = encodeURI(decodeURIComponent(bad)).replaceAll('/', '%2F');
    const inQuery = encodeURIComponent(decodeURIComponent(bad));
    for (const [method, url, body] of [
      ['GET', `/v2/acme/app/blobs/${inPath}`],
      ['HEAD', `/v2/acme/app/blobs/${inPath}`],
      ['DELETE', `/v2/acme/app/blobs/${inPath}`],
      ['GET', `/v2/acme/app/referrers/${inPath}`],
      ['PUT', `/v2/acme/app/manifests/${inPath}`, '{}'],
      ['POST', `/v2/acme/app/blobs/uploads/?digest=${inQuery}`, 'bytes'],
    ] as const) {
      const answer = await ask(method, url, body === undefined ? {} : { body, headers: { 'content-type': imageType } });
      assert.equal(answer.status, 400, `${method} ${url}`);
      if (method !== 'HEAD') assert.equal(answer.code, 'DIGEST_INVALID', `${method} ${url}`);
    }
    const session = await ask('POST', '/v2/acme/app/blobs/uploads/');
    const put = await ask('PUT', `${session.headers.location}?digest=${inQuery}`, { body: 'bytes' });
    assert.deepEqual([put.status, put.code], [400, 'DIGEST_INVALID'], bad);
  }
});

test("content is kept under the digest that it has, and under no other algorithm's", async (t) => {
  const { ask } = await open(t);
  const sha512 = `sha512:${createHash('sha512').update('bytes').digest('hex')}`;
  for (const digest of [digestOf('other'), sha512.replace(/.$/, (c) => (c === '0' ? '1' : '0'))]) {
    const answer = await ask('POST', `/v2/acme/app/blobs/uploads/?digest=${digest}`, { body: 'bytes' });
    assert.deepEqual([answer.status, answer.code], [400, 'DIGEST_INVALID']);
    assert.equal((await ask('HEAD', `/v2/acme/app/blobs/${digest}`)).status, 404);
  }
  const stored = await ask('POST', `/v2/acme/app/blobs/uploads/?digest=${sha512}`, { body: 'bytes' });
  assert.equal(stored.status, 201);
  assert.equal((await ask('HEAD', `/v2/acme/app/blobs/${sha512}`)).status, 200);
  assert.equal((await ask('HEAD', `/v2/acme/app/blobs/${digestOf('bytes')}`)).status, 404);
});

// Security test 5.
test('a name that is not exactly a name reaches nothing', async (t) => {
  const { ask, platform, app, authorization } = await open(t);
  const origin = new URL(await app.listen({ host: '127.0.0.1', port: 0 }));
  // Over a socket, because what would be polite to a path on the way there is what an attacker leaves out.
  const askRaw = async (method: string, path: string) => {
    const { hostname, port } = origin;
    const asked = request({ hostname, port, method, path, headers: { authorization, 'content-type': imageType } });
    asked.end(method === 'PUT' ? '{}' : undefined);
    const [response] = (await once(asked, 'response')) as [IncomingMessage];
    return { status: response.statusCode ?? 0, text: await text(response) };
  };
  const names = [
    'acme/../app',
    'acme/%2e%2e/app',
    '../acme/app',
    'acme%2fapp',
    'acme%2Fapp',
    'acme/%2e',
    'acme//app',
    '/acme/app',
    'acme/app/',
    'acme/app%00',
    'acme/app%0a',
    'acme/app%20',
    'acme/App',
    'acme/_app',
    'acme/-app',
    'acme/app-',
    'acme/a___b',
    'acme/a..b',
    'acme/%D0%B0pp',
    'acme/app%E2%80%8B',
    'acme/%EF%BD%81pp',
    'acme/%ff',
    'acme/%',
    'acme/%252e%252e',
    'acme/app;x',
    'acme/app\\x',
    "acme/app'",
    `acme/${'a'.repeat(251)}`,
    `acme/${'a/'.repeat(2000)}a`,
  ];
  for (const name of names) {
    for (const [method, path] of [
      ['GET', 'manifests/v1'],
      ['GET', `blobs/${digestOf('layer')}`],
      ['GET', 'tags/list'],
      ['POST', 'blobs/uploads/'],
      ['PUT', 'manifests/v1'],
      ['DELETE', 'manifests/v1'],
    ] as const) {
      const answer = await askRaw(method, `/v2/${name}/${path}`);
      assert.ok([400, 404].includes(answer.status), `${method} ${name} ${path}: ${answer.status}`);
      assert.ok(specCodes.has(/"code":"([A-Z_]+)"/.exec(answer.text)?.[1] ?? ''), `${name}: ${answer.text}`);
    }
  }
  const rows = await platform.db.selectFrom('repositories').select('name').execute();
  assert.deepEqual(
    rows.map((row) => row.name),
    ['app'],
  );
  assert.equal((await ask('GET', '/v2/acme/app/manifests/v1')).status, 200);
});

test('names that only look forbidden work: components called like routes, and both kinds of separators', async (t) => {
  const { ask } = await open(t);
  for (const name of [
    'acme/manifests/tags',
    'acme/blobs/uploads',
    'acme/a__b',
    'acme/a---b',
    `acme/${'a'.repeat(250)}`,
  ]) {
    await pushImage(ask, name, 'v1');
    assert.equal((await ask('GET', `/v2/${name}/manifests/v1`)).status, 200, name);
  }
});
