import assert from 'node:assert/strict';
import { test } from 'node:test';
import { insertActor } from '#core/actors.ts';
import { hashSecret, newId, newSecret } from '#core/ids.ts';
import { createProject } from '#core/projects.ts';
import { ensureRegions } from '#core/regions.ts';
import { createRegistry, updateRegistry } from '#core/registries.ts';
import { createToken } from '#core/tokens.ts';
import { type Ask, basic, bearer, pushBlob, pushImage, signInFor, withAuthorization } from '#test/oci-client.ts';
import { seedKey, seedTeam } from '#test/platform.ts';
import { assertHeaders, openRegistry, outcomeOf, type Registry, sha256, startSession } from '#test/registry-client.ts';

// Who may do what where. Each row of a table is a caller, each column what the data plane lets it do in a registry.

type Right = 'pull' | 'push' | 'delete';

/** What the caller may do in a repository that has an image `v1` and a spare blob, found out by doing it. */
async function rightsIn(ask: Ask, owner: Ask, repository: string): Promise<string> {
  await pushImage(owner, repository, 'v1');
  const spare = await pushBlob(owner, repository, 'spare');
  const path = `/v2/${repository}`;
  const requests: [Right, string, string, number, { body: string }?][] = [
    ['pull', 'GET', `${path}/manifests/v1`, 200],
    ['pull', 'HEAD', `${path}/manifests/v1`, 200],
    ['pull', 'GET', `${path}/tags/list`, 200],
    ['pull', 'GET', `${path}/blobs/${spare}`, 200],
    ['pull', 'HEAD', `${path}/blobs/${spare}`, 200],
    ['pull', 'GET', `${path}/referrers/${spare}`, 200],
    ['push', 'POST', `${path}/blobs/uploads/`, 202],
    ['push', 'POST', `${path}/blobs/uploads/?digest=${sha256('x')}`, 201, { body: 'x' }],
    ['push', 'PUT', `${path}/manifests/v1`, 400, { body: '{}' }],
    ['delete', 'DELETE', `${path}/blobs/${spare}`, 202],
    ['delete', 'DELETE', `${path}/manifests/v1`, 202],
  ];
  const found = new Map<Right, Set<boolean>>();
  for (const [right, method, url, expected, options] of requests) {
    const { status } = await ask(method, url, options);
    const isAllowed = status === expected;
    assert.ok(isAllowed || [401, 403, 404].includes(status), `${status} for ${method} ${url}`);
    found.set(right, (found.get(right) ?? new Set()).add(isAllowed));
  }
  // No right may hold on one route and not on its neighbour.
  for (const [right, answers] of found) assert.equal(answers.size, 1, `${right} is uneven in ${repository}`);
  return [...found]
    .filter(([, answers]) => answers.has(true))
    .map(([right]) => right)
    .join(' ');
}

/** A robot as the management of projects makes it: pull and push on one managed registry. */
async function seedRobot({ platform, team }: Registry, registryId: string, projectId: string): Promise<string> {
  const secret = newSecret('robot');
  await insertActor(platform, {
    id: newId(),
    kind: 'robot',
    team_id: team.teamId,
    name: 'robot$project',
    secret_hash: hashSecret(secret),
    generation: 1,
    permissions: JSON.stringify(['images:pull', 'images:push']),
    project_ids: JSON.stringify([projectId]),
    registry_ids: JSON.stringify([registryId]),
    lifetime_ms: null,
    expires_at: null,
    revoked_at: null,
    last_used_at: null,
    created_at: platform.now(),
  });
  return secret;
}

test('what each kind of secret may do in its own registry, in another, in another project’s, in a public one', async (t) => {
  const registry = await openRegistry(t);
  const { ask, owner, platform, team } = registry;
  const { project, registries } = await createProject(platform, team.owner, { name: 'apart' });
  const managed = registries[0];
  assert.ok(managed);
  // `acme` belongs to the project `default`, `shared` to the whole team, `apart` to the project of its name.
  await createRegistry(platform, team.owner, { name: 'shared' });
  await createRegistry(platform, team.owner, { name: 'open', isPublic: true });
  const other = await seedTeam(platform, 'other');
  const token = async (mode: 'ro' | 'rw', registryIds: string[] | null) =>
    (await createToken(platform, team.owner, { mode, registryIds })).secret;
  const key = async (permissions: string[], projectIds: string[] | null = null) =>
    (await seedKey(platform, team.teamId, { permissions, projectIds })).secret;
  const all = 'pull push delete';
  const table: [string, string | undefined, Record<string, string>][] = [
    ['nobody', undefined, { acme: '', shared: '', apart: '', open: 'pull' }],
    ['owner', team.secret, { acme: all, shared: all, apart: all, open: all }],
    ['another team', other.secret, { acme: '', shared: '', apart: '', open: 'pull' }],
    ['ro token', await token('ro', null), { acme: 'pull', shared: 'pull', apart: 'pull', open: 'pull' }],
    ['rw token', await token('rw', null), { acme: all, shared: all, apart: all, open: all }],
    ['ro token here', await token('ro', [team.registryId]), { acme: 'pull', shared: '', apart: '', open: 'pull' }],
    ['rw token here', await token('rw', [team.registryId]), { acme: all, shared: '', apart: '', open: 'pull' }],
    [
      'robot',
      await seedRobot(registry, managed.id, project.id),
      { acme: '', shared: '', apart: 'pull push', open: 'pull' },
    ],
    ['bound key', await key(['*'], [project.id]), { acme: '', shared: 'pull', apart: all, open: 'pull' }],
    ['puller', await key(['images:pull']), { acme: 'pull', shared: 'pull', apart: 'pull', open: 'pull' }],
    [
      'deleter',
      await key(['images:delete']),
      { acme: 'delete', shared: 'delete', apart: 'delete', open: 'pull delete' },
    ],
    ['manager', await key(['registries:read', 'registries:delete']), { acme: '', shared: '', apart: '', open: 'pull' }],
  ];
  for (const [who, secret, rights] of table) {
    for (const [name, expected] of Object.entries(rights)) {
      const repository = `${name}/app`;
      const direct = secret === undefined ? ask : withAuthorization(ask, basic(secret));
      assert.equal(await rightsIn(direct, owner, repository), expected, `${who} in ${name}`);
      const scopes = `repository:${repository}:*`;
      const byToken = await signInFor(ask, secret === undefined ? undefined : basic(secret), scopes);
      assert.equal(
        await rightsIn(withAuthorization(ask, byToken), owner, repository),
        expected,
        `${who} by token in ${name}`,
      );
    }
  }
});

test('anonymous callers pull from a public registry as long as it is public, and are always challenged at /v2/', async (t) => {
  const { ask, owner, platform, team } = await openRegistry(t);
  await pushImage(owner, 'acme/app', 'v1');
  const pull = () => ask('GET', '/v2/acme/app/manifests/v1');
  assert.equal(outcomeOf(await pull()), '401 UNAUTHORIZED');
  const isPublic = (value: boolean) => updateRegistry(platform, team.owner, { registry: 'acme', isPublic: value });
  await isPublic(true);
  assert.equal((await pull()).status, 200);
  assert.equal((await ask('GET', `/v2/acme/app/blobs/${sha256('layer')}`)).text, 'layer');
  assert.equal(outcomeOf(await ask('GET', '/v2/acme/never/manifests/v1')), '404 MANIFEST_UNKNOWN');
  assert.equal(outcomeOf(await ask('GET', '/v2/')), '401 UNAUTHORIZED');
  assert.equal(outcomeOf(await ask('POST', '/v2/acme/app/blobs/uploads/')), '401 UNAUTHORIZED');
  const token = await signInFor(ask, undefined, 'repository:acme/app:pull,push');
  assert.equal((await withAuthorization(ask, token)('GET', '/v2/acme/app/manifests/v1')).status, 200);
  const push = await withAuthorization(ask, token)('POST', '/v2/acme/app/blobs/uploads/');
  assert.equal(outcomeOf(push), '401 UNAUTHORIZED');
  await isPublic(false);
  assert.equal(outcomeOf(await pull()), '401 UNAUTHORIZED');
  assert.notEqual((await withAuthorization(ask, token)('GET', '/v2/acme/app/manifests/v1')).status, 200);
});

test('a push to a registry that is not there is a 404 that says how to make it', async (t) => {
  const { owner } = await openRegistry(t);
  for (const [method, url] of [
    ['POST', '/v2/newapp/web/blobs/uploads/'],
    ['PUT', '/v2/newapp/web/manifests/v1'],
    ['HEAD', `/v2/newapp/web/blobs/${sha256('x')}`],
    ['GET', '/v2/newapp/web/manifests/v1'],
  ] as const) {
    const answer = await owner(method, url);
    assert.equal(answer.status, 404);
    if (method === 'HEAD') continue;
    assert.equal(outcomeOf(answer), '404 NAME_UNKNOWN');
    assert.match(answer.text, /There is no registry \\"newapp\\"\. Make it first: POST \/lading\/v1\/registries/);
  }
});

// decisions 1: Nodion documents pushes under the project's id.
test('a project’s id stands for its managed registry, with the same rights and the same content', async (t) => {
  const { ask, owner, platform, team } = await openRegistry(t);
  const { project, registries } = await createProject(platform, team.owner, { name: 'nodes' });
  const name = registries[0]?.name ?? '';
  await pushImage(owner, `${project.id}/app`, 'v1');
  const direct = await owner('GET', `/v2/${name}/app/manifests/v1`);
  assert.equal((await owner('GET', `/v2/${project.id}/app/manifests/v1`)).text, direct.text);
  const token = await signInFor(ask, basic(team.secret), `repository:${project.id}/app:pull`);
  const byToken = withAuthorization(ask, token);
  assert.equal((await byToken('GET', `/v2/${project.id}/app/manifests/v1`)).status, 200);
  assert.equal(
    outcomeOf(await byToken('GET', `/v2/${name}/app/manifests/v1`)),
    '401 UNAUTHORIZED',
    'the token names the other',
  );
  const other = await seedTeam(platform, 'other');
  assert.equal(
    outcomeOf(await withAuthorization(ask, basic(other.secret))('GET', `/v2/${project.id}/app/tags/list`)),
    '404 NAME_UNKNOWN',
  );
  assert.equal(outcomeOf(await owner('GET', `/v2/${newId()}/app/tags/list`)), '404 NAME_UNKNOWN');
});

test('the region is that of the host that was asked, in any case of letters; any other host is the first', async (t) => {
  const { ask, platform, team, owner } = await openRegistry(t);
  platform.config.regions = await ensureRegions(platform.db, [
    { slug: 'local', name: 'Local', host: 'localhost:8080' },
    { slug: 'east', name: 'East', host: 'east.example.com' },
  ]);
  await createRegistry(platform, team.owner, { name: 'acme', region: 'east' });
  await pushImage(owner, 'acme/app', 'first');
  const at =
    (host: string): Ask =>
    (method, url, options = {}) =>
      ask(method, url, { ...options, headers: { authorization: basic(team.secret), ...options.headers, host } });
  await pushImage(at('east.example.com'), 'acme/app', 'eastern');
  const tagsAt = async (host: string) => JSON.parse((await at(host)('GET', '/v2/acme/app/tags/list')).text).tags;
  assert.deepEqual(await tagsAt('EAST.Example.com'), ['eastern']);
  for (const host of ['localhost:8080', 'LOCALHOST:8080', 'elsewhere', 'east.example.com:444', '127.0.0.1']) {
    assert.deepEqual(await tagsAt(host), ['first'], host);
  }
  const mount = await at('east.example.com')(
    'POST',
    `/v2/acme/new/blobs/uploads/?mount=${sha256('layer')}&from=acme/app`,
  );
  assert.equal(mount.status, 201, 'of the region’s own registry');
});

// Security test 25.
test('what a caller lost it loses on the next request, on every way to it', async (t) => {
  const { ask, owner, platform, team } = await openRegistry(t);
  await pushImage(owner, 'acme/app', 'v1');
  const { secret } = await createToken(platform, team.owner, { mode: 'rw', registryIds: null });
  const asker = withAuthorization(ask, bearer(secret));
  const urls = ['/v2/acme/app/manifests/v1', `/v2/acme/app/blobs/${sha256('layer')}`, '/v2/acme/app/tags/list'];
  for (const url of urls) assert.equal((await asker('GET', url)).status, 200);
  const image = (await asker('HEAD', '/v2/acme/app/manifests/v1')).headers['docker-content-digest'];
  await owner('DELETE', `/v2/acme/app/manifests/${image}`);
  await owner('DELETE', `/v2/acme/app/blobs/${sha256('layer')}`);
  assert.equal((await asker('GET', urls[0] ?? '')).status, 404);
  assert.equal((await asker('GET', urls[1] ?? '')).status, 404);
  assert.equal((await asker('HEAD', urls[1] ?? '')).status, 404);
  const conditional = { headers: { 'if-none-match': `"${sha256('layer')}"`, range: 'bytes=0-1' } };
  assert.equal((await asker('GET', urls[1] ?? '', conditional)).status, 404);
});

test('a session is cancelled by who may push, without the right to delete', async (t) => {
  const { ask, platform, team } = await openRegistry(t);
  const { secret } = await seedKey(platform, team.teamId, { permissions: ['images:pull', 'images:push'] });
  const token = await signInFor(ask, basic(secret), 'repository:acme/app:pull,push');
  const pusher = withAuthorization(ask, token);
  const location = await startSession(pusher, 'acme/app');
  assert.equal((await pusher('DELETE', location)).status, 204);
  assertHeaders(await pusher('DELETE', `/v2/acme/app/manifests/v1`), {
    'WWW-Authenticate': /scope="repository:acme\/app:delete"/,
  });
});
