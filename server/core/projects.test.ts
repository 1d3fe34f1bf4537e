import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openTestPlatform, seedKey, seedTeam, type TestPlatform } from '#test/platform.ts';
import { type Actor, findActorBySecret } from './actors.ts';
import { createApiKey, getApiKey } from './api-keys.ts';
import { listOperations } from './operations.ts';
import { deleteProject } from './project-deletion.ts';
import { createProject, getProject, listProjects } from './projects.ts';
import { createRegistry, deleteRegistry, getRegistry } from './registries.ts';
import { createToken } from './tokens.ts';

const names = ({ items }: { items: readonly { slug: string }[] }) => items.map(({ slug }) => slug);

async function open(t: Parameters<typeof openTestPlatform>[0]) {
  const platform = await openTestPlatform(t);
  const team = await seedTeam(platform, 'acme');
  const { project, registries } = await createProject(platform, team.owner, { name: 'Web Shop' });
  const registry = registries[0];
  assert.ok(registry);
  return { platform, owner: team.owner, team, project, registry };
}

/** A manifest as far as deletion rules look at it. */
async function seedManifest({ db }: TestPlatform, registryId: string) {
  const repository = { id: `r-${registryId}`, registry_id: registryId, name: 'app', state: 'live' as const };
  const times = { created_at: 1, updated_at: 1 };
  await db
    .insertInto('repositories')
    .values({ ...repository, ...times, revision: 0, size: 2 })
    .execute();
  await db
    .insertInto('manifests')
    .values({
      repository_id: repository.id,
      digest: `sha256:${'0'.repeat(64)}`,
      media_type: 'application/vnd.oci.image.manifest.v1+json',
      artifact_type: null,
      config_media_type: null,
      subject: null,
      annotations: null,
      os: '',
      architecture: '',
      built_at: null,
      pushed_at: 1,
      size: 2,
      image_size: 2,
      leased_until: 0,
      leased_by: '',
      bytes: Buffer.from('{}'),
    })
    .execute();
}

test('a project is made with its managed registry and found by id and by slug', async (t) => {
  const { platform, owner, project, registry } = await open(t);
  assert.equal(project.slug, 'web-shop');
  assert.deepEqual([registry.name, registry.isManaged, registry.projectId], ['web-shop', true, project.id]);
  assert.deepEqual(await getProject(platform, owner, project.id), project);
  assert.deepEqual(await getProject(platform, owner, 'web-shop'), project);
  assert.deepEqual(names(await listProjects(platform, owner, { limit: 10 })), ['default', 'web-shop']);
  await assert.rejects(createProject(platform, owner, { name: 'web shop' }), { reason: 'conflict' });
});

test('where the slug is another registry, the managed one has the id in its name', async (t) => {
  const { platform, owner } = await open(t);
  await createRegistry(platform, owner, { name: 'blog' });
  const { project, registries } = await createProject(platform, owner, { name: 'Blog' });
  assert.equal(registries[0]?.name, `blog-${project.id.slice(0, 8)}`);
});

test("another team's project and one that never was are refused in the same words", async (t) => {
  const { platform, project } = await open(t);
  const other = await seedTeam(platform, 'other');
  const messages = [];
  for (const ref of [project.id, '0198c0de-0000-7000-8000-000000000000', 'web-shop', 'nothing', 'a\0b', '%']) {
    const failure = await getProject(platform, other.owner, ref).catch((error) => error);
    assert.equal(failure.reason, 'not_found', ref);
    messages.push(failure.message.replace(JSON.stringify(ref), '…'));
    await assert.rejects(deleteProject(platform, other.owner, { project: ref }), { reason: 'not_found' });
  }
  assert.equal(new Set(messages).size, 1);
});

test('a key bound to a project sees that one alone and makes no others', async (t) => {
  const { platform, team, project } = await open(t);
  const { actor } = await seedKey(platform, team.teamId, { projectIds: [project.id] });
  assert.deepEqual(names(await listProjects(platform, actor, { limit: 10 })), ['web-shop']);
  await assert.rejects(getProject(platform, actor, 'default'), { reason: 'not_found' });
  await assert.rejects(deleteProject(platform, actor, { project: team.projectId }), { reason: 'not_found' });
  await assert.rejects(createProject(platform, actor, { name: 'mine' }), { reason: 'denied' });
});

test('a project whose registries hold images is deleted only by force', async (t) => {
  const { platform, owner, project, registry } = await open(t);
  await seedManifest(platform, registry.id);
  await assert.rejects(deleteProject(platform, owner, { project: 'web-shop' }), {
    reason: 'conflict',
    message: /web-shop/,
  });
  assert.equal((await getRegistry(platform, owner, registry.id)).status, 'active');
  await deleteProject(platform, owner, { project: 'web-shop', force: true });
  await assert.rejects(getProject(platform, owner, project.id), { reason: 'not_found' });
  assert.equal((await getRegistry(platform, owner, registry.id)).status, 'deleting');
  const operations = await listOperations(platform, owner, { limit: 10 });
  assert.deepEqual(
    operations.items.map(({ kind, registryId }) => [kind, registryId]),
    [['delete_registry', registry.id]],
  );
});

test('with its project, keys and tokens bound to it alone die at once; others lose it', async (t) => {
  const { platform, owner, team, project, registry } = await open(t);
  const alone = await createApiKey(platform, owner, { name: 'a', permissions: ['*'], projectIds: [project.id] });
  const both = await createApiKey(platform, owner, {
    name: 'b',
    permissions: ['*'],
    projectIds: ['web-shop', team.projectId],
  });
  const token = await createToken(platform, owner, { mode: 'rw', registryIds: [registry.id] });
  const wide = await createToken(platform, owner, { mode: 'rw', registryIds: null });
  for (const { secret } of [alone, both, token, wide]) assert.ok(await findActorBySecret(platform, secret));
  await deleteProject(platform, owner, { project: project.id });
  assert.equal(await findActorBySecret(platform, alone.secret), undefined);
  assert.equal(await findActorBySecret(platform, token.secret), undefined);
  assert.deepEqual((await findActorBySecret(platform, both.secret))?.projectIds, [team.projectId]);
  assert.ok(await findActorBySecret(platform, wide.secret));
  await assert.rejects(getApiKey(platform, owner, alone.key.id), { reason: 'not_found' });
});

test('a managed registry goes with its project and not before', async (t) => {
  const { platform, owner, registry } = await open(t);
  await assert.rejects(deleteRegistry(platform, owner, { registry: registry.id }), { reason: 'conflict' });
  await deleteProject(platform, owner, { project: 'web-shop' });
  assert.equal((await getRegistry(platform, owner, registry.id)).status, 'deleting');
});

test('a key or registry made for a project while it is deleted is refused or goes with it', async (t) => {
  const { platform, owner, project } = await open(t);
  const [, key, registry] = await Promise.allSettled([
    deleteProject(platform, owner, { project: project.id }),
    createApiKey(platform, owner, { name: 'late', permissions: ['*'], projectIds: [project.id] }),
    createRegistry(platform, owner, { name: 'late', project: project.id }),
  ]);
  if (key.status === 'fulfilled') assert.equal(await findActorBySecret(platform, key.value.secret), undefined);
  if (registry.status === 'fulfilled') {
    assert.equal((await getRegistry(platform, owner, registry.value.id)).status, 'deleting');
  }
  await assert.rejects(getProject(platform, owner, project.id), { reason: 'not_found' });
});

test('managing projects needs its permission, and an API key', async (t) => {
  const { platform, team, registry, owner } = await open(t);
  const { actor } = await seedKey(platform, team.teamId, { permissions: ['projects:read'] });
  await assert.rejects(createProject(platform, actor, { name: 'x' }), { reason: 'denied' });
  await assert.rejects(deleteProject(platform, actor, { project: 'web-shop' }), { reason: 'denied' });
  const { secret } = await createToken(platform, owner, { mode: 'rw', registryIds: [registry.id] });
  const token = (await findActorBySecret(platform, secret)) as Actor;
  await assert.rejects(listProjects(platform, token, { limit: 1 }), {
    reason: 'unauthenticated',
    message: /registry token/,
  });
});
