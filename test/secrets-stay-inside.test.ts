// Everything that can be done with secrets is done with ones that can be recognised, and then everything that comes out
// of the platform is searched for them: answers, log, metrics, every row of every table, the database's own files.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { testNextConnection } from '#core/connection-schedule.ts';
import { rotateMasterKey } from '#core/master-key-rotation.ts';
import { secretsOf } from '#server/seal.ts';
import { useClusters, useHostedSecrets } from './leak-hosted.ts';
import { type LeakWorld, openLeakWorld } from './leak-world.ts';
import { basic } from './oci-client.ts';
import { findPlanted, newMark, plant } from './planted-secrets.ts';
import { answerAsEcr } from './servers/ecr.ts';
import type { ScriptedRegistry } from './servers/registry.ts';

const [registryHost, ecrHost, ecrApi] = [
  'registry.example.com',
  '123456789012.dkr.ecr.eu-west-1.amazonaws.com',
  'api.ecr.eu-west-1.amazonaws.com',
];

const pullSecret = '/lading/v1/projects/default/pull-secret';
const alwaysPulled = ['an ECR token', 'a key file', 'an entry of auths', 'the pull token'];

test('a planted secret is found in every form in which it could come out', () => {
  const mark = newMark();
  const secret = `p"${mark}é`;
  const planted = [plant('it', mark), plant('another', newMark()), plant('bytes', randomBytes(32))];
  for (const user of ['a', 'al', 'ali', 'alic', 'alice:']) {
    const text = `${user}:${secret}`;
    const buffer = Buffer.from(text);
    const forms = [text, JSON.stringify(JSON.stringify(text)), encodeURIComponent(text), basic(secret)];
    for (const form of [...forms, ...(['hex', 'base64', 'base64url'] as const).map((one) => buffer.toString(one))]) {
      assert.deepEqual(findPlanted(`x${form}x`, planted), ['it'], form);
    }
  }
});

test('no secret comes out of the platform but through its doors', async (t) => {
  const world = await openLeakWorld(t);
  await keepAndUseConnections(world);
  await useEcr(world);
  await useTokensForBoth(world);
  await failAtEveryStep(world);
  await refuseWhatHasSecrets(world);
  await useHostedSecrets(world);
  await useClusters(world);
  await readEverything(world);
  await world.assertNothingOutside();
});

/** Each dialect's way to keep, show, change and forget a secret. */
async function keepAndUseConnections({
  internet,
  done,
  ask,
  secret,
  noteMade,
  platform,
  keys,
}: LeakWorld): Promise<void> {
  const registry = await internet.serve(registryHost);
  const at = { url: registryHost, username: 'alice' };
  const password = secret('a password');
  registry.users = new Map([['alice', password]]);
  const native = await done('POST /lading/v1/connections', { ...at, name: 'native', provider: 'oci', password });
  const one = `/lading/v1/connections/${native.id}`;
  assert.equal((await done(`POST ${one}/test`)).passed, true);
  await done(`POST ${one}/reveal`, undefined, { shows: ['a password'] });
  await done('GET /v1/integrations/registries/native', undefined, { shows: ['a password'] });
  const handedOut = await done(`GET ${pullSecret}`, undefined, { shows: ['a password'] });
  noteMade('the pull token', handedOut.config.auths['localhost:8080'].password);
  const kubernetes = await done(`GET ${pullSecret}?format=kubernetes`, undefined, {
    shows: ['a password', 'the pull token'],
  });
  assert.equal(kubernetes.kind, 'Secret');
  await done(`PATCH ${one}`, { description: 'changed' });

  const staged = secret('a replacement that fails');
  assert.equal((await done(`PUT ${one}/replacement`, { password: staged })).replaced, false);
  await testNextConnection(platform, 'worker');
  await done(`GET ${one}`);
  await done(`GET ${one}/tests`);
  await done(`DELETE ${one}/replacement`);
  const replaced = secret('a replacement');
  registry.users.set('alice', replaced);
  assert.equal((await done(`PUT ${one}/replacement`, { password: replaced })).replaced, true);
  await done(`POST ${one}/reveal`, undefined, { shows: ['a replacement'] });
  const updated = secret('a new password');
  await done(`PATCH ${one}`, { password: updated });
  await done(`PATCH ${one}`, { password: '' });
  assert.equal((await ask(`PATCH ${one}`, { body: { username: 'x' } })).status, 400);

  const [key, auths] = [secret('a key file'), secret('an entry of auths')];
  const keyFile = { type: 'service_account', private_key: key, client_email: 'a@example.com' };
  await done('POST /lading/v1/connections', { name: 'google', provider: 'gcr', keyFile });
  await done('POST /lading/v1/connections/google/reveal', undefined, { shows: ['a key file'] });
  await done('POST /v1/integrations/registries', { name: 'nf google', provider: 'gcr', keyfile: keyFile });
  await done('GET /v1/integrations/registries/nf-google', undefined, { shows: ['a key file'] });
  const entries = { [registryHost]: { auth: Buffer.from(`alice:${auths}`).toString('base64') } };
  await done('POST /v1/integrations/registries', { name: 'nf auths', provider: 'custom', auths: entries });
  await done('GET /v1/integrations/registries/nf-auths', undefined, { shows: ['an entry of auths'] });
  await done('POST /lading/v1/connections/nf-auths/test');

  const dialects = secret('a dialect’s password');
  const body = {
    ...at,
    hostname: registryHost,
    registry_type: 'custom',
    provider: 'custom',
    registryUrl: registryHost,
  };
  for (const [post, patch] of [
    ['/v1/container-registries', 'PUT'],
    ['/paperspace-apisio/v1/container-registries', 'PUT'],
    ['/v1/container_registries', 'PATCH'],
    ['/v1/integrations/registries', 'PATCH'],
  ] as const) {
    const name = `of ${post.replaceAll(/\W+/g, ' ').trim()}`;
    const made = await done(`POST ${post}`, { ...body, name: name.slice(0, 39), password: dialects });
    const id = (made.container_registry ?? made.data ?? made).id;
    await done(`GET ${post}`);
    await done(`GET ${post}/${id}`, undefined, {
      shows: post.includes('integrations') ? ['a dialect’s password'] : [],
    });
    const { registry_type: _, ...change } = { ...body, name: `${name} 2`.slice(0, 39), password: dialects };
    await done(`${patch} ${post}/${id}`, change);
    if (post.includes('-registries')) await done(`GET ${post}/${id}/test-connection`);
    await done(`DELETE ${post}/${id}`);
  }

  platform.secrets = secretsOf([...keys].reverse());
  const { left, resealed } = await rotateMasterKey(platform, () => {});
  assert.ok(left === 0 && resealed > 3);
}

async function useEcr({ internet, done, noteMade, platform }: LeakWorld): Promise<void> {
  const [password, secretAccessKey] = [noteMade('an ECR token', newMark()), noteMade('an access key', newMark())];
  const account = {
    ...{ host: ecrApi, region: 'eu-west-1', accessKeyId: 'AKIAEXAMPLE12345', secretAccessKey, password },
    ...{ now: platform.now, expiresAt: platform.now() + 12 * 3600_000 },
  };
  const amazon = await internet.serve(ecrApi);
  amazon.before = (seen) => answerAsEcr(seen, account);
  const registry = await internet.serve(ecrHost);
  registry.users = new Map([['AWS', password]]);
  const opening = { username: account.accessKeyId, password: secretAccessKey };
  await done('POST /lading/v1/connections', { name: 'ecr', provider: 'ecr', url: ecrHost, ...opening });
  assert.equal((await done('POST /lading/v1/connections/ecr/test')).passed, true);
  await done(`GET ${pullSecret}`, undefined, { shows: alwaysPulled });
  account.secretAccessKey = newMark();
  assert.equal((await done('POST /lading/v1/connections/ecr/test')).failedStep, 'token');
  amazon.before = () => ({ status: 400, body: JSON.stringify({ __type: secretAccessKey, message: secretAccessKey }) });
  await done('POST /lading/v1/connections/ecr/test');
}

/** DigitalOcean makes tokens that are user name and password alike, and a user name is shown. */
async function useTokensForBoth({ internet, done, noteMade }: LeakWorld): Promise<void> {
  const token = noteMade('a token for both', newMark());
  const shows = ['a token for both'];
  const registry = await internet.serve('registry.digitalocean.com');
  registry.users = new Map([[token, token]]);
  const login = { username: token, password: token };
  const one = await done('POST /v1/container-registries', {
    name: 'both',
    kind: 'digitalocean',
    url: 'registry.digitalocean.com',
    ...login,
  });
  assert.equal(one.username, '');
  assert.equal((await done('GET /v1/container-registries/both/test-connection')).success, true);
  const revealed = await done('POST /lading/v1/connections/both/reveal', undefined, { shows });
  assert.deepEqual([revealed.username, revealed.password], [token, token]);
  await done('PUT /lading/v1/connections/both/replacement', login);
  await done('GET /v1/integrations/registries/both', undefined, { shows });
  const { config } = await done(`GET ${pullSecret}`, undefined, { shows: [...alwaysPulled, ...shows] });
  assert.equal(config.auths['registry.digitalocean.com'].username, token);
  await done('DELETE /v1/container-registries/both');
  const auths = { 'registry.digitalocean.com': { auth: Buffer.from(`${token}:${token}`).toString('base64') } };
  await done('POST /v1/integrations/registries', { name: 'both too', provider: 'custom', auths });
  await done('POST /v1/container_registries', {
    name: 'three',
    registry_type: 'custom',
    hostname: 'a.example.com',
    ...login,
  });
  await done('POST /lading/v1/connections', { name: 'four', provider: 'oci', url: 'b.example.com', ...login });
  await done('PATCH /lading/v1/connections/four', login);
}

/** Registries that do what they should not, and say what they were told in everything that they answer. */
async function failAtEveryStep({ internet, done, secret }: LeakWorld): Promise<void> {
  const registry = await internet.serve('odd.example.com');
  const password = secret('what an odd registry is told');
  registry.users.set('alice', password);
  const opening = { url: 'odd.example.com', username: 'alice', password };
  await done('POST /lading/v1/connections', { name: 'odd', provider: 'oci', namespace: 'team/app', ...opening });
  const echo = { 'x-told': encodeURIComponent(password), 'www-authenticate': `Basic realm="${newMark()}"` };
  const headers = { ...echo, 'content-type': 'application/json' };
  const body = JSON.stringify({ errors: [{ code: password, message: password, detail: password }], token: password });
  const to = (location: string) => ({ status: 302, headers: { ...headers, location }, body });
  const answers: ScriptedRegistry['before'][] = [
    ...[200, 400, 401, 403, 404, 429, 500].map((status) => () => ({ status, headers, body })),
    ...[
      () => ({ status: 401, body }),
      () => 'cut' as const,
      () => to('https://other.example.com/'),
      () => to(`/v2/?told=${encodeURIComponent(password)}`),
    ],
    ({ path, headers: { authorization } }) =>
      path === '/v2/' && authorization === undefined ? undefined : { status: 401, headers, body },
    ({ path }) => (path.startsWith('/token') ? { status: 200, headers, body } : undefined),
    ({ path }) => (path.startsWith('/token') ? { status: 200, headers, body: `{"token":"${password}` } : undefined),
    ({ path }) => (path.includes('tags') ? { status: 500, headers, body } : undefined),
  ];
  const failed = new Set<string>();
  for (const auth of ['basic', 'bearer'] as const) {
    registry.auth = auth;
    for (const before of [...answers, undefined]) {
      registry.before = before;
      failed.add((await done('POST /lading/v1/connections/odd/test')).failedStep);
      if (auth === 'basic') await done('PUT /lading/v1/connections/odd/replacement', { password });
    }
  }
  registry.realm = 'https://elsewhere.example.org/token';
  await done('POST /lading/v1/connections/odd/test');
  assert.deepEqual([...failed].map(String).sort(), ['challenge', 'namespace', 'null', 'registry', 'token']);
  await done('PATCH /lading/v1/connections/odd', { url: 'nobody.example.com', username: 'alice', password });
  assert.equal((await done('POST /lading/v1/connections/odd/test')).failedStep, 'reach');
}

/** In places where no secret belongs, and in documents that cannot be read. */
async function refuseWhatHasSecrets({ ask, secret, done }: LeakWorld): Promise<void> {
  const password = secret('a secret in a wrong place');
  const word = password.replaceAll(/\W/g, '');
  const at = { name: 'refused', provider: 'oci', url: registryHost, hostname: registryHost, registry_type: 'custom' };
  const fields: object[] = [
    ...[{ password: { password } }, { password: [password] }, { username: `alice:${password}`, password: 'x' }],
    ...[{ password }, { username: 'a', password: `${password}\0` }, { username: 'a', password: `${password}\nb` }],
    ...[{ username: password }, { username: 'a', keyFile: { password } }, { keyFile: password }, { keyfile: password }],
    ...[
      { auths: { [registryHost]: { auth: password } } },
      { auths: { [registryHost]: { password } } },
      { auths: password },
    ],
    ...[{ credentials: { password } }, { credentials: password }, { credentials: [{ password }] }],
    ...[{ url: `https://alice:${password}@${registryHost}` }, { url: password }, { registryUrl: password }],
    ...[{ hostname: `alice:${password}@${registryHost}` }, { namespace: `${password} ` }, { awsRegion: word }],
    ...[{ provider: word }, { kind: word }, { registry_type: word }, { tokenHost: `a:${password}@b` }],
    ...[
      { restrictions: { restricted: word } },
      { restrictions: word },
      { name: [password] },
      { description: { password } },
    ],
    ...[{ aws: { region: word } }, { provider: 'ecr', username: 'AKIAEXAMPLE12345', password: `${password} ` }],
  ];
  const text = JSON.stringify({ ...at, username: 'alice', password });
  const documents = [
    text.slice(0, -1),
    `${text}x`,
    text.replace('{', '{"__proto__":1,'),
    `[${text}]`,
    JSON.stringify(text),
  ];
  const collections = [
    ...['/lading/v1/connections', '/v1/container-registries', '/paperspace-apisio/v1/container-registries'],
    ...['/v1/container_registries', '/v1/integrations/registries'],
  ];
  const { id } = await done('POST /lading/v1/connections', { name: 'a target', provider: 'ghcr' });
  for (const path of collections) {
    const change = path.includes('container-') ? 'PUT' : 'PATCH';
    for (const asked of [`POST ${path}`, `${change} ${path}/${id}`]) {
      await ask(asked, { body: text, headers: { 'content-type': 'text/plain' } });
      for (const document of documents) {
        assert.ok((await ask(asked, { body: document })).status >= 400, `${asked} ${document}`);
      }
      for (const field of fields) await ask(asked, { body: { ...(asked.startsWith('POST') && at), ...field } });
    }
    for (const query of ['search', 'cursor', 'after', 'sort', 'order']) {
      for (const value of [word, `sealed_secret:${word}`]) await ask(`GET ${path}?${query}=${value}`);
    }
    const wrongly = { 'x-auth-token': password.slice(0, -1), cookie: `key=${word}`, 'x-nodion-project': word };
    await ask(`GET ${path}`, { key: word, headers: wrongly });
    await ask(`GET ${path}?api_key=${word}`, { headers: wrongly });
    await ask(`GET ${path}`, {
      headers: { authorization: `Basic ${Buffer.from(`a:${password}`).toString('base64')}` },
    });
  }
}

/** Every list, and whatever it lists. */
async function readEverything({ ask, done }: LeakWorld): Promise<void> {
  const document = await done('GET /lading/v1/openapi.json');
  for (const path of Object.keys(document.paths)) {
    if (path.includes('{') || !document.paths[path].get) continue;
    const { json } = await ask(`GET ${path}?limit=200`);
    for (const { id } of json.items ?? []) await ask(`GET ${path}/${id}`);
  }
  await ask('GET /metrics', { key: 'metrics-token' });
  for (const path of ['/healthz', '/readyz', '/v2/_catalog', '/token/jwks.json', '/v1/integrations/registries']) {
    await ask(`GET ${path}`);
  }
}
