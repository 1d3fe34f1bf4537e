// Northflank's JavaScript client in the two generations that are about: the current one, and the older one that its
// command line brings along.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ask, useLading } from './suite.ts';

// biome-ignore lint/suspicious/noExplicitAny: the clients are not installed where types are checked.
type Client = any;

const packages = join(process.env.LADING_CI_CACHE ?? join(homedir(), '.cache/lading-ci'), 'npm/northflank');
const generations = {
  'the current client': '@northflank/js-client',
  'the older client': '@northflank/cli/node_modules/@northflank/js-client',
} as const;
type Generation = keyof typeof generations;

const suite = useLading();

async function open(generation: Generation, { key = suite.lading.key, base = '' } = {}): Promise<Client> {
  const require = createRequire(join(packages, 'package.json'));
  const { ApiClient, ApiClientInMemoryContextProvider } = require(`./node_modules/${generations[generation]}`);
  const context = new ApiClientInMemoryContextProvider();
  await context.addContext({ name: 'lading', token: key, host: `${suite.lading.url}${base}` });
  return new ApiClient(context);
}

const secret = { username: 'bob', password: 'a password' };
const restricted = { restricted: true, projects: ['default'] };

test('the current client adds, lists, gets, updates and deletes, with and without its team', async () => {
  const team = (await (await ask(suite.lading, 'GET', '/lading/v1/team')).json()) as { id: string; slug: string };
  for (const [base, parameters] of [
    ['', {}],
    ['', { teamId: team.id }],
    ['/northflank', {}],
    ['/northflank', { teamId: team.slug }],
  ] as const) {
    const client = await open('the current client', { base });
    const credentials = { ...secret, scope: { pull: true, push: false } };
    const data = { name: 'GitLab of ours', provider: 'gitlab', registryUrl: 'https://gitlab.example.com', credentials };
    const made = await client.add.registryCredentials({ parameters, data });
    assert.equal(made.error, undefined);
    const shown = {
      id: 'gitlab-of-ours',
      name: 'GitLab of ours',
      description: '',
      restrictions: { restricted: false, projects: [] },
      provider: 'gitlab',
    };
    const { createdAt, updatedAt, ...rest } = made.data;
    assert.ok(Math.abs(Date.parse(createdAt) - Date.now()) < 60_000);
    assert.deepEqual(rest, { ...shown, registryUrl: 'https://gitlab.example.com' });

    const list = await client.list.registryCredentials({ parameters });
    assert.deepEqual(list.data, { credentials: [shown] });
    assert.deepEqual(list.pagination.hasNextPage, false);

    const one = { ...parameters, credentialId: 'gitlab-of-ours' };
    const got = await client.get.registryCredentials({ parameters: one });
    assert.deepEqual(got.data, { ...made.data, updatedAt, credentials: { ...secret, scope: { pull: true } } });

    const change = { credentials: { username: 'eve', password: 'new', scope: {} }, restrictions: restricted };
    const updated = await client.update.registryCredentials({ parameters: one, data: change });
    assert.deepEqual([updated.error, updated.data], [undefined, {}]);
    const after = await client.get.registryCredentials({ parameters: one });
    assert.deepEqual([after.data.credentials.username, after.data.restrictions], ['eve', restricted]);

    const deleted = await client.delete.registryCredentials({ parameters: one });
    assert.deepEqual([deleted.error, deleted.data], [undefined, {}]);
  }
});

const keyfile = { type: 'service_account', project_id: 'p', private_key: 'k', client_email: 'a@p.example' };

test('the older client adds, lists, gets, updates and deletes, with each kind of secret', async () => {
  const client = await open('the older client');
  const description = 'This is a set of saved credentials.';
  const auths = { 'https://index.docker.io/v1/': { auth: Buffer.from('bob:a password').toString('base64') } };
  const data = [
    { name: 'Password', description, provider: 'dockerhub', ...secret, restrictions: restricted },
    { name: 'Key file', description, provider: 'gcr-eu', keyfile },
    { name: 'Auths', description, provider: 'custom', auths },
    { name: 'Custom', description, provider: 'custom', registryUrl: 'https://example.com', ...secret },
  ];
  for (const one of data) {
    const { error, data: made } = await client.add.registryCredentials({ data: one });
    assert.equal(error, undefined);
    assert.deepEqual([made.name, made.description, made.provider], [one.name, description, one.provider]);
  }
  const { data: listed, pagination } = await client.list.registryCredentials({});
  const ids = ['password', 'key-file', 'auths', 'custom'];
  assert.deepEqual(
    listed.credentials.map(({ id }: { id: string }) => id),
    ids,
  );
  assert.deepEqual([pagination.hasNextPage, pagination.count], [false, 4]);
  const get = async (credentialId: string) =>
    (await client.get.registryCredentials({ parameters: { credentialId } })).data;
  assert.deepEqual((await get('auths')).auths, auths);
  assert.deepEqual((await get('password')).restrictions, restricted);

  const changes: [string, object][] = [
    ['password', { description: 'Changed', restrictions: { restricted: false } }],
    ['key-file', { keyfile: { ...keyfile, private_key: 'new' } }],
    ['auths', { description: 'Changed', auths }],
    ['custom', { registryUrl: 'https://example.org', username: 'eve', password: 'new' }],
  ];
  for (const [credentialId, change] of changes) {
    const updated = await client.update.registryCredentials({ parameters: { credentialId }, data: change });
    assert.deepEqual([updated.error, updated.data], [undefined, {}], credentialId);
  }
  assert.deepEqual([(await get('password')).description, (await get('auths')).description], ['Changed', 'Changed']);
  assert.equal(JSON.parse((await get('key-file')).credentials.password).private_key, 'new');
  assert.equal((await get('custom')).credentials.username, 'eve');
  for (const credentialId of ids) {
    const { error } = await client.delete.registryCredentials({ parameters: { credentialId } });
    assert.equal(error, undefined);
  }
});

for (const generation of Object.keys(generations) as Generation[]) {
  test(`${generation}: all() gives each of 250 credentials once, and ends`, async () => {
    const client = await open(generation);
    const names = Array.from({ length: 250 }, (_, i) => `many-${i}`);
    for (const name of names) {
      const { error } = await client.add.registryCredentials({ data: { name, provider: 'dockerhub', ...secret } });
      assert.equal(error, undefined);
    }
    const namesOf = (data: Client) => data.credentials.map((one: { name: string }) => one.name);
    for (const options of [undefined, { per_page: 100 }, { per_page: 7 }]) {
      const all = await client.list.registryCredentials.all({ options });
      assert.deepEqual(namesOf(all.data), names, JSON.stringify(options));
    }
    const first = await client.list.registryCredentials({ options: { per_page: 100 } });
    const second = await first.pagination.getNextPage();
    const third = await second.pagination.getNextPage();
    const pages = [first, second, third];
    assert.deepEqual(
      pages.flatMap(({ data }) => namesOf(data)),
      names,
    );
    assert.deepEqual(
      pages.map(({ pagination }) => [pagination.count, pagination.hasNextPage]),
      [
        [100, true],
        [100, true],
        [50, false],
      ],
    );
    const byNumber = await client.list.registryCredentials({ options: { per_page: 100, page: 3 } });
    assert.deepEqual(namesOf(byNumber.data), names.slice(200));
    for (const credentialId of names) await client.delete.registryCredentials({ parameters: { credentialId } });
  });

  test(`${generation}: a refusal reaches the caller with its status, its sentence and its id`, async () => {
    const client = await open(generation);
    const parameters = { credentialId: 'nothing' };
    const missing = await client.get.registryCredentials({ parameters });
    const { status, message, id } = missing.error;
    assert.deepEqual([status, message, id], [404, 'There are no such registry credentials.', 'not_found']);
    const data = { name: 'x y z', provider: 'legacy', ...secret };
    const invalid = await client.add.registryCredentials({ data });
    assert.deepEqual([invalid.error.status, invalid.error.id], [400, 'invalid']);
    assert.match(invalid.error.message, /^provider must be one of dockerhub, /);
    const stranger = await open(generation, { key: 'ldg_key_unknown' });
    const refused = await stranger.list.registryCredentials({});
    assert.deepEqual([refused.error.status, refused.error.id], [401, 'unauthenticated']);
  });
}
