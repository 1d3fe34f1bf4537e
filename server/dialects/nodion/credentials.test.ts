// The credentials of a managed registry, from their making over `docker login` to their end.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deleteProject } from '#core/project-deletion.ts';
import { createProject } from '#core/projects.ts';
import { createRegistry } from '#core/registries.ts';
import type { Json } from '#test/dialect-client.ts';
import { type Nodion, openNodion } from '#test/nodion-world.ts';
import { type Ask, askerOf, basic, pushBlob, pushImage, signInFor, withAuthorization } from '#test/oci-client.ts';

const fra = 'localhost:8080';

/** The managed registry of a new project in the region that `docker` reaches here. */
async function openProject({ call, platform, team }: Nodion, name: string) {
  const { project } = await createProject(platform, team.owner, { name });
  const headers = { 'x-nodion-project': project.id };
  const registries: Json[] = (await call('GET ', { headers })).json.container_registries;
  const registry = registries.find(({ hostname }) => hostname === fra);
  return { project, headers, registry, registries, credentials: `/${registry.id}/credentials` };
}

const logIn = ({ app }: Nodion, { username, password }: Json): Ask =>
  withAuthorization(askerOf(app), basic(password, username));

test('credentials are shown once, and then only that they are there', async (t) => {
  const nodion = await openNodion(t);
  const { call } = nodion;
  const { project, headers, registry, credentials } = await openProject(nodion, 'shop');
  const made = await call(`POST ${credentials}`, { headers });
  const { password, ...rest } = made.json.container_registry;
  assert.equal(made.status, 201);
  assert.equal(made.headers['cache-control'], 'no-store');
  const username = `robot$project-${project.id.slice(0, 8)}`;
  assert.deepEqual(rest, { id: registry.id, hostname: fra, username });
  assert.match(password, /^ldg_robot_[\w-]{43}$/);

  const again = await call(`POST ${credentials}`, { headers });
  assert.deepEqual([again.status, Object.keys(again.json)], [400, ['errors']]);
  const [one, list] = [await call(`GET /${registry.id}`, { headers }), await call('GET ', { headers })];
  assert.equal(one.json.container_registry.has_credentials, true);
  const flags = list.json.container_registries.map(({ id, has_credentials }: Json) => [
    id === registry.id,
    has_credentials,
  ]);
  assert.deepEqual(flags, [
    [false, false],
    [true, true],
  ]);
  for (const { text } of [again, one, list]) assert.ok(!text.includes(password));
});

test('of many who make credentials at once, one gets them', async (t) => {
  const nodion = await openNodion(t);
  const { credentials, headers } = await openProject(nodion, 'shop');
  const answers = await Promise.all(Array.from({ length: 10 }, () => nodion.call(`POST ${credentials}`, { headers })));
  assert.deepEqual(answers.map(({ status }) => status).sort(), [201, ...Array.from({ length: 9 }, () => 400)]);
  const robots = await nodion.platform.db.selectFrom('actors').select('id').where('kind', '=', 'robot').execute();
  assert.equal(robots.length, 1);
});

// Without this test the credentials of one project push into another.
test('they push and pull in that project’s registry, by its id and by its name, and nowhere else', async (t) => {
  const nodion = await openNodion(t);
  const { call, platform, team } = nodion;
  const [shop, other] = [await openProject(nodion, 'shop'), await openProject(nodion, 'other')];
  const { container_registry: login } = (await call(`POST ${shop.credentials}`, { headers: shop.headers })).json;
  const robot = logIn(nodion, login);
  assert.equal((await robot('GET', '/v2/')).status, 200);
  const digest = await pushImage(robot, `${shop.project.id}/my-image`, 'latest');
  for (const name of [shop.project.id, 'shop']) {
    const pulled = await robot('GET', `/v2/${name}/my-image/manifests/latest`);
    assert.deepEqual([pulled.status, pulled.headers['docker-content-digest']], [200, digest], name);
  }
  const owner = withAuthorization(askerOf(nodion.app), basic(team.secret));
  await pushImage(owner, `${other.project.id}/theirs`, 'latest');
  await createRegistry(platform, team.owner, { name: 'own', region: 'fra', project: shop.project.id });
  await pushImage(owner, 'own/app', 'latest');
  for (const name of [`${other.project.id}/theirs`, 'other/theirs', 'own/app', 'never/made']) {
    const pulled = await robot('GET', `/v2/${name}/manifests/latest`);
    assert.equal(pulled.status, 403, `${name}: ${pulled.text}`);
    assert.equal((await robot('POST', `/v2/${name}/blobs/uploads/`)).status, 403, name);
  }
  // The same project's registry in the other region has credentials of its own.
  const elsewhere = { headers: { host: 'hel.example.com' } };
  assert.equal((await robot('POST', `/v2/${shop.project.id}/my-image/blobs/uploads/`, elsewhere)).status, 403);
  assert.equal((await robot('DELETE', `/v2/${shop.project.id}/my-image/manifests/${digest}`)).status, 403);

  const management = await call('GET ', { key: login.password });
  assert.deepEqual([management.status, management.json.status], [401, 401]);
  assert.match(management.json.error, /registry token, not an API key/);
  const rows = await platform.db.selectFrom('audit_events').selectAll().where('action', 'like', 'robot.%').execute();
  assert.deepEqual(
    rows.map(({ action, target_name, actor_kind }) => [action, target_name, actor_kind]),
    [['robot.create', login.username, 'key']],
  );
  assert.ok(!JSON.stringify(rows).includes(login.password));
});

test('an access token made with them grants that registry, and of another nothing', async (t) => {
  const nodion = await openNodion(t);
  const [shop, other] = [await openProject(nodion, 'shop'), await openProject(nodion, 'other')];
  const made = await nodion.call(`POST ${shop.credentials}`, { headers: shop.headers });
  const { username, password } = made.json.container_registry;
  const scopes = [shop, other].map(({ project }) => `repository:${project.id}/app:pull,push,delete`);
  const anyone = askerOf(nodion.app);
  const token = await signInFor(anyone, basic(password, username), ...scopes);
  const bearer = withAuthorization(anyone, token);
  await pushBlob(bearer, `${shop.project.id}/app`, 'a layer');
  assert.equal((await bearer('POST', `/v2/${other.project.id}/app/blobs/uploads/`)).status, 401);
  const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
  assert.deepEqual(claims.access ?? [], [
    { type: 'repository', name: `${shop.project.id}/app`, actions: ['pull', 'push'] },
  ]);
});

test('ended credentials open nothing any more, and new ones can be made', async (t) => {
  const nodion = await openNodion(t);
  const { call, platform } = nodion;
  const { project, headers, credentials, registry } = await openProject(nodion, 'shop');
  const missing = await call(`DELETE ${credentials}`, { headers });
  assert.deepEqual([missing.status, missing.json], [404, { status: 404, error: 'Not Found' }]);
  const first = (await call(`POST ${credentials}`, { headers })).json.container_registry;
  const old = logIn(nodion, first);
  const scope = `repository:${project.id}/app:pull,push`;
  const token = await signInFor(askerOf(nodion.app), basic(first.password, first.username), scope);
  await pushImage(old, `${project.id}/app`, 'v1');

  const deleted = await call(`DELETE ${credentials}`, { headers });
  assert.deepEqual([deleted.status, deleted.json], [200, { deleted: true }]);
  assert.equal((await call(`GET /${registry.id}`, { headers })).json.container_registry.has_credentials, false);
  assert.equal((await old('GET', '/v2/')).status, 401);
  const used = withAuthorization(askerOf(nodion.app), token);
  assert.equal((await used('GET', `/v2/${project.id}/app/manifests/v1`)).status, 401);

  const second = (await call(`POST ${credentials}`, { headers })).json.container_registry;
  assert.notEqual(second.password, first.password);
  assert.equal((await logIn(nodion, second)('GET', `/v2/${project.id}/app/manifests/v1`)).status, 200);
  const actions = await platform.db
    .selectFrom('audit_events')
    .select('action')
    .where('target_kind', '=', 'robot')
    .execute();
  assert.deepEqual(
    actions.map(({ action }) => action),
    ['robot.create', 'robot.delete', 'robot.create'],
  );
});

test('they end with their project', async (t) => {
  const nodion = await openNodion(t);
  const { project, headers, credentials } = await openProject(nodion, 'shop');
  const login = (await nodion.call(`POST ${credentials}`, { headers })).json.container_registry;
  await deleteProject(nodion.platform, nodion.team.owner, { project: project.id });
  assert.equal((await logIn(nodion, login)('GET', '/v2/')).status, 401);
});

test('only managed registries have them', async (t) => {
  const nodion = await openNodion(t);
  const { call, team } = nodion;
  const body = { name: 'mine', registry_type: 'custom', hostname: 'a.example', username: 'a', password: 'b' };
  const { id } = (await call('POST ', { body })).json.container_registry;
  for (const method of ['POST', 'DELETE']) {
    const { status, json } = await call(`${method} /${id}/credentials`);
    assert.deepEqual([status, json.errors.length], [400, 1], method);
    assert.match(json.errors[0], /not managed by a project/);
    // Registries that somebody made are not of this API.
    assert.equal((await call(`${method} /${team.registryId}/credentials`)).status, 404, method);
  }
});
