// Selectel's own Go client, every function of it, through a program that calls one and prints what it made of the answer.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Image, makeImage, writeLayout } from './image.ts';
import { useLading } from './suite.ts';

// biome-ignore lint/suspicious/noExplicitAny: what the client decoded, of any kind.
type Json = any;
type Answer = { value: Json; status: number; error: string; message: string };

const unknown = '0198c0de-0000-7000-8000-000000000000';
const year1 = '0001-01-01T00:00:00Z';
const noExpiry = { isSet: false, expiresAt: year1 };

const images: Record<string, Image> = { v1: makeImage(), v2: makeImage({ layers: 3 }) };
const called = new Set<string>();
let registryId = '';

const suite = useLading(async ({ bench, lading, ref }) => {
  await login(lading.key);
  for (const [tag, image] of Object.entries(images)) {
    await writeLayout(join(bench.dir, tag), tag, [image]);
    for (const repository of ['app', 'team/app'])
      await crane('push', join(bench.dir, tag), `${ref(repository)}:${tag}`);
  }
  await crane('tag', `${ref('app')}:v2`, 'newest');
  registryId = (await craas('registry.List')).value[0].id;
});

const crane = (...args: string[]) => suite.bench.run('crane', args);
const login = (secret: string) =>
  suite.bench.run('crane', ['auth', 'login', suite.lading.host, '-u', 'token', '--password-stdin'], { input: secret });

async function craas(name: string, ...args: unknown[]): Promise<Answer> {
  called.add(name);
  const env = { CRAAS_URL: `${suite.lading.url}/api`, CRAAS_KEY: suite.lading.key };
  const words = args.map((arg) => JSON.stringify(arg ?? null));
  return JSON.parse(await suite.bench.run('craas-go', [name, ...words], { env }));
}

/** What the client decoded, if it was told of success with this status. */
async function expect(status: number, name: string, ...args: unknown[]): Promise<Json> {
  const answer = await craas(name, ...args);
  assert.deepEqual([answer.status, answer.error], [status, ''], `${name} ${JSON.stringify(args)}`);
  return answer.value;
}

/** The error as the client's caller gets it. */
async function refused(status: number, name: string, ...args: unknown[]): Promise<string> {
  const answer = await craas(name, ...args);
  assert.equal(answer.status, status, `${name} ${JSON.stringify(args)} ${answer.error}`);
  assert.match(answer.error, new RegExp(`^craas-go: got the ${status} status code from the server: \\{"error":`));
  assert.equal(answer.value, null);
  return answer.message || answer.error;
}

async function until<T>(find: () => Promise<T | undefined>, what: string): Promise<T> {
  for (let i = 0; i < 600; i++) {
    const found = await find();
    if (found !== undefined) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${what} never came`);
}

test('a registry is made, listed, read and deleted', async () => {
  const made = await expect(201, 'registry.Create', 'my-registry');
  assert.deepEqual(
    { ...made, id: '', createdAt: '' },
    { id: '', name: 'my-registry', createdAt: '', status: 'ACTIVE', size: 0, sizeLimit: 20 * 1024 ** 3, used: 0 },
  );
  assert.ok(Math.abs(Date.parse(made.createdAt) - Date.now()) < 60_000);
  assert.deepEqual(await expect(200, 'registry.Get', made.id), made);
  assert.ok((await expect(200, 'registry.List')).some((one: Json) => one.id === made.id));
  assert.match(await refused(409, 'registry.Create', 'my-registry'), /my-registry/);
  assert.match(await refused(400, 'registry.Create', 'My_Registry'), /lower-case letters/);
  await expect(204, 'registry.Delete', made.id);
  const gone = await until(async () => {
    const answer = await craas('registry.Get', made.id);
    if (answer.status === 404) return answer;
    assert.equal(answer.value.status, 'DELETING');
    return undefined;
  }, 'the end of the registry');
  assert.match(gone.error, /Registry not found\./);
  assert.match(await refused(404, 'registry.Delete', unknown), /Registry not found\./);
});

test('repositories are listed and read, one with a slash in its name too', async () => {
  const repositories = await expect(200, 'repository.ListRepositories', registryId);
  assert.deepEqual(
    repositories.map((one: Json) => one.name),
    ['app', 'team/app'],
  );
  for (const [name, escaped] of [
    ['app', 'app'],
    ['team/app', 'team%2Fapp'],
  ]) {
    const found = await expect(200, 'repository.GetRepository', registryId, escaped);
    assert.deepEqual(
      found,
      repositories.find((one: Json) => one.name === name),
    );
    const contents = Object.values(images).flatMap(({ manifest, config, layers }) => [manifest, config, ...layers]);
    assert.equal(
      found.size,
      contents.reduce((sum, { bytes }) => sum + bytes.length, 0),
    );
  }
  assert.match(await refused(404, 'repository.GetRepository', registryId, 'nothing'), /Repository not found\./);
  assert.match(await refused(404, 'repository.ListRepositories', unknown), /Registry not found\./);
});

test('images, their tags and their layers are what was pushed', async () => {
  const layersOf = (image: Image | undefined) =>
    image?.layers.map(({ digest, bytes }) => ({ digest, size: bytes.length }));
  for (const [repository, newest] of [
    ['app', ['newest', 'v2']],
    ['team%2Fapp', ['v2']],
  ] as const) {
    const found = await expect(200, 'repository.ListImages', registryId, repository);
    assert.deepEqual(
      found.map(({ digest, tags, layers, createdAt }: Json) => ({ digest, tags: tags.sort(), layers, createdAt })),
      [
        {
          digest: images.v2?.manifest.digest,
          tags: newest,
          layers: layersOf(images.v2),
          createdAt: '2026-01-02T03:04:05Z',
        },
        {
          digest: images.v1?.manifest.digest,
          tags: ['v1'],
          layers: layersOf(images.v1),
          createdAt: '2026-01-02T03:04:05Z',
        },
      ],
    );
    assert.deepEqual(
      (await expect(200, 'repository.ListTags', registryId, repository)).sort(),
      [...newest, 'v1'].sort(),
    );
    for (const reference of ['v2', images.v2?.manifest.digest]) {
      const layers = await expect(200, 'repository.ListImageLayers', registryId, repository, reference);
      assert.deepEqual(layers, layersOf(images.v2));
    }
  }
  await refused(404, 'repository.ListImages', registryId, 'nothing');
  await refused(404, 'repository.ListTags', registryId, 'nothing');
  await refused(404, 'repository.ListImageLayers', registryId, 'app', 'nothing');
});

test('a deleted image is garbage of the size that was foretold, and a collection frees it', async () => {
  const digest = images.v1?.manifest.digest;
  await expect(204, 'repository.DeleteImageManifest', registryId, 'app', digest);
  await refused(404, 'repository.DeleteImageManifest', registryId, 'app', digest);
  await expect(204, 'repository.DeleteRepository', registryId, 'team%2Fapp');
  await refused(404, 'repository.DeleteRepository', registryId, 'nothing');
  const before = await expect(200, 'registry.Get', registryId);
  const garbage = await until(async () => {
    const size = await expect(200, 'gc.GetGarbageSize', registryId);
    return size.sizeSummary > 0 ? size : undefined;
  }, 'the garbage of the repository');
  assert.equal(garbage.sizeSummary, garbage.sizeNonReferenced + garbage.sizeUntagged);
  await expect(201, 'gc.StartGarbageCollection', registryId, { DeleteUntagged: true });
  await until(async () => {
    const { status } = await expect(200, 'registry.Get', registryId);
    assert.ok(status === 'ACTIVE' || status === 'GARBAGE_COLLECTION', status);
    return status === 'ACTIVE' || undefined;
  }, 'the end of the collection');
  const after = await expect(200, 'gc.GetGarbageSize', registryId);
  assert.deepEqual(after, { sizeNonReferenced: 0, sizeUntagged: 0, sizeSummary: 0 });
  assert.ok((await expect(200, 'registry.Get', registryId)).size < before.size);
  await expect(201, 'gc.StartGarbageCollection', registryId, null);
  await refused(404, 'gc.StartGarbageCollection', unknown, null);
  await refused(404, 'gc.GetGarbageSize', unknown);
});

test('a token of version 1 logs in, is refreshed under its own value, and revoked', async () => {
  const day = await expect(201, 'token.Create', null);
  assert.equal(day.expireIn, 12 * 3600);
  const made = await expect(201, 'token.Create', { TokenTTL: '1y' });
  assert.equal(made.expireIn, 365 * 24 * 3600);
  assert.ok(Math.abs(made.expireAt - made.expireIn - Date.now() / 1000) < 60);
  await login(made.token);
  await crane('copy', `${suite.ref('app')}:v2`, `${suite.ref('by-token')}:v2`);
  const got = await expect(200, 'token.Get', made.token);
  assert.deepEqual([got.token, got.expireAt], [made.token, made.expireAt]);
  const refreshed = await expect(200, 'token.Refresh', made.token);
  assert.ok(refreshed.expireAt >= made.expireAt);
  await expect(204, 'token.Revoke', made.token);
  assert.equal(await refused(400, 'token.Revoke', made.token), 'Invalid or malformed token.');
  assert.match(await refused(404, 'token.Get', made.token), /Token not found\./);
  await refused(404, 'token.Refresh', made.token);
  assert.match(await suite.bench.refused('crane', ['digest', `${suite.ref('app')}:v2`]), /UNAUTHORIZED|401/);
  await login(suite.lading.key);
});

test('a token of version 2 lives through all that the client can do to it', async () => {
  const expiration = { isSet: true, expiresAt: '2099-01-01T00:00:00Z' };
  const scope = { modeRW: false, allRegistries: false, registryIds: [registryId] };
  const made = await expect(201, 'tokenv2.Create', { name: 'reader', expiration, scope }, null);
  assert.match(made.token, /^ldg_token_/);
  assert.equal(made.lastUsedAt, undefined);
  await login(made.token);
  await crane('digest', `${suite.ref('app')}:v2`);
  await suite.bench.refused('crane', ['tag', `${suite.ref('app')}:v2`, 'by-reader']);
  const { token, ...shown } = made;
  const used = await expect(200, 'tokenv2.GetByID', made.id);
  assert.ok(Math.abs(Date.parse(used.lastUsedAt) - Date.now()) < 60_000);
  assert.deepEqual({ ...used, lastUsedAt: undefined }, { ...shown, lastUsedAt: undefined });

  const patched = await expect(
    200,
    'tokenv2.Patch',
    made.id,
    'writer',
    { modeRW: true, allRegistries: true },
    noExpiry,
  );
  assert.deepEqual(
    [patched.name, patched.scope, patched.expiration],
    ['writer', { modeRW: true, allRegistries: true }, noExpiry],
  );
  await crane('tag', `${suite.ref('app')}:v2`, 'by-writer');
  assert.equal((await expect(200, 'tokenv2.Patch', made.id, '', scope, expiration)).name, 'writer');
  assert.deepEqual((await expect(200, 'tokenv2.Refresh', made.id, noExpiry)).expiration, noExpiry);
  const anew = await expect(200, 'tokenv2.Regenerate', made.id, expiration);
  assert.deepEqual([anew.id, anew.expiration], [made.id, expiration]);
  assert.notEqual(anew.token, token);
  await suite.bench.refused('crane', ['digest', `${suite.ref('app')}:v2`]);
  await login(anew.token);
  await crane('digest', `${suite.ref('app')}:v2`);
  for (let i = 0; i < 2; i++) await expect(204, 'tokenv2.Revoke', made.id);
  await suite.bench.refused('crane', ['digest', `${suite.ref('app')}:v2`]);
  assert.equal((await expect(200, 'tokenv2.GetByID', made.id)).status, 'revoked');
  await expect(204, 'tokenv2.Delete', made.id);
  for (const [name, ...args] of [
    ['GetByID'],
    ['Revoke'],
    ['Delete'],
    ['Refresh', noExpiry],
    ['Regenerate', noExpiry],
    ['Patch', 'x', scope, noExpiry],
  ] as [string, ...unknown[]][]) {
    assert.match(await refused(404, `tokenv2.${name}`, made.id, ...args), /Token not found\./);
  }
  await login(suite.lading.key);
});

test('tokens of version 2 are listed by page, order, name and mode', async () => {
  const scope = { modeRW: false, allRegistries: true };
  for (const name of ['list-b', 'list-a', 'list-c']) {
    await expect(201, 'tokenv2.Create', { name, expiration: noExpiry, scope: { ...scope, modeRW: name === 'list-c' } });
  }
  const list = async (options: object) => {
    const { tokens, totalCount } = await expect(200, 'tokenv2.List', { Search: 'list-', ...options });
    return [tokens.map((one: Json) => one.name).join(' '), totalCount];
  };
  assert.deepEqual(await list({}), ['list-b list-a list-c', 3]);
  assert.deepEqual(await list({ SortField: 'name', SortType: 'desc' }), ['list-c list-b list-a', 3]);
  assert.deepEqual(await list({ Limit: 1, Offset: 1 }), ['list-a', 3]);
  assert.deepEqual(await list({ ScopeMode: 'rw' }), ['list-c', 1]);
  assert.ok((await expect(200, 'tokenv2.List', {})).totalCount >= 4);
  assert.match(await refused(400, 'tokenv2.List', { ScopeMode: 'wo' }), /ro, rw/);
});

test('the client hears of an error that one of its functions keeps to itself', async () => {
  const scope = { modeRW: true, allRegistries: false };
  assert.match(await refused(400, 'tokenv2.Create', { expiration: noExpiry, scope }), /registries/);
  const late = { isSet: true, expiresAt: '2001-01-01T00:00:00Z' };
  assert.match(
    await refused(400, 'tokenv2.Create', { expiration: late, scope: { ...scope, allRegistries: true } }),
    /future/,
  );
  const file = await expect(
    201,
    'tokenv2.Create',
    { expiration: noExpiry, scope: { ...scope, allRegistries: true } },
    true,
  );
  assert.equal(file.token, undefined, 'the Docker configuration stands where the token would');
});

test('each way to make a client reaches the server', async () => {
  for (const name of [
    'pkg.NewCRaaSClientV1',
    'pkg.NewCRaaSClientV1WithCustomHTTP',
    'client.NewCRaaSClientV1WithCustomHTTP',
  ]) {
    assert.ok((await expect(200, name)).some((one: Json) => one.id === registryId));
  }
  assert.ok(Array.isArray((await expect(200, 'client.NewCRaaSClientV2WithCustomHTTP')).tokens));
});

test('no function of the client was left out', async () => {
  const all = await suite.bench.run('craas-go', []);
  assert.deepEqual([...called].sort(), all.split('\n'));
});
