import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, request } from 'node:http';
import { type TestContext, test } from 'node:test';
import { revokeToken } from '#core/token-changes.ts';
import { createToken } from '#core/tokens.ts';
import type { RequestEnd } from '#http/request-end.ts';
import { parseAddressRange, plainSite } from '#http/site.ts';
import { type Answer, type AskOptions, basic, pushImage, signInFor } from '#test/oci-client.ts';
import { listen, openRegistry, sha256 } from '#test/registry-client.ts';
import { bindQuickPulls } from './quick-pull.ts';

/** The ordinary way here only says that it was taken. */
async function openBoth(t: TestContext, site = plainSite) {
  const registry = await openRegistry(t);
  const ends: RequestEnd[] = [];
  const server = createServer((_request, response) => response.writeHead(299).end());
  bindQuickPulls(server, registry.platform, site, [(end) => ends.push(end)]);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const address = server.address();
  const quick = typeof address === 'object' && address ? address.port : assert.fail();
  const digest = await pushImage(registry.owner, 'acme/app', 'v1');
  const token = await signInFor(registry.ask, basic(registry.team.secret), 'repository:acme/app:pull');
  return { registry, ends, quick, whole: await listen(registry), digest, token };
}

async function askPort(port: number, method: string, url: string, { headers = {}, body }: AskOptions = {}) {
  const sent = request({ port, method, path: url, headers: { host: 'localhost:8080', ...headers }, agent: false });
  sent.end(body);
  const [response] = await once(sent, 'response');
  const bytes = Buffer.concat(await response.toArray());
  return { status: response.statusCode, headers: response.headers, text: bytes.toString() } as Answer;
}

const manifest = '/v2/acme/app/manifests';

type Asked = { name: string; method?: string; url?: string; headers?: Record<string, string>; isQuick?: boolean };

const asked: Asked[] = [
  { name: 'GET by tag', isQuick: true },
  { name: 'HEAD by tag', method: 'HEAD', isQuick: true },
  { name: 'GET by digest', url: `${manifest}/DIGEST`, isQuick: true },
  { name: 'HEAD by digest', method: 'HEAD', url: `${manifest}/DIGEST`, isQuick: true },
  { name: 'a query', url: `${manifest}/v1?ns=docker.io`, isQuick: true },
  { name: 'an Accept that does not fit', headers: { accept: 'text/html' }, isQuick: true },
  { name: 'an unknown tag', url: `${manifest}/v2` },
  { name: 'a malformed digest', url: `${manifest}/sha256:short` },
  { name: 'a name that is none', url: '/v2/ACME/app/manifests/v1' },
  { name: 'a repository beyond the token', url: '/v2/acme/other/manifests/v1' },
  { name: 'nobody', headers: { authorization: '' } },
  { name: 'a forged token', headers: { authorization: 'Bearer eyJhbGciOiJub25lIn0.e30.' } },
  { name: 'Basic', headers: { authorization: 'Basic SECRET' } },
  { name: 'what the client has', headers: { 'if-none-match': '*' } },
  { name: 'a body', headers: { 'content-length': '0' } },
  { name: 'deleting', method: 'DELETE' },
  { name: 'no manifest', url: '/v2/acme/app/tags/list' },
  { name: 'a repository called manifests', url: '/v2/acme/manifests/tags/list' },
];

function requestOf(
  { method = 'GET', url = `${manifest}/v1`, headers }: Asked,
  digest: string,
  token: string,
  secret: string,
) {
  const all = { authorization: token, ...headers };
  const authorization = all.authorization.replace('Basic SECRET', basic(secret));
  return { method, url: url.replace('DIGEST', digest), options: { headers: { ...all, authorization } } };
}

test('only a plain pull takes the short way', async (t) => {
  const { registry, quick, digest, token } = await openBoth(t);
  for (const one of asked) {
    const { method, url, options } = requestOf(one, digest, token, registry.team.secret);
    const { status } = await askPort(quick, method, url, options);
    assert.equal(status, one.isQuick ? 200 : 299, one.name);
  }
});

test('the whole server answers alike whichever way a request takes', async (t) => {
  const { registry, whole, digest, token } = await openBoth(t);
  for (const one of asked.filter(({ method }) => method !== 'DELETE')) {
    const { method, url, options } = requestOf(one, digest, token, registry.team.secret);
    const [quick, ordinary] = [await askPort(whole, method, url, options), await registry.ask(method, url, options)];
    assert.deepEqual(comparable(quick), comparable(ordinary), one.name);
  }
});

const blobs = '/v2/acme/app/blobs';

const askedOfBlobs: Asked[] = [
  { name: 'GET', isQuick: true },
  { name: 'a query', url: `${blobs}/DIGEST?ns=docker.io`, isQuick: true },
  { name: 'HEAD', method: 'HEAD' },
  { name: 'a range', headers: { range: 'bytes=0-1' } },
  { name: 'a range of nothing', headers: { range: 'bytes=99-' } },
  { name: 'what the client has', headers: { 'if-none-match': '*' } },
  { name: 'an unknown digest', url: `${blobs}/${sha256('unknown')}` },
  { name: 'a malformed digest', url: `${blobs}/sha256:short` },
  { name: 'a repository beyond the token', url: '/v2/acme/other/blobs/DIGEST' },
  { name: 'nobody', headers: { authorization: '' } },
  { name: 'an upload', url: `${blobs}/uploads/` },
];

test('a blob that the store gives itself takes the short way, and its URL is given to those alone who may read it', async (t) => {
  const { registry, whole, quick, token } = await openBoth(t);
  const digest = sha256('a layer');
  await registry.owner('POST', `${blobs}/uploads/?digest=${digest}`, { body: 'a layer' });
  const ask = ({ method = 'GET', url = `${blobs}/DIGEST`, headers }: Asked) =>
    [method, url.replace('DIGEST', digest), { headers: { authorization: token, ...headers } }] as const;
  assert.equal((await askPort(quick, ...ask({ name: 'GET' }))).status, 299, 'no store of ours gives it');
  registry.platform.blobs.redirect = async (key) => `https://store.example.com/${key}`;
  for (const one of askedOfBlobs) {
    const { status, headers } = await askPort(quick, ...ask(one));
    assert.equal(status, one.isQuick ? 307 : 299, one.name);
    if (one.isQuick) assert.match(headers.location ?? '', /^https:\/\/store\.example\.com\/[0-9a-f/]+$/);
    const [here, ordinary] = [await askPort(whole, ...ask(one)), await registry.ask(...ask(one))];
    assert.deepEqual(comparable(here), comparable(ordinary), one.name);
  }
});

// Otherwise the audit log would have the proxy's address for everybody's, or what any client makes up.
test('behind a proxy the short way knows who asks', async (t) => {
  const forwarded = { 'x-forwarded-for': '198.51.100.9', 'x-forwarded-proto': 'https' };
  for (const [trusted, address] of [
    ['127.0.0.1', '198.51.100.9'],
    ['10.0.0.0/8', '127.0.0.1'],
  ] as const) {
    const { quick, ends, token } = await openBoth(t, { ...plainSite, trustedProxies: [parseAddressRange(trusted)] });
    const { status } = await askPort(quick, 'GET', `${manifest}/v1`, {
      headers: { authorization: token, ...forwarded },
    });
    assert.equal(status, 200);
    assert.deepEqual(
      ends.map((end) => end.address),
      [address],
    );
  }
});

/** Without what depends on the clock and the connection. */
function comparable({ status, headers, text }: Answer) {
  const { date: _, connection: __, 'keep-alive': ___, 'transfer-encoding': ____, ...rest } = headers;
  return { status, headers: rest, text };
}

// What would break without this: a way past the checks that revocation relies on.
test('a revoked token is refused at once, on the connection and with the access token that just worked', async (t) => {
  const { registry, quick, whole } = await openBoth(t);
  const { platform, team, ask } = registry;
  const { token, secret } = await createToken(platform, team.owner, { mode: 'ro', registryIds: null });
  const authorization = await signInFor(ask, basic(secret), 'repository:acme/app:pull');
  assert.equal((await askPort(quick, 'GET', `${manifest}/v1`, { headers: { authorization } })).status, 200);
  await revokeToken(platform, team.owner, { token: token.id });
  assert.equal((await askPort(quick, 'GET', `${manifest}/v1`, { headers: { authorization } })).status, 299);
  assert.equal((await askPort(whole, 'GET', `${manifest}/v1`, { headers: { authorization } })).status, 401);
  assert.deepEqual(
    [...platform.local.refusedSignIns.values()].map(({ count }) => count),
    [1],
    'counted once',
  );
});

test('a pull on the short way is told of once, as the log and the metrics want it', async (t) => {
  const { quick, ends, token } = await openBoth(t);
  await askPort(quick, 'HEAD', `${manifest}/v1?ns=x`, { headers: { authorization: token } });
  await askPort(quick, 'GET', `${manifest}/v2`, { headers: { authorization: token } });
  const [end = assert.fail('nothing was told'), ...more] = ends;
  assert.deepEqual(more, [], 'the other was answered on the ordinary way, which tells of its own');
  assert.match(end.id, /^[0-9a-f-]{36}$/);
  const { method, url, route, hidesPath, address, host, status, isCutOff } = end;
  assert.deepEqual(
    { method, url, route, hidesPath, address, host, status, isCutOff },
    {
      method: 'HEAD',
      url: `${manifest}/v1?ns=x`,
      route: '/v2/*',
      hidesPath: false,
      address: '127.0.0.1',
      host: 'localhost:8080',
      status: 200,
      isCutOff: false,
    },
  );
  assert.deepEqual(end.notes.repository, 'acme/app');
  assert.match(end.notes.actor ?? '', /^key /);
});
