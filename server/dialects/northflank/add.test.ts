// What is taken to make credentials, in both generations, and how it is shown.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createConnection } from '#core/connections.ts';
import type { Provider } from '#core/providers.ts';
import { dockerHub, keyfile, openNorthflank, registries, seedProject } from '#test/northflank-client.ts';
import { assertRefused } from '#test/northflank-world.ts';

const login = { username: 'bob', password: 'hunter-2' };
const credentials = { ...login, scope: { pull: true, push: true } };
const ecr = '123456789012.dkr.ecr.eu-west-1.amazonaws.com';
const accessKey = { username: 'AKIAIOSFODNN7EXAMPLE', password: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY' };
const serviceAccount = { username: '_json_key', password: JSON.stringify(keyfile) };
const auth = (text: string) => ({ auth: Buffer.from(text).toString('base64') });

/** Provider and body in; provider, URL and what is in the database out. */
const accepted: [string, object, { word: string; url: string; provider: Provider }][] = [
  ['dockerhub', login, { word: 'dockerhub', url: 'docker.io', provider: 'dockerhub' }],
  ['github', login, { word: 'github', url: 'ghcr.io', provider: 'ghcr' }],
  ['gitlab', login, { word: 'gitlab', url: 'registry.gitlab.com', provider: 'gitlab' }],
  ['gcr', { keyfile }, { word: 'gcr', url: 'gcr.io', provider: 'gcr' }],
  ['gcr-eu', { keyfile }, { word: 'gcr-eu', url: 'eu.gcr.io', provider: 'gcr' }],
  ['gcr-us', { keyfile: JSON.stringify(keyfile) }, { word: 'gcr-us', url: 'us.gcr.io', provider: 'gcr' }],
  ['gcr-us', serviceAccount, { word: 'gcr-us', url: 'us.gcr.io', provider: 'gcr' }],
  [
    'custom',
    { ...login, registryUrl: 'https://a.example/' },
    { word: 'custom', url: 'https://a.example/', provider: 'oci' },
  ],
  ['custom', { registryUrl: 'b.example', keyfile }, { word: 'custom', url: 'b.example', provider: 'oci' }],
  ['custom', { auths: { 'https://c.example': auth('a:b') } }, { word: 'custom', url: 'c.example', provider: 'oci' }],
  ['dockerhub', { credentials }, { word: 'dockerhub', url: 'docker.io', provider: 'dockerhub' }],
  ['dockerhub', { credentials, registryUrl: '' }, { word: 'dockerhub', url: 'docker.io', provider: 'dockerhub' }],
  ['github', { credentials, registryUrl: 'ghcr.io' }, { word: 'github', url: 'ghcr.io', provider: 'ghcr' }],
  ['gitlab', { credentials, registryUrl: 'd.example' }, { word: 'gitlab', url: 'd.example', provider: 'gitlab' }],
  ['custom', { credentials, registryUrl: 'ghcr.io' }, { word: 'custom', url: 'ghcr.io', provider: 'oci' }],
  ['custom', { registryUrl: 'e.example' }, { word: 'custom', url: 'e.example', provider: 'oci' }],
  ['acr', { credentials, registryUrl: 'x.azurecr.io' }, { word: 'custom', url: 'x.azurecr.io', provider: 'acr' }],
  ['ecr', { credentials: accessKey, registryUrl: ecr }, { word: 'custom', url: ecr, provider: 'ecr' }],
  ['ecr', { ...accessKey, registryUrl: ecr }, { word: 'custom', url: ecr, provider: 'ecr' }],
  [
    'gar',
    { credentials: serviceAccount, registryUrl: 'europe-docker.pkg.dev' },
    { word: 'custom', url: 'europe-docker.pkg.dev', provider: 'artifact-registry' },
  ],
  [
    'gcr',
    { credentials: serviceAccount, registryUrl: 'https://eu.gcr.io' },
    { word: 'gcr-eu', url: 'https://eu.gcr.io', provider: 'gcr' },
  ],
  // Beside credentials of its own, a link to a cloud changes nothing.
  [
    'acr',
    { credentials, registryUrl: 'y.azurecr.io', azure: { resourceGroup: 'a' }, integrationId: 'b', gcp: {} },
    { word: 'custom', url: 'y.azurecr.io', provider: 'acr' },
  ],
];

test('each provider of both generations is taken, and shown in the words of the published page', async (t) => {
  const { call, platform } = await openNorthflank(t);
  for (const [i, [provider, more, expected]] of accepted.entries()) {
    const body = { name: `Number ${i}`, provider, ...more };
    const { status, json, text } = await call(`POST ${registries}`, { body });
    assert.equal(status, 200, `${JSON.stringify(body)}: ${text}`);
    assert.deepEqual(
      [json.data.id, json.data.provider, json.data.registryUrl],
      [`number-${i}`, expected.word, expected.url],
    );
    assert.ok(!/password|private|AKIA/.test(text), `what was added is shown: ${text}`);
    const row = await platform.db
      .selectFrom('connections')
      .select('provider')
      .where('slug', '=', json.data.id)
      .executeTakeFirst();
    assert.equal(row?.provider, expected.provider, JSON.stringify(body));
  }
  const listed = await call(`GET ${registries}`);
  assert.deepEqual(
    listed.json.data.credentials.map((one: { provider: string }) => one.provider),
    accepted.map(([, , { word }]) => word),
  );
});

test('connections of other APIs are shown as they are', async (t) => {
  const { call, platform, team } = await openNorthflank(t);
  for (const [provider, url, word] of [
    ['quay', undefined, 'custom'],
    ['digitalocean', undefined, 'custom'],
    ['gcr', 'asia.gcr.io', 'gcr'],
  ] as const) {
    const name = `Ünï_${provider} (1)`;
    const made = await createConnection(platform, team.owner, { name, provider, url });
    const { json } = await call(`GET ${registries}/${made.slug}`);
    assert.deepEqual([json.data.name, json.data.provider], [name, word]);
    assert.ok(!('credentials' in json.data || 'auths' in json.data), 'there are none');
  }
});

test('what opens a registry is shown in the shape that both generations know', async (t) => {
  const { call } = await openNorthflank(t);
  const scope = { pull: true };
  const auths = { 'https://index.docker.io/v1/': auth('bob:a:b'), 'x.example:5000': auth('eve:ü') };
  const cases: [object, object][] = [
    [{ provider: 'github', ...login }, { credentials: { ...login, scope } }],
    [{ provider: 'github', credentials: login }, { credentials: { ...login, scope } }],
    [{ provider: 'gcr', keyfile }, { credentials: { ...serviceAccount, scope } }],
    [
      { provider: 'ecr', registryUrl: ecr, aws: { region: 'eu-west-1' }, credentials: accessKey },
      { credentials: { ...accessKey, scope }, aws: { region: 'eu-west-1' } },
    ],
    [{ provider: 'custom', auths }, { auths }],
    [
      { provider: 'custom', auths: { 'y.example': { username: 'a', password: 'b' } } },
      { auths: { 'y.example': auth('a:b') } },
    ],
    [{ provider: 'custom', registryUrl: 'z.example', aws: { region: 'eu-west-1' } }, {}],
  ];
  for (const [i, [body, expected]] of cases.entries()) {
    const made = await call(`POST ${registries}`, { body: { name: `Number ${i}`, ...body } });
    assert.equal(made.status, 200, made.text);
    const { id, name, description, restrictions, provider, registryUrl, createdAt, updatedAt, ...rest } = (
      await call(`GET ${registries}/${made.json.data.id}`)
    ).json.data;
    assert.deepEqual(rest, expected);
    const { aws: _, ...shown } = made.json.data;
    assert.deepEqual({ id, name, description, restrictions, provider, registryUrl, createdAt, updatedAt }, shown);
  }
});

test('what cannot be kept is refused with the field in the vendor’s words', async (t) => {
  const { call, platform } = await openNorthflank(t);
  const refused: [object, RegExp][] = [
    [{ provider: 'dhi', ...login }, /^provider must be one of dockerhub, /],
    [{ provider: 'legacy', ...login }, /^provider must be one of /],
    [{ provider: 'oci', ...login }, /^provider must be one of /],
    [{ provider: 'toString', ...login }, /^provider must be one of /],
    [{ ...login }, /^provider must be one of /],
    [{ provider: 'custom', ...login }, /^registryUrl is missing/],
    [{ provider: 'custom', credentials }, /^registryUrl is missing/],
    [{ provider: 'custom', ...login, registryUrl: '' }, /^registryUrl is missing/],
    [{ provider: 'custom', ...login, registryUrl: 'ftp://a.example' }, /^registryUrl must be a host/],
    [{ provider: 'custom', ...login, registryUrl: 'https://bob:secret@a.example' }, /^registryUrl must be a host/],
    [{ provider: 'custom', ...login, registryUrl: 'http://a.example' }, /^registryUrl must be https/],
    [{ provider: 'dockerhub', ...login, registryUrl: 'docker.io' }, /^registryUrl is not for dockerhub/],
    [{ provider: 'gitlab', ...login, registryUrl: 'a.example' }, /^registryUrl is not for gitlab/],
    [{ provider: 'gcr-eu', credentials: serviceAccount, registryUrl: 'us.gcr.io' }, /^registryUrl is not for gcr-eu/],
    [{ provider: 'dockerhub', credentials, registryUrl: 'a.example' }, /^registryUrl must be docker\.io/],
    [{ provider: 'ecr', credentials: accessKey }, /^registryUrl is missing.*amazonaws/],
    [{ provider: 'ecr', credentials: accessKey, registryUrl: ecr, aws: { region: 'Berlin' } }, /^aws\.region must be/],
    [{ provider: 'gcr', ...login }, /^username must be _json_key/],
    [{ provider: 'gcr', keyfile: {} }, /^keyfile must be the JSON key file/],
    [{ provider: 'github', keyfile }, /^keyfile is nothing that/],
    [{ provider: 'custom', auths: {} }, /^auths must be/],
    [{ provider: 'custom', auths: { 'a.example': {} } }, /^auths must have auth/],
    [
      { provider: 'custom', registryUrl: 'b.example', auths: { 'a.example': auth('a:b') } },
      /^registryUrl must be one of/,
    ],
    [{ provider: 'github', username: 'bob' }, /^password is missing/],
    [{ provider: 'github', password: 'x' }, /^username is missing/],
    [{ provider: 'github', ...login, credentials }, /^credentials are given twice/],
    [{ provider: 'github', ...login, keyfile }, /^keyfile is given beside/],
    [{ provider: 'github', integrationId: 'x' }, /^integrationId cannot stand for credentials/],
    [{ provider: 'gar', registryUrl: 'europe-docker.pkg.dev', gcp: { projectId: 'x' } }, /^gcp cannot stand for/],
    [
      { provider: 'acr', registryUrl: 'x.azurecr.io', azure: {}, credentials: { scope: {} } },
      /^azure cannot stand for/,
    ],
    [{ provider: 'github', ...login, restrictions: { projects: ['default'] } }, /^restrictions\.restricted is missing/],
    [
      { provider: 'github', ...login, restrictions: { restricted: true, projects: ['nothing'] } },
      /no project "nothing"/,
    ],
  ];
  for (const [body, message] of refused) {
    const answer = await call(`POST ${registries}`, { body: { name: 'A name', ...body } });
    assertRefused(answer, JSON.stringify(body), 400);
    assert.equal(answer.json.error.id, 'invalid');
    assert.match(answer.json.error.message, message, JSON.stringify(body));
    assert.ok(!/hunter-2|secret@|AKIA|the-private-key/.test(answer.text), answer.text);
  }
  assert.deepEqual(await platform.db.selectFrom('connections').selectAll().execute(), []);
});

test('a name is one that the vendor takes, and becomes the id', async (t) => {
  const { call } = await openNorthflank(t);
  for (const [name, id] of [
    ['Abc', 'abc'],
    ['My App', 'my-app'],
    ['a-1 b-2', 'a-1-b-2'],
    [`a${'b'.repeat(38)}`, `a${'b'.repeat(38)}`],
  ]) {
    const { status, json, text } = await call(`POST ${registries}`, { body: dockerHub(name ?? '') });
    assert.deepEqual([status, json.data?.id, json.data?.name], [200, id, name], text);
  }
  const wrong = [
    '',
    'ab',
    '1abc',
    ' abc',
    'abc ',
    'a  b',
    'a--b',
    'a_b',
    'abc!',
    'Ünïcode',
    'a\tb',
    'a\0b',
    `a${'b'.repeat(39)}`,
  ];
  for (const name of wrong) {
    const answer = await call(`POST ${registries}`, { body: dockerHub(name) });
    assertRefused(answer, name, 400);
    assert.match(answer.json.error.message, /^name has 3 to 39 letters/, name);
  }
  const clash = await call(`POST ${registries}`, { body: dockerHub('my-app') });
  assertRefused(clash, 'my-app', 409);
  assert.match(clash.json.error.message, /^There is already .* with the same derived identifier/);
  assert.equal(clash.json.error.id, 'conflict');
  assertRefused(await call(`POST ${registries}`, { body: dockerHub('MY APP') }), 'MY APP', 409);
});

test('of many who add the same name at once, one does', async (t) => {
  const { call } = await openNorthflank(t);
  const names = ['same name', 'Same-Name', 'SAME NAME'];
  const bodies = Array.from({ length: 12 }, (_, i) => dockerHub(names[i % 3] ?? ''));
  const answers = await Promise.all(bodies.map((body) => call(`POST ${registries}`, { body })));
  assert.deepEqual(answers.map(({ status }) => status).sort(), [200, ...Array(11).fill(409)]);
  for (const answer of answers.filter(({ status }) => status === 409)) assertRefused(answer, 'the others', 409);
  assert.equal((await call(`GET ${registries}`)).json.pagination.count, 1);
});

test('restrictions take ids and slugs, and show slugs', async (t) => {
  const { call, platform, team } = await openNorthflank(t);
  const staging = await seedProject(platform, team, 'staging');
  for (const [i, [given, shown]] of [
    [undefined, { restricted: false, projects: [] }],
    [{}, { restricted: false, projects: [] }],
    [
      { restricted: false, projects: [] },
      { restricted: false, projects: [] },
    ],
    [
      { restricted: false, projects: ['default'] },
      { restricted: false, projects: [] },
    ],
    [{ restricted: true }, { restricted: true, projects: [] }],
    [
      { restricted: true, projects: [] },
      { restricted: true, projects: [] },
    ],
    [
      { restricted: true, projects: [team.projectId, staging] },
      { restricted: true, projects: ['default', 'staging'] },
    ],
    [
      { restricted: true, projects: ['staging', staging, 'default'] },
      { restricted: true, projects: ['default', 'staging'] },
    ],
  ].entries()) {
    const made = await call(`POST ${registries}`, { body: dockerHub(`Number ${i}`, { restrictions: given }) });
    assert.deepEqual(made.json.data?.restrictions, shown, made.text);
    const listed = (await call(`GET ${registries}`)).json.data.credentials;
    assert.deepEqual(listed.at(-1).restrictions, shown);
  }
});

// Without this test a body handed on whole lets its sender choose teams, ids and hosts.
test('what a body says beyond its fields is ignored', async (t) => {
  const { call, platform, team } = await openNorthflank(t);
  const extras = {
    ...{
      id: 'chosen',
      slug: 'chosen',
      teamId: 'other',
      team_id: 'other',
      is_restricted: 1,
      projectIds: [],
      projects: [],
    },
    ...{
      status: 'passed',
      tokenHost: 'evil.example',
      token_host: 'evil.example',
      url: 'evil.example',
      host: 'evil.example',
    },
    ...{ namespace: 'chosen', keyFile: keyfile, sealed_secret: 'x', version: 9, createdAt: '2001-01-01T00:00:00Z' },
    ...{ awsRegion: 'eu-west-1', updatedAt: '2001-01-01T00:00:00Z', test_due_at: 1, hasSecret: false },
  };
  const made = await call(`POST ${registries}`, { body: dockerHub('made', extras) });
  assert.equal(made.status, 200, made.text);
  const row = () => platform.db.selectFrom('connections').selectAll().executeTakeFirstOrThrow();
  const { slug, team_id, is_restricted, status, host, url, namespace, token_host, aws_region, created_at, version } =
    await row();
  assert.deepEqual([slug, team_id, is_restricted, status], ['made', team.teamId, 0, 'untested']);
  assert.deepEqual([host, url, namespace, token_host, aws_region], ['docker.io', 'docker.io', '', null, null]);
  assert.deepEqual([created_at, version], [platform.now(), 1]);
  const before = await row();
  for (const asked of [`PATCH ${registries}/made`, `POST ${registries}/made/modify`]) {
    const answer = await call(asked, { body: { ...extras, name: 'chosen', provider: 'custom' } });
    assert.deepEqual([answer.status, answer.json], [200, { data: {} }], answer.text);
    assert.deepEqual(await row(), before, asked);
  }
});
