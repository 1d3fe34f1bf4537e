import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testConnection } from '#core/connection-tests.ts';
import { dockerHub, keyfile, openNorthflank, registries, seedProject } from '#test/northflank-client.ts';
import { assertRefused } from '#test/northflank-world.ts';
import { startRegistry } from '#test/servers/registry.ts';

const auth = (text: string) => ({ auth: Buffer.from(text).toString('base64') });
const routes = [
  (id: string) => `PATCH ${registries}/${id}`,
  (id: string) => `POST ${registries}/${id}/modify`,
  (id: string) => `PATCH /teams/acme${registries}/${id}`,
  (id: string) => `POST /teams/acme${registries}/${id}/modify`,
];

test('both routes take the bodies of both generations, and change what they name alone', async (t) => {
  const { call, platform, team } = await openNorthflank(t);
  await seedProject(platform, team, 'staging');
  const opened = { credentials: { username: 'bob', password: 'first', scope: { pull: true } } };
  const start = { description: 'Old', restrictions: { restricted: true, projects: ['default'] }, ...opened };
  const changes: [object, object][] = [
    [{}, {}],
    [{ description: null, restrictions: null, credentials: null, username: null }, {}],
    [{ updatedAt: '2026-01-01T00:00:00Z', createdAt: '2026-01-01T00:00:00Z', restrictions: {} }, {}],
    [{ description: 'New' }, { description: 'New' }],
    [{ description: '' }, { description: '' }],
    [{ restrictions: { restricted: false } }, { restrictions: { restricted: false, projects: [] } }],
    [
      { restrictions: { restricted: true, projects: ['staging'] } },
      { restrictions: { restricted: true, projects: ['staging'] } },
    ],
    [{ restrictions: { restricted: true, projects: [] } }, { restrictions: { restricted: true, projects: [] } }],
    [{ password: 'second' }, { credentials: { username: 'bob', password: 'second', scope: { pull: true } } }],
    [{ username: 'eve' }, { credentials: { username: 'eve', password: 'first', scope: { pull: true } } }],
    [
      { username: 'eve', password: 'second', registryUrl: '' },
      { credentials: { username: 'eve', password: 'second', scope: { pull: true } } },
    ],
    [
      { credentials: { username: 'eve', password: 'second', scope: {} } },
      { credentials: { username: 'eve', password: 'second', scope: { pull: true } } },
    ],
    [{ username: '', password: '' }, { credentials: undefined }],
  ];
  for (const [i, [body, expected]] of changes.entries()) {
    for (const [j, route] of routes.entries()) {
      const id = `number-${i}-${j}`;
      const { description, restrictions } = start;
      const added = { ...dockerHub(id, { description, restrictions }), password: 'first' };
      assert.equal((await call(`POST ${registries}`, { body: added })).status, 200);
      const answer = await call(route(id), { body });
      assert.deepEqual([answer.status, answer.json], [200, { data: {} }], `${JSON.stringify(body)} ${answer.text}`);
      const { data } = (await call(`GET ${registries}/${id}`)).json;
      const shown = { description: data.description, restrictions: data.restrictions, credentials: data.credentials };
      assert.deepEqual(shown, { ...start, ...expected }, JSON.stringify(body));
    }
  }
});

test('one kind of secret is replaced by another', async (t) => {
  const { call } = await openNorthflank(t);
  const base = { name: 'any', provider: 'custom', registryUrl: 'https://a.example', username: 'bob', password: 'x' };
  await call(`POST ${registries}`, { body: base });
  const show = async () => (await call(`GET ${registries}/any`)).json.data;
  const steps: [object, object][] = [
    [{ keyfile }, { username: '_json_key', password: JSON.stringify(keyfile), scope: { pull: true } }],
    [{ credentials: { username: 'eve', password: 'y' } }, { username: 'eve', password: 'y', scope: { pull: true } }],
  ];
  for (const [body, credentials] of steps) {
    assert.equal((await call(`PATCH ${registries}/any`, { body })).status, 200);
    assert.deepEqual((await show()).credentials, credentials);
  }
  const auths = { 'b.example': auth('a:b'), 'c.example': auth('c:d') };
  assert.equal((await call(`POST ${registries}/any/modify`, { body: { auths } })).status, 200);
  const { credentials, registryUrl, ...rest } = await show();
  assert.deepEqual([rest.auths, credentials, registryUrl], [auths, undefined, 'b.example']);
  const back = { username: 'bob', password: 'z', registryUrl: 'https://a.example' };
  assert.equal((await call(`PATCH ${registries}/any`, { body: back })).status, 200);
  assert.deepEqual([(await show()).credentials.password, (await show()).auths], ['z', undefined]);
});

// Without this test a change of the URL sends a stored password to a host of the sender's choice.
test('the stored secret goes to no other host than the one it was given for', async (t) => {
  const { call, platform, team } = await openNorthflank(t);
  const [own, other] = [await startRegistry(t), await startRegistry(t)];
  const password = own.users.get('alice') ?? '';
  const body = { name: 'any', provider: 'custom', registryUrl: own.url, username: 'alice', password };
  assert.equal((await call(`POST ${registries}`, { body })).status, 200);
  const before = (await call(`GET ${registries}/any`)).text;
  for (const route of routes) {
    for (const change of [
      { registryUrl: other.url },
      { registryUrl: `${other.url}/path`, description: 'Changed' },
      { registryUrl: other.url, username: 'alice' },
      { registryUrl: other.url, credentials: { username: 'alice', scope: {} } },
      { registryUrl: `http://localhost:${own.port}` },
      { registryUrl: other.host },
    ]) {
      const answer = await call(route('any'), { body: change });
      assertRefused(answer, JSON.stringify(change), 400);
      assert.equal(
        answer.json.error.message,
        `password must be given again: it was entered for ${own.url.replace(/\/$/, '')}.`,
      );
    }
  }
  assert.equal((await call(`GET ${registries}/any`)).text, before);
  assert.equal((await testConnection(platform, team.owner, { connection: 'any' })).passed, true);
  assert.equal(other.connections(), 0, 'the other host was spoken to');

  other.users.set('alice', 'another password');
  const moved = { registryUrl: other.url, username: 'alice', password: 'another password' };
  assert.equal((await call(`PATCH ${registries}/any`, { body: moved })).status, 200);
  assert.equal((await testConnection(platform, team.owner, { connection: 'any' })).passed, true);
  const sent = other.seen.flatMap(({ headers }) => headers.authorization ?? []);
  assert.deepEqual([...new Set(sent)], [`Basic ${auth('alice:another password').auth}`]);
});

test('neither name nor provider changes, and where a provider is stays there', async (t) => {
  const { call } = await openNorthflank(t);
  await call(`POST ${registries}`, { body: { name: 'europe', provider: 'gcr-eu', keyfile } });
  await call(`POST ${registries}`, { body: dockerHub('hub') });
  for (const [id, registryUrl] of [
    ['europe', 'us.gcr.io'],
    ['hub', 'registry-1.docker.io'],
  ]) {
    const body = { name: 'Other', provider: 'custom', registryUrl, username: '_json_key', password: '{}' };
    const answer = await call(`PATCH ${registries}/${id}`, { body });
    assertRefused(answer, `${id}`, 400);
    assert.match(answer.json.error.message, /^registryUrl cannot be changed with the provider (gcr-eu|dockerhub)/);
  }
  const same = { registryUrl: 'docker.io', description: 'Same', name: 'Other', provider: 'github' };
  assert.equal((await call(`PATCH ${registries}/hub`, { body: same })).status, 200);
  const { id, name, provider, description } = (await call(`GET ${registries}/hub`)).json.data;
  assert.deepEqual([id, name, provider, description], ['hub', 'hub', 'dockerhub', 'Same']);
});

test('a restriction to what is no project of the team changes nothing', async (t) => {
  const { call } = await openNorthflank(t);
  await call(`POST ${registries}`, { body: dockerHub('hub') });
  const before = (await call(`GET ${registries}/hub`)).text;
  const many = Array.from({ length: 101 }, (_, i) => `p-${i}`);
  for (const projects of [['nothing'], ['default', 'nothing'], [''], ['\0'], ['..'], ['x'.repeat(2000)], many]) {
    const body = { description: 'Changed', restrictions: { restricted: true, projects } };
    for (const route of routes) assertRefused(await call(route('hub'), { body }), JSON.stringify(projects), 400);
  }
  const unsaid = { restrictions: { projects: ['default'] } };
  assertRefused(await call(`PATCH ${registries}/hub`, { body: unsaid }), 'without restricted', 400);
  assert.equal((await call(`GET ${registries}/hub`)).text, before);
});
