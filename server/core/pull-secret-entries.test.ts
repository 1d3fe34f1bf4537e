import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { keysOf, loginOf, openPullSecretWorld, ownHost } from '#test/pull-secret-world.ts';
import { arrangeClaims, type PullSecretClaim, type PullSecretSource } from './pull-secret-entries.ts';

test('Docker Hub has the key that docker looks up, whatever its host is called', async (t) => {
  for (const url of ['docker.io', 'https://index.docker.io/v1/', 'registry-1.docker.io', 'hub.docker.com']) {
    const { connect, read } = await openPullSecretWorld(t);
    await connect({ name: 'hub', provider: url === 'docker.io' ? 'dockerhub' : 'oci', url, namespace: 'acme' });
    const secret = await read();
    assert.deepEqual(keysOf(secret), [ownHost, 'https://index.docker.io/v1/'], url);
    assert.deepEqual(loginOf(secret, 'https://index.docker.io/v1/'), ['hub-user', 'hub-password']);
  }
});

test('two connections to Docker Hub have its host, besides, for clients that look at paths', async (t) => {
  const { connect, read } = await openPullSecretWorld(t);
  const hub = { provider: 'dockerhub', url: undefined };
  await connect({ name: 'first', ...hub });
  await connect({ name: 'second', ...hub, namespace: 'acme' });
  const secret = await read();
  assert.deepEqual(keysOf(secret), [ownHost, 'https://index.docker.io/v1/', 'docker.io', 'docker.io/acme']);
  assert.deepEqual(loginOf(secret, 'docker.io'), loginOf(secret, 'https://index.docker.io/v1/'));
  assert.deepEqual(loginOf(secret, 'docker.io/acme'), ['second-user', 'second-password']);
});

test('a key file is the password of _json_key, and Docker auths are an entry for each host', async (t) => {
  const { connect, read } = await openPullSecretWorld(t);
  const keyFile = JSON.stringify({ type: 'service_account', private_key: '-----BEGIN\nx: y\n' });
  await connect({ name: 'google', provider: 'gcr', url: 'eu.gcr.io', username: '_json_key', password: keyFile });
  const auths = {
    'a.example.com': { auth: Buffer.from('ann:p:w').toString('base64') },
    'b.example.com:5000': { username: 'bob', password: 'pw' },
  };
  await connect({ name: 'several', url: 'a.example.com', username: undefined, password: undefined, auths });
  const secret = await read();
  assert.deepEqual(loginOf(secret, 'eu.gcr.io'), ['_json_key', keyFile]);
  assert.deepEqual(loginOf(secret, 'a.example.com'), ['ann', 'p:w']);
  assert.deepEqual(loginOf(secret, 'b.example.com:5000'), ['bob', 'pw']);
});

test('where several share a host the oldest has it, and each its namespace', async (t) => {
  const { connect, read } = await openPullSecretWorld(t);
  await connect({ name: 'first', url: 'ghcr.io', provider: 'ghcr', namespace: 'Acme' });
  await connect({ name: 'second', url: 'https://ghcr.io/', provider: 'ghcr', namespace: '/other/team/' });
  await connect({ name: 'third', url: 'ghcr.io', provider: 'oci' });
  await connect({ name: 'fourth', url: 'ghcr.io', provider: 'oci', namespace: 'acme' });
  const secret = await read();
  assert.deepEqual(keysOf(secret), [ownHost, 'ghcr.io', 'ghcr.io/acme', 'ghcr.io/other/team']);
  assert.deepEqual(loginOf(secret, 'ghcr.io'), ['first-user', 'first-password']);
  assert.deepEqual(loginOf(secret, 'ghcr.io/acme'), ['first-user', 'first-password']);
  assert.deepEqual(loginOf(secret, 'ghcr.io/other/team'), ['second-user', 'second-password']);
  assert.equal(secret.warnings.length, 3);
  assert.match(secret.warnings[0] ?? '', /first and second.*first, has.*second has ghcr\.io\/other\/team/);
  assert.match(secret.warnings[1] ?? '', /first and third.*third is left out/);
  assert.match(secret.warnings[2] ?? '', /first and fourth.*fourth is left out/);
});

test('a connection to a host of ours never takes the entry of our registries', async (t) => {
  const { connect, read } = await openPullSecretWorld(t);
  await connect({ name: 'odd', url: ownHost });
  await connect({ name: 'path', url: ownHost, namespace: 'their/app' });
  const secret = await read();
  assert.deepEqual(keysOf(secret), [ownHost, `${ownHost}/their/app`]);
  assert.equal(loginOf(secret, ownHost)[0], 'token');
  assert.deepEqual(loginOf(secret, `${ownHost}/their/app`), ['path-user', 'path-password']);
  assert.match(secret.warnings[0] ?? '', /localhost:8080 is a host of this platform.*odd is left out/);
  assert.match(secret.warnings[1] ?? '', /path has localhost:8080\/their\/app/);
});

const slugs = ['a', 'b', 'c', 'd', 'e', 'f'];
const hosts = [ownHost, 'docker.io', 'index.docker.io', 'ghcr.io', 'ghcr.io:5000'];
const namespaces = ['', '/', 'acme', 'Acme/', 'acme/app', 'x:y', 'a b'];
const claimOf = fc.record({ host: fc.constantFrom(...hosts), namespace: fc.constantFrom(...namespaces) });

test('whoever claims what, each entry opens its own host, and who has none is told', () => {
  const property = fc.property(fc.array(claimOf, { maxLength: slugs.length }), (given) => {
    const own = claim({ kind: 'hosted' }, ownHost, '', 'ours');
    const theirs = given.map(({ host, namespace }, i) => {
      const slug = slugs[i] ?? '';
      return claim({ kind: 'connection', id: slug, slug }, host, namespace, `of ${slug}`);
    });
    const { auths, entries, warnings } = arrangeClaims([own, ...theirs]);
    assert.equal(auths[ownHost]?.password, 'ours');
    assert.deepEqual(
      entries.map(({ key }) => key),
      Object.keys(auths),
    );
    for (const { key, source } of entries) {
      const from = [own, ...theirs].find((one) => one.source === source);
      const [host, ...path] = key === 'https://index.docker.io/v1/' ? ['docker.io'] : key.split('/');
      assert.equal(from?.host.replace('index.', ''), host);
      assert.equal(auths[key]?.password, from?.credentials.password);
      if (path.length > 0) assert.equal(from?.namespace.replace(/\/$/, '').toLowerCase(), path.join('/'));
    }
    const holders = new Set(entries.filter(({ key }) => !/^[^/]+\/[^/]/.test(key)).map(({ source }) => source));
    // Everybody but who has the host is told, whether a path is left for them or nothing is.
    const told = theirs.filter(({ source }) => !holders.has(source)).map(({ source }) => source);
    assert.equal(warnings.length, told.length);
    for (const source of told) {
      const name = source.kind === 'connection' ? source.slug : '';
      const isLeftOut = entries.every((entry) => entry.source !== source);
      const said = warnings.filter((text) => text.includes(`Connection ${name} ${isLeftOut ? 'is left out' : 'has'}`));
      assert.equal(said.length, 1, warnings.join('\n'));
    }
  });
  fc.assert(property, { numRuns: 2000 });
});

const claim = (source: PullSecretSource, host: string, namespace: string, password: string): PullSecretClaim => ({
  source,
  host,
  namespace,
  credentials: { username: 'user', password },
  expiresAt: null,
});
