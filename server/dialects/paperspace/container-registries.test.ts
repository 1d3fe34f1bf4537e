import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createConnection } from '#core/connections.ts';
import { type Provider, providerRules, providers } from '#core/providers.ts';
import type { Json } from '#test/dialect-client.ts';
import { body, openPaperspace } from '#test/paperspace-client.ts';
import { seedKey } from '#test/platform.ts';

const keyFile = JSON.stringify({ type: 'service_account', private_key: 'planted' });

test('what is created is answered, got, listed and answered once more when it is deleted', async (t) => {
  const { b, platform } = await openPaperspace(t);
  const made = await b('POST ', { body: body('my-registry') });
  const { id, ...rest } = made.json;
  assert.equal(made.status, 200);
  assert.deepEqual(rest, {
    dtCreated: '2026-01-01T00:00:00.000Z',
    dtModified: '2026-01-01T00:00:00.000Z',
    kind: 'other',
    name: 'my-registry',
    namespace: 'team',
    url: 'https://registry.example.com',
    username: 'alice',
  });
  assert.deepEqual((await b(`GET /${id}`)).json, made.json);
  assert.deepEqual((await b('GET ')).json, { hasMore: false, items: [made.json], nextPage: null });
  platform.clock.advance(1000);
  const changed = await b(`PUT /${id}`, { body: { name: 'renamed' } });
  const expected = { ...made.json, name: 'renamed', dtModified: '2026-01-01T00:00:01.000Z' };
  assert.deepEqual([changed.status, changed.json], [200, expected]);
  const deleted = await b(`DELETE /${id}`);
  assert.deepEqual([deleted.status, deleted.json], [200, expected]);
  for (const method of ['GET', 'PUT', 'DELETE']) {
    const gone = await b(`${method} /${id}`, { ...(method === 'PUT' && { body: {} }) });
    const refused = { code: 'NOT_FOUND', message: 'There is no such container registry.' };
    assert.deepEqual([gone.status, gone.json], [404, refused], method);
  }
});

test('what a creation needs is said at once, and what it can do without is empty', async (t) => {
  const { b } = await openPaperspace(t);
  const nothing = await b('POST ', { body: {} });
  assert.equal(nothing.status, 400);
  assert.deepEqual(
    nothing.json.issues.map(({ message }: { message: string }) => message),
    ['name', 'url', 'username', 'password'].map((field) => `${field}: is missing`),
  );
  const { namespace: _, ...withoutNamespace } = body('no namespace');
  assert.equal((await b('POST ', { body: withoutNamespace })).json.namespace, '');
  const anonymous = await b('POST ', { body: body('anonymous', { username: '', password: '' }) });
  assert.deepEqual([anonymous.status, anonymous.json.username], [200, '']);
  for (const half of [{ username: '' }, { password: '' }]) {
    const refused = await b('POST ', { body: body('half', half) });
    assert.deepEqual([refused.status, refused.json.code], [400, 'BAD_REQUEST'], JSON.stringify(half));
  }
  const same = await b('POST ', { body: body('ANONYMOUS') });
  assert.deepEqual([same.status, same.json.code], [409, 'CONFLICT']);
  const { id } = (await b('POST ', { body: body('another') })).json;
  assert.equal((await b(`PUT /${id}`, { body: { name: 'Anonymous' } })).status, 409);
});

const google = { username: '_json_key', password: keyFile };
const kinds: readonly (readonly [string, Provider, object])[] = [
  ['other', 'oci', { url: 'ghcr.io' }],
  ['dockerhub', 'dockerhub', { url: 'https://index.docker.io/v1/' }],
  ['gcr', 'gcr', { url: 'https://eu.gcr.io', ...google }],
  ['gcr', 'artifact-registry', { url: 'https://europe-docker.pkg.dev', ...google }],
  ['ghcr', 'ghcr', { url: 'ghcr.io' }],
  ['digitalocean', 'digitalocean', { url: 'registry.digitalocean.com' }],
  ['azure', 'acr', { url: 'acme.azurecr.io' }],
];

test('each kind is the provider that it means, and its rules are checked', async (t) => {
  const { b, platform } = await openPaperspace(t);
  for (const [kind, provider, more] of kinds) {
    const made = await b('POST ', { body: body(`a ${provider}`, { kind, ...more }) });
    assert.deepEqual([made.status, made.json?.kind], [200, kind], made.text);
    const row = await platform.db
      .selectFrom('connections')
      .select('provider')
      .where('id', '=', made.json.id)
      .executeTakeFirstOrThrow();
    assert.equal(row.provider, provider);
    if (kind === 'other') continue;
    const refused = await b('POST ', { body: body('elsewhere', { kind, ...more, url: 'registry.example.com' }) });
    assert.deepEqual([refused.status, refused.json.code], [400, 'BAD_REQUEST'], kind);
    assert.match(refused.json.message, /^url must be /);
  }
  const noKey = await b('POST ', { body: body('no key', { kind: 'gcr', url: 'gcr.io', username: '_json_key' }) });
  assert.match(noKey.json.message, /^password must be the JSON key file/);
  for (const kind of ['', 'Other', 'quay', '__proto__', 'constructor']) {
    const refused = await b('POST ', { body: body('unknown', { kind }) });
    assert.equal(refused.status, 400, kind);
    assert.match(refused.json.message, /^kind must be one of other, dockerhub, gcr, ghcr, digitalocean, azure\.$/);
  }
});

/** What each provider takes that is not like any other. */
const ofProviders: Readonly<Partial<Record<Provider, object>>> = {
  gcr: google,
  'artifact-registry': { ...google, url: 'europe-docker.pkg.dev' },
  ecr: {
    url: '123456789012.dkr.ecr.eu-west-1.amazonaws.com',
    username: 'AKIAIOSFODNN7EXAMPLE',
    password: 'wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY',
  },
  acr: { url: 'acme.azurecr.io' },
  oci: { url: 'https://registry.example.com:5000/path', namespace: 'path' },
};

test('every provider has a kind, and what is got can be put back without changing anything', async (t) => {
  const { b, platform, team } = await openPaperspace(t);
  const expected = new Map<Provider, string>(kinds.map(([kind, provider]) => [provider, kind]));
  for (const provider of providers) {
    const url = providerRules[provider].defaultUrl ?? '';
    const input = { ...body(`of ${provider}`, { url }), ...ofProviders[provider], provider };
    const { id } = await createConnection(platform, team.owner, input);
    const item = (await b(`GET /${id}`)).json;
    assert.equal(item.kind, expected.get(provider) ?? 'other', provider);
    const read = () => platform.db.selectFrom('connections').selectAll().where('id', '=', id).executeTakeFirst();
    const before = await read();
    const answer = await b(`PUT /${id}`, { body: item });
    assert.deepEqual([answer.status, answer.json], [200, item], `${provider}: ${answer.text}`);
    assert.deepEqual(await read(), before, provider);
  }
});

test('pages are twenty long, newest first, and go on where they ended whatever comes or goes', async (t) => {
  const { b } = await openPaperspace(t);
  const names = Array.from({ length: 25 }, (_, i) => `registry ${i}`);
  const ids = new Map<string, string>();
  for (const name of names) ids.set(name, (await b('POST ', { body: body(name) })).json.id);
  const first = (await b('GET ')).json;
  const namesOf = ({ items }: Json) => items.map(({ name }: { name: string }) => name);
  assert.deepEqual(namesOf(first), names.toReversed().slice(0, 20));
  assert.deepEqual([first.hasMore, first.nextPage.length], [true, 24]);
  await b('POST ', { body: body('a newer one') });
  await b(`DELETE /${ids.get('registry 5')}`);
  const second = (await b(`GET ?after=${first.nextPage}`)).json;
  assert.deepEqual(namesOf(second), ['registry 4', 'registry 3', 'registry 2', 'registry 1', 'registry 0']);
  assert.deepEqual([second.hasMore, second.nextPage], [false, null]);

  const small = (await b('GET ?limit=2&order=asc&orderBy=dtCreated')).json;
  assert.deepEqual(namesOf(small), ['registry 0', 'registry 1']);
  // Clients that follow a cursor repeat nothing else of the request; the page size is inside.
  assert.equal((await b(`GET ?after=${small.nextPage}&order=asc`)).json.items.length, 2);
  assert.equal((await b(`GET ?after=${small.nextPage}&order=asc&limit=3`)).json.items.length, 3);
  assert.equal((await b('GET ?limit=120')).json.items.length, 25);
  assert.equal((await b('GET ?limit=&after=&order=&orderBy=&unknown=x')).json.items.length, 20);
});

test('a query that means nothing is refused with what there is', async (t) => {
  const { b } = await openPaperspace(t);
  const wrong = {
    limit: ['0', '-1', '121', '1.5', '1e1', 'x', '9'.repeat(40), '%00', '1&limit=1'],
    after: ['x', 'null', '%00', 'A'.repeat(24), `${'A'.repeat(23)}=`, 'A'.repeat(5000), '0'],
    orderBy: ['name', 'DTCREATED', '__proto__'],
    order: ['up', 'DESC', 'asc&order=asc'],
  };
  for (const [name, values] of Object.entries(wrong)) {
    for (const value of values) {
      const { status, json } = await b(`GET ?${name}=${value}`);
      assert.deepEqual([status, json.code], [400, 'BAD_REQUEST'], `${name}=${value.slice(0, 40)}`);
    }
  }
  assert.match((await b('GET ?limit=121')).json.message, /from 1 to 120/);
  assert.match((await b('GET ?order=up')).json.message, /desc, asc/);
});

test('a wrong method on a path that is there is told from a wrong path', async (t) => {
  const { a, b } = await openPaperspace(t);
  const allowed = { '': 'GET, HEAD, POST', '/x': 'GET, HEAD, PUT, DELETE', '/x/test-connection': 'GET' };
  for (const call of [a, b]) {
    for (const [path, allow] of Object.entries(allowed)) {
      for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE']) {
        if (allow.split(', ').includes(method)) continue;
        const { status, json, headers } = await call(`${method} ${path}`);
        assert.deepEqual([status, headers.allow], [405, allow], `${method} ${path}`);
        if (method !== 'HEAD') assert.equal(json.code, 'METHOD_NOT_SUPPORTED');
      }
    }
    for (const path of ['/x/nothing', '/x/test-connection/more', '/x/test-connection/']) {
      const { status, json } = await call(`GET ${path}`);
      assert.deepEqual([status, json.code], [404, 'NOT_FOUND'], path);
    }
  }
});

test('a key bound to a project makes what only that project may use, and sees no other’s', async (t) => {
  const { b, platform, team } = await openPaperspace(t);
  const bound = await seedKey(platform, team.teamId, { projectIds: [team.projectId] });
  const made = (await b('POST ', { body: body('of the project'), key: bound.secret })).json;
  const rows = await platform.db.selectFrom('connection_projects').selectAll().execute();
  assert.deepEqual(
    rows.map(({ connection_id, project_id }) => [connection_id, project_id]),
    [[made.id, team.projectId]],
  );
  const ofTeam = (await b('POST ', { body: body('of the team') })).json;
  const elsewhere = '01a00000-0000-7000-8000-00000000000a';
  await platform.db
    .insertInto('projects')
    .values({ id: elsewhere, team_id: team.teamId, name: 'other', slug: 'other', created_at: 0 })
    .execute();
  const other = await seedKey(platform, team.teamId, { projectIds: [elsewhere] });
  const listed = (await b('GET ', { key: other.secret })).json.items;
  assert.deepEqual(listed, [ofTeam]);
  assert.equal((await b(`GET /${made.id}`, { key: other.secret })).status, 404);
  assert.equal((await b(`DELETE /${made.id}`, { key: other.secret })).status, 404);
  for (const method of ['PUT', 'DELETE']) {
    const answer = await b(`${method} /${ofTeam.id}`, { key: other.secret, ...(method === 'PUT' && { body: {} }) });
    assert.deepEqual([answer.status, answer.json.code], [403, 'FORBIDDEN'], method);
  }
  assert.equal((await b(`DELETE /${made.id}`, { key: bound.secret })).status, 200);
});

// Without this test a body handed on whole lets its sender choose ids, teams and who may use what.
test('what the vendor does not have in a body means nothing', async (t) => {
  const { a, b, platform, team } = await openPaperspace(t);
  const extras = {
    ...{ id: 'chosen', teamId: 'chosen', team_id: 'chosen', slug: 'chosen', description: 'chosen', provider: 'ecr' },
    ...{ is_restricted: 1, projectIds: [], projects: [], tokenHost: 'evil.example', token_host: 'evil.example' },
    ...{
      awsRegion: 'eu-west-1',
      status: 'passed',
      hasSecret: true,
      keyFile: {},
      auths: {},
      version: 9,
      connection: 'x',
    },
    ...{ dtCreated: '2001-01-01T00:00:00Z', dtModified: '2001-01-01T00:00:00Z', createdAt: 1, sealed_secret: 'x' },
  };
  const rowOf = (id: string) =>
    platform.db.selectFrom('connections').selectAll().where('id', '=', id).executeTakeFirstOrThrow();
  for (const [name, call] of Object.entries({ a, b })) {
    const made = await call('POST ', { body: { ...extras, ...body(name) } });
    const row = await rowOf(made.json.id);
    assert.equal(row.team_id, team.teamId);
    assert.deepEqual(
      [
        row.slug,
        row.description,
        row.provider,
        row.is_restricted,
        row.token_host,
        row.aws_region,
        row.status,
        row.version,
      ],
      [name, '', 'oci', 0, null, null, 'untested', 1],
    );
    const changed = await call(`PUT /${made.json.id}`, { body: { ...extras, ...body(name) } });
    assert.deepEqual([changed.status, changed.json], [200, made.json]);
    const { sealed_secret: _, version: __, ...after } = await rowOf(made.json.id);
    const { sealed_secret: ___, version: ____, ...before } = row;
    assert.deepEqual(after, before);
  }
});

test('what the vendor’s own client sends is taken: the id once more in query or body, and JSON always named', async (t) => {
  const { b } = await openPaperspace(t);
  const headers = { 'content-type': 'application/json', 'x-client': 'paperspace-cli', 'x-client-version': '1.10.2' };
  const made = (await b('POST ', { headers, body: body('mine', { url: 'http://127.0.0.1:1' }) })).json;
  const { id } = made;
  const asked: readonly (readonly [string, object | undefined])[] = [
    [`GET ?limit=20&order=desc`, undefined],
    [`GET /${id}?id=${id}`, undefined],
    [`GET /${id}/test-connection?id=${id}`, undefined],
    [`PUT /${id}`, { id, name: 'renamed' }],
    [`DELETE /${id}`, { id }],
  ];
  for (const [request, sent] of asked) {
    const { status, text } = await b(request, { headers, ...(sent && { body: sent }) });
    assert.equal(status, 200, `${request}: ${text}`);
  }
  assert.deepEqual((await b('GET ', { headers })).json.items, []);
});
