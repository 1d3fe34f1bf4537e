import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isAbout, noLogin, openConnections, openConnectionWorld } from '#test/connection-world.ts';
import { openSecret, replacementContext, secretContext } from './connection-rows.ts';
import { type ConnectionChange, updateConnection } from './connections.ts';
import type { Failure } from './failure.ts';

const keyFile = { type: 'service_account', private_key: 'k' };
const aws = { username: 'AKIAIOSFODNN7EXAMPLE', password: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY' };

// Without this test whoever may change a connection could send its password to a server of their own.
test('a stored secret goes to no other place: it must be given again', async (t) => {
  const { create, update, reveal } = await openConnections(t);
  await create({ provider: 'oci', url: 'registry.example.com:5000', tokenHost: 'tokens.example.com' });
  const moves: Partial<ConnectionChange>[] = [
    { url: 'evil.example' },
    { url: 'registry.example.com' },
    { url: 'registry.example.com:5001' },
    { url: 'https://registry.example.com.evil.example:5000' },
    { provider: 'gitlab' },
    { provider: 'quay' },
    { tokenHost: 'evil.example' },
    { url: 'evil.example', username: 'mallory' },
    { url: 'evil.example', namespace: 'x', projects: [] },
  ];
  const before = await reveal();
  for (const move of moves) {
    await assert.rejects(
      update(move),
      (failure: Failure) =>
        isAbout('/password')(failure) &&
        /it was entered for https:\/\/registry\.example\.com:5000/.test(failure.message),
      JSON.stringify(move),
    );
  }
  const said = /registry\.example\.com:5000, and tokenHost has it sent to evil\.example too/;
  await assert.rejects(update({ tokenHost: 'evil.example' }), { message: said });
  assert.deepEqual(await reveal(), before, 'nothing has changed');
  const same = { url: 'https://REGISTRY.example.com.:5000/team', namespace: 'team', description: 'x' };
  assert.equal((await update(same)).host, 'registry.example.com:5000');
  assert.equal((await update({ tokenHost: null })).tokenHost, null);
  await assert.rejects(update({ tokenHost: 'tokens.example.com' }), isAbout('/password'), 'what was taken away is new');
  const moved = await update({ url: 'new.example.com', password: 'new secret' });
  assert.deepEqual([moved.host, moved.username], ['new.example.com', 'ci']);
  assert.deepEqual((await reveal()).secret, { kind: 'password', password: 'new secret' });
  const anonymous = await update({ url: 'third.example.com', password: '' });
  assert.deepEqual([anonymous.host, anonymous.hasSecret, anonymous.username], ['third.example.com', false, '']);
  assert.equal(
    (await update({ url: 'fourth.example.com' })).host,
    'fourth.example.com',
    'there is nothing to give away',
  );
});

test('from http to https a secret may go, and not back', async (t) => {
  const { connect, platform, owner } = await openConnectionWorld(t);
  const { id } = await connect({ url: 'https://127.0.0.1:5000' });
  const update = (url: string) => updateConnection(platform, owner, { connection: id, url });
  await assert.rejects(update('http://127.0.0.1:5000'), {
    message: 'password must be given again: it was entered for https://127.0.0.1:5000.',
  });
  const other = await connect({ name: 'other', url: 'http://127.0.0.1:5000' });
  const change = { connection: other.id, url: 'https://127.0.0.1:5000' };
  assert.equal((await updateConnection(platform, owner, change)).url, 'https://127.0.0.1:5000');
});

test('a user name changes alone where the password is the same, and where that can be', async (t) => {
  const { create, update, reveal } = await openConnections(t);
  await create();
  assert.equal((await update({ username: 'robot' })).username, 'robot');
  assert.deepEqual((await reveal()).secret, { kind: 'password', password: 'old secret' });
  await assert.rejects(update({ username: '' }), isAbout('/username'));
  await assert.rejects(update({ username: 'a:b' }), isAbout('/username'));
  await create({ name: 'Two', ...noLogin });
  await assert.rejects(update({ connection: 'two', username: 'x' }), isAbout('/password'));
  await create({ name: 'Three', provider: 'gcr', ...noLogin, keyFile });
  await assert.rejects(update({ connection: 'three', username: 'oauth2accesstoken' }), isAbout('/password'));
  await create({ name: 'Four', provider: 'ecr', url: '123456789012.dkr.ecr.eu-west-1.amazonaws.com', ...aws });
  await assert.rejects(update({ connection: 'four', username: 'AKIAIOSFODNN7EXAMPLF' }), isAbout('/password'));
  const both = await update({ connection: 'two', username: 'x', password: 'y' });
  assert.deepEqual([both.username, both.hasSecret], ['x', true]);
});

test('Docker auths bring host and user name where there is one, and hosts beside it where there are more', async (t) => {
  const { create, update, reveal } = await openConnections(t);
  const entry = (username: string) => ({ auth: Buffer.from(`${username}:p`).toString('base64') });
  const one = await create({ provider: 'oci', ...noLogin, auths: { 'https://a.example.com/v1/': entry('me') } });
  assert.deepEqual([one.url, one.host, one.username], ['a.example.com', 'a.example.com', 'me']);
  const two = await create({
    name: 'Two',
    provider: 'oci',
    ...noLogin,
    auths: { 'b.example.com': entry('b'), 'c.example.com': entry('c') },
  });
  assert.deepEqual([two.url, two.username], ['b.example.com', '']);
  const { secret } = await reveal('two');
  assert.deepEqual(secret?.kind === 'auths' && Object.keys(secret.auths), ['b.example.com', 'c.example.com']);
  const wrong = {
    name: 'Three',
    provider: 'oci',
    url: 'd.example.com',
    ...noLogin,
    auths: { 'b.example.com': entry('b') },
  };
  await assert.rejects(create(wrong), isAbout('/url'));
  await assert.rejects(update({ connection: 'two', url: 'c.example.com' }), isAbout('/password'));
  const beside = { connection: 'two', url: 'd.example.com', auths: { 'b.example.com': entry('b') } };
  await assert.rejects(update(beside), isAbout('/url'));
  const moved = await update({ connection: 'two', auths: { 'e.example.com': entry('e') } });
  assert.deepEqual([moved.host, moved.username], ['e.example.com', 'e']);
});

test('a word that stands for several providers means the one that takes the host, and what is stored as long as it can', async (t) => {
  const { create, update } = await openConnections(t);
  const provider = ['gcr', 'artifact-registry'] as const;
  const given = { ...noLogin, provider, keyFile };
  assert.equal((await create({ ...given })).provider, 'gcr');
  assert.equal((await create({ ...given, name: 'Two', url: 'eu.gcr.io' })).provider, 'gcr');
  const three = await create({ ...given, name: 'Three', url: 'europe-docker.pkg.dev' });
  assert.equal(three.provider, 'artifact-registry');
  await assert.rejects(create({ ...given, name: 'Four', url: 'evil.example' }), isAbout('/url'));
  await assert.rejects(create({ ...given, name: 'Four', provider: [] }), isAbout('/provider'));
  const same = { connection: 'three', provider: ['gcr', 'artifact-registry', 'oci'] as const, namespace: 'x' };
  assert.equal((await update(same)).provider, 'artifact-registry');
  for (const url of ['eu.gcr.io', 'us-docker.pkg.dev', 'evil.example']) {
    await assert.rejects(update({ ...same, url }), isAbout('/password'), url);
  }
  const moved = await update({ ...same, url: 'eu.gcr.io', keyFile });
  assert.deepEqual([moved.provider, moved.host], ['gcr', 'eu.gcr.io']);
});

// Without this test who can write rows could read a password by moving it to a connection of their own.
test('a sealed secret opens in its own row and in its own place there', async (t) => {
  const { platform, create } = await openConnections(t);
  const [one, two] = [await create(), await create({ name: 'Two', password: 'another' })];
  const row = (id: string) =>
    platform.db.selectFrom('connections').selectAll().where('id', '=', id).executeTakeFirstOrThrow();
  const { sealed_secret: sealed } = await row(one.id);
  assert.ok(sealed);
  await platform.db.updateTable('connections').set({ sealed_secret: sealed }).where('id', '=', two.id).execute();
  const moved = await row(two.id);
  assert.throws(() => openSecret(platform, moved));
  assert.throws(() => platform.secrets.open(sealed, replacementContext(one.id)));
  assert.match(platform.secrets.open(sealed, secretContext(one.id)), /old secret/);
});

test('the path of a URL is the namespace where none is given, and nothing that is dropped unseen', async (t) => {
  const { create, update } = await openConnections(t);
  const oci = { provider: 'oci' };
  const cases: [string, string | undefined, string][] = [
    ['ghcr.io', undefined, ''],
    ['https://ghcr.io/', undefined, ''],
    ['https://index.docker.io/v1/', undefined, ''],
    ['ghcr.io/v2', undefined, ''],
    ['registry.digitalocean.com/acme', undefined, 'acme'],
    ['https://us-docker.pkg.dev/project/images/', '', 'project/images'],
    ['https://ghcr.io/Acme', '/acme/', '/acme/'],
    ['ghcr.io/v2/', 'acme', 'acme'],
  ];
  for (const [i, [url, namespace, expected]] of cases.entries()) {
    const made = await create({ ...oci, name: `case ${i}`, url, namespace });
    assert.deepEqual([made.url, made.namespace], [url, expected], url);
  }
  const differs = { ...oci, name: 'x', url: 'ghcr.io/acme', namespace: 'other' };
  await assert.rejects(create(differs), isAbout('/namespace'));
  for (const url of ['https://hub.docker.com/u/alice', 'ghcr.io/a%20b', `ghcr.io/${'x'.repeat(300)}`]) {
    await assert.rejects(
      create({ ...oci, name: 'x', url }),
      { message: /^url must have no path: .* namespace\.$/ },
      url,
    );
  }

  await create({ ...oci, url: 'ghcr.io/acme' });
  const after = async (change: Partial<ConnectionChange>) => (await update(change)).namespace;
  assert.equal(await after({ description: 'x' }), 'acme');
  assert.equal(await after({ url: 'ghcr.io' }), 'acme', 'an API that shows the host alone sends it back so');
  assert.equal(await after({ url: 'ghcr.io/acme' }), 'acme');
  assert.equal(await after({ url: 'ghcr.io/labs' }), 'labs');
  await assert.rejects(update({ namespace: 'acme' }), isAbout('/namespace'));
  assert.equal(await after({ url: 'ghcr.io', namespace: 'acme' }), 'acme');
  await assert.rejects(update({ url: 'ghcr.io/labs' }), isAbout('/namespace'));
  assert.equal(await after({ url: 'ghcr.io/labs', namespace: 'labs' }), 'labs');
  assert.equal(await after({ url: 'quay.io', password: 'new' }), '');
});
