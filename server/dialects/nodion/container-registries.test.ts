import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createConnection } from '#core/connections.ts';
import { deleteProject } from '#core/project-deletion.ts';
import { createProject } from '#core/projects.ts';
import type { Json } from '#test/dialect-client.ts';
import { openNodion } from '#test/nodion-world.ts';
import { seedKey, seedTeam } from '#test/platform.ts';

const hub = { name: 'My Docker Hub', registry_type: 'docker_hub', username: 'alice', password: 'planted-password' };
const place = { provider: 'oci', url: 'https://registry.example.com' };

test('a new project has its managed registry in every region, listed in their order', async (t) => {
  const { call, platform, team } = await openNodion(t);
  const { project } = await createProject(platform, team.owner, { name: 'Web shop' });
  const { status, json } = await call('GET ', { headers: { 'x-nodion-project': project.id } });
  const listed = json.container_registries.map(({ id: _, ...rest }: Json) => rest);
  const [hel, fra] = platform.config.regions;
  const common = {
    status: 'available',
    registry_type: 'nodion',
    has_credentials: false,
    created_at: '2026-01-01T00:00:00.000+00:00',
    updated_at: '2026-01-01T00:00:00.000+00:00',
  };
  assert.deepEqual(
    [status, listed],
    [
      200,
      [
        { ...common, name: 'Managed registry (Helsinki, FI)', hostname: 'hel.example.com', region_id: hel?.id },
        { ...common, name: 'Managed registry (Frankfurt, DE)', hostname: 'localhost:8080', region_id: fra?.id },
      ],
    ],
  );
});

test('managed registries come first, then what the project may use, oldest first', async (t) => {
  const { call, platform, team } = await openNodion(t);
  const { project } = await createProject(platform, team.owner, { name: 'other' });
  await createConnection(platform, team.owner, { ...place, name: 'zulu of the team' });
  const elsewhere = { ...place, name: 'elsewhere', projects: [project.id] };
  const hidden = await createConnection(platform, team.owner, elsewhere);
  const made = await call('POST ', { body: hub });
  await createConnection(platform, team.owner, { ...place, name: 'alpha', projects: [team.projectId, project.id] });
  const { json } = await call('GET ');
  const names = json.container_registries.map(({ name }: Json) => name);
  assert.deepEqual(names.slice(2), ['zulu of the team', 'My Docker Hub', 'alpha']);
  const managed = json.container_registries.slice(0, 2).map(({ registry_type }: Json) => registry_type);
  assert.deepEqual(managed, ['nodion', 'nodion']);
  assert.deepEqual(json.container_registries[3], made.json.container_registry);
  for (const registry of json.container_registries) {
    const { status, json } = await call(`GET /${registry.id}`);
    assert.deepEqual([status, json], [200, { container_registry: registry }]);
  }
  for (const method of ['GET', 'PATCH', 'DELETE']) {
    const { status } = await call(`${method} /${hidden.id}`, { ...(method === 'PATCH' && { body: { name: 'x' } }) });
    assert.equal(status, 404, method);
  }
});

test('there are no pages: all connections are listed', async (t) => {
  const { call, platform, team } = await openNodion(t);
  const names = Array.from({ length: 201 }, (_, i) => `registry ${i}`);
  for (const name of names) await createConnection(platform, team.owner, { ...place, name });
  const { json } = await call('GET ?limit=1&page=2');
  assert.deepEqual(
    json.container_registries.slice(2).map(({ name }: Json) => name),
    names,
  );
});

test('a registry is created for its project alone, and answered without its password', async (t) => {
  const { call, platform, team } = await openNodion(t);
  const made = await call('POST ', { body: hub });
  const { id, ...rest } = made.json.container_registry;
  assert.equal(made.status, 200);
  assert.deepEqual(rest, {
    status: 'available',
    registry_type: 'docker_hub',
    name: 'My Docker Hub',
    hostname: 'docker.io',
    has_credentials: true,
    region_id: null,
    created_at: '2026-01-01T00:00:00.000+00:00',
    updated_at: '2026-01-01T00:00:00.000+00:00',
  });
  const rows = await platform.db.selectFrom('connection_projects').selectAll().execute();
  assert.deepEqual(
    rows.map(({ connection_id, project_id }) => [connection_id, project_id]),
    [[id, team.projectId]],
  );
  const ghcr = await call('POST ', { body: { name: 'anonymous', registry_type: 'ghcr' } });
  const { hostname, has_credentials, registry_type } = ghcr.json.container_registry;
  assert.deepEqual([hostname, has_credentials, registry_type], ['ghcr.io', false, 'ghcr']);
});

test('what is wrong with a creation is said in sentences', async (t) => {
  const { call } = await openNodion(t);
  await call('POST ', { body: hub });
  const cases: readonly (readonly [object, readonly string[]])[] = [
    [{}, ["Name can't be blank", "Registry type can't be blank"]],
    [{ name: '', registry_type: null }, ["Name can't be blank", "Registry type can't be blank"]],
    [{ name: 'x', registry_type: 'custom' }, ["Hostname can't be blank"]],
    [{ name: 'x', registry_type: 'nodion' }, ['Registry type must be one of docker_hub, ghcr, custom']],
    [{ name: 'x', registry_type: 'toString' }, ['Registry type must be one of docker_hub, ghcr, custom']],
    [{ ...hub, hostname: 'example.com' }, ['Hostname must be docker.io for Docker Hub']],
    [{ ...hub, name: 5 }, ['Name must be a text.']],
    [
      { ...hub, name: 'MY DOCKER HUB' },
      ['There is already a connection of this name in the team. Choose another name.'],
    ],
  ];
  for (const [body, errors] of cases) {
    const answer = await call('POST ', { body });
    assert.deepEqual([answer.status, answer.json], [400, { errors }], JSON.stringify(body));
  }
  const half = await call('POST ', { body: { name: 'x', registry_type: 'ghcr', username: 'bob' } });
  assert.equal(half.status, 400);
  assert.match(half.json.errors[0], /^Password is missing: .*personal access token/);
});

test('what a registry is does not change, the rest of it does', async (t) => {
  const { call, platform } = await openNodion(t);
  const { container_registry: made } = (await call('POST ', { body: hub })).json;
  platform.clock.advance(1234);
  const changed = await call(`PATCH /${made.id}`, {
    body: { name: 'Hub', hostname: 'index.docker.io', password: 'p' },
  });
  const expected = { ...made, name: 'Hub', hostname: 'index.docker.io', updated_at: '2026-01-01T00:00:01.234+00:00' };
  assert.deepEqual([changed.status, changed.json], [200, { container_registry: expected }]);
  for (const registry_type of ['docker_hub', 'ghcr', 'nodion']) {
    const { status, json } = await call(`PATCH /${made.id}`, { body: { registry_type } });
    assert.deepEqual([status, json], [400, { errors: ["Registry type can't be changed: add another registry"] }]);
  }
  const deleted = await call(`DELETE /${made.id}`);
  assert.deepEqual([deleted.status, deleted.json], [200, { deleted: true }]);
  for (const method of ['GET', 'PATCH', 'DELETE']) {
    const gone = await call(`${method} /${made.id}`, { ...(method === 'PATCH' && { body: {} }) });
    assert.deepEqual([gone.status, gone.json], [404, { status: 404, error: 'Not Found' }], method);
  }
});

test('every kind of connection can be got and changed by what was got', async (t) => {
  const { call, platform, team } = await openNodion(t);
  const secret = { username: 'alice', password: 'planted-password', projects: [team.projectId] };
  const inputs = [
    { name: 'plain', provider: 'oci', url: 'http://127.0.0.1:5000/path' },
    { name: 'github', provider: 'ghcr', url: 'https://ghcr.io' },
    { name: 'gitlab', provider: 'gitlab', url: 'https://registry.gitlab.com/group' },
    { name: 'hub', provider: 'dockerhub', url: 'https://index.docker.io/v1/' },
  ];
  const expected = [
    'custom http://127.0.0.1:5000',
    'ghcr ghcr.io',
    'custom registry.gitlab.com',
    'docker_hub index.docker.io',
  ];
  for (const [i, input] of inputs.entries()) {
    const { id } = await createConnection(platform, team.owner, { ...input, ...secret });
    const { registry_type, hostname, name } = (await call(`GET /${id}`)).json.container_registry;
    assert.equal(`${registry_type} ${hostname}`, expected[i]);
    const changed = await call(`PATCH /${id}`, { body: { hostname, name } });
    assert.deepEqual([changed.status, changed.json.container_registry.hostname], [200, hostname], changed.text);
  }
});

test('managed registries, and what other projects use too, are neither changed nor deleted', async (t) => {
  const { call, platform, team } = await openNodion(t);
  const { project } = await createProject(platform, team.owner, { name: 'other' });
  const ofTeam = await createConnection(platform, team.owner, { ...place, name: 'of the team' });
  const shared = await createConnection(platform, team.owner, {
    ...{ ...place, name: 'shared' },
    projects: [team.projectId, project.id],
  });
  const managed = (await call('GET ')).json.container_registries[0];
  for (const [id, words] of [
    [managed.id, /managed by its project/],
    [ofTeam.id, /Other projects use this/],
    [shared.id, /Other projects use this/],
  ] as const) {
    for (const method of ['PATCH', 'DELETE']) {
      const { status, json } = await call(`${method} /${id}`, { ...(method === 'PATCH' && { body: { name: 'x' } }) });
      assert.deepEqual([status, json.errors.length], [400, 1]);
      assert.match(json.errors[0], words);
    }
    assert.equal((await call(`GET /${id}`)).status, 200);
  }
});

test('the project is the one of the header, else the key’s only one, else the oldest', async (t) => {
  const { call, platform, team } = await openNodion(t);
  const { project } = await createProject(platform, team.owner, { name: 'second' });
  const bound = await seedKey(platform, team.teamId, { projectIds: [project.id] });
  const both = await seedKey(platform, team.teamId, { projectIds: [project.id, team.projectId] });
  const rival = await seedTeam(platform, 'rival');
  const projectOf = async (key: string, named?: string) => {
    const headers = named === undefined ? {} : { 'x-nodion-project': named };
    const { status, json } = await call('GET ', { key, headers });
    if (status !== 200) return `${status} ${json.error}`;
    const { project_id } = await platform.db
      .selectFrom('registries')
      .select('project_id')
      .where('id', '=', json.container_registries[0].id)
      .executeTakeFirstOrThrow();
    return project_id;
  };
  assert.equal(await projectOf(team.secret), team.projectId);
  assert.equal(await projectOf(team.secret, ''), team.projectId);
  assert.equal(await projectOf(both.secret), team.projectId);
  assert.equal(await projectOf(bound.secret), project.id);
  assert.equal(await projectOf(team.secret, project.id), project.id);
  assert.equal(await projectOf(bound.secret, project.id), project.id);
  const refused = await projectOf(team.secret, '01a00000-0000-7000-8000-000000000000');
  assert.match(refused ?? '', /^403 There is no such project/);
  for (const named of [
    rival.projectId,
    project.id.toUpperCase(),
    'x',
    "' or 1=1",
    'x'.repeat(5000),
    `${project.id}, x`,
  ]) {
    assert.equal(await projectOf(team.secret, named), refused, named.slice(0, 40));
  }
  assert.equal(await projectOf(bound.secret, team.projectId), refused);
});

test('where the team has no project left, that is what a request without one is told', async (t) => {
  const { call, platform, team } = await openNodion(t);
  await deleteProject(platform, team.owner, { project: team.projectId });
  const { status, json } = await call('GET ');
  assert.equal(status, 403);
  assert.match(json.error, /^There is no project that this API key could work in\. POST \/lading\/v1\/projects/);
  const named = await call('GET ', { headers: { 'x-nodion-project': team.projectId } });
  assert.match(named.json.error, /^There is no such project, or/);
});

// Without this test a body handed on whole lets its sender choose ids, teams and who may use what.
test('what the vendor does not have in a body means nothing', async (t) => {
  const { call, platform, team } = await openNodion(t);
  const { project } = await createProject(platform, team.owner, { name: 'other' });
  const extras = {
    ...{
      id: 'chosen',
      status: 'failed',
      has_credentials: false,
      region_id: 'chosen',
      created_at: 'x',
      updated_at: 'x',
    },
    ...{
      teamId: 'chosen',
      team_id: 'chosen',
      slug: 'chosen',
      is_restricted: 0,
      project_id: project.id,
      namespace: 'x',
    },
    ...{ projectId: project.id, projects: [project.id], projectIds: null, provider: 'ecr', url: 'evil.example' },
    ...{ tokenHost: 'evil.example', awsRegion: 'eu-west-1', keyFile: {}, auths: {}, connection: 'x', description: 'x' },
  };
  const rowOf = (id: string) =>
    platform.db.selectFrom('connections').selectAll().where('id', '=', id).executeTakeFirstOrThrow();
  const { container_registry: made } = (await call('POST ', { body: { ...extras, ...hub } })).json;
  const row = await rowOf(made.id);
  assert.deepEqual(
    [row.team_id, row.slug, row.provider, row.url, row.is_restricted, row.token_host, row.namespace, row.status],
    [team.teamId, 'my-docker-hub', 'dockerhub', 'docker.io', 1, null, '', 'untested'],
  );
  const changed = await call(`PATCH /${made.id}`, { body: extras });
  assert.deepEqual([changed.status, changed.json.container_registry], [200, made]);
  assert.deepEqual(await rowOf(made.id), row);
  const bound = await platform.db.selectFrom('connection_projects').select('project_id').execute();
  assert.deepEqual(
    bound.map(({ project_id }) => project_id),
    [team.projectId],
  );
});
