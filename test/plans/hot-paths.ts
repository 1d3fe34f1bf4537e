import type { FastifyInstance } from 'fastify';
import { removeOldAuditEvents } from '#core/audit-events.ts';
import { getBlob } from '#core/blobs.ts';
import { startCollection } from '#core/collection.ts';
import { testNextConnection } from '#core/connection-schedule.ts';
import { removeOldUses } from '#core/connection-uses.ts';
import { measure } from '#core/measurements.ts';
import type { RepositoryName } from '#core/names.ts';
import { doomLateWriters, removeDoomed, renewWriters } from '#core/objects.ts';
import { operationHandlers } from '#core/operation-handlers.ts';
import { removeOldOperations, runNextOperation } from '#core/operation-runs.ts';
import { getRegion } from '#core/regions.ts';
import { removeOldWindows } from '#core/request-limit.ts';
import { renewUploads } from '#core/upload-renewal.ts';
import { expireUploads } from '#core/uploads.ts';
import { type Ask, askerOf, basic, digestOf, signInFor, withAuthorization } from '#test/oci-client.ts';
import type { SeededTeam, TestPlatform } from '#test/platform.ts';
import { imageOf, pushManifest, startSession, uploadBlob } from '#test/registry-client.ts';
import { callerOf } from '#test/selectel-client.ts';
import { digestAt, type Seeded } from './seed.ts';

export type World = { platform: TestPlatform; app: FastifyInstance; team: SeededTeam; seeded: Seeded };
type Clients = World & { ask: Ask; reader: Ask; owner: Ask; big: string; small: string };
export type HotPath = [name: string, work: () => Promise<unknown>];

/** Everything that happens often, by name, so that its statements can be looked at. In this order: some need others' work. */
export async function hotPaths(world: World): Promise<HotPath[]> {
  const { app, team, seeded } = world;
  const [big, small] = [`acme/${seeded.big.name}`, `acme/${seeded.small.name}`];
  const ask = askerOf(app);
  const token = await signInFor(ask, basic(team.secret), `repository:${big}:pull`);
  const [reader, owner] = [withAuthorization(ask, token), withAuthorization(ask, basic(team.secret))];
  const clients = { ...world, ask, reader, owner, big, small };
  return [...pulls(clients), ...pushes(clients), ...removals(clients), ...lists(clients), ...jobs(clients)];
}

async function good(asked: Promise<{ status: number; text: string }>): Promise<void> {
  const { status, text } = await asked;
  if (status >= 300) throw new Error(`${status}: ${text}`);
}

function pulls({ platform, team, ask, reader, owner, big }: Clients): HotPath[] {
  const get = (path: string) => good(reader('GET', `/v2/${big}/${path}`));
  const signIn = { headers: { authorization: basic(team.secret) } };
  const blob = { region: getRegion(platform), name: big as RepositoryName, reference: digestAt('1', 77) };
  return [
    ['sign-in', () => good(ask('GET', `/token?scope=repository:${big}:pull`, signIn))],
    ['manifest GET by tag', () => get('manifests/v77')],
    ['manifest GET by digest', () => get(`manifests/${digestAt('a', 77)}`)],
    ['manifest HEAD', () => good(reader('HEAD', `/v2/${big}/manifests/v77`))],
    ['blob GET', () => getBlob(platform, team.owner, blob, { promise: false })],
    ['tags', () => get('tags/list?n=100&last=v5')],
    ['referrers', () => get(`referrers/${digestAt('a', 1)}`)],
    ['catalog', () => good(owner('GET', '/v2/_catalog?n=100&last=acme/team-3'))],
  ];
}

function pushes({ owner, big, small }: Clients): HotPath[] {
  const upload = (repository: string, query: string) => `/v2/${repository}/blobs/uploads/?${query}`;
  const pushImage = async (tag: string) => {
    const layer = `layer of ${tag}`;
    for (const bytes of ['{}', layer]) await uploadBlob(owner, big, bytes);
    await pushManifest(owner, big, tag, imageOf([layer]));
    const untagged = imageOf([layer], { annotations: {} });
    await pushManifest(owner, big, digestOf(untagged), untagged);
  };
  return [
    ['manifest HEAD before a push', () => good(owner('HEAD', `/v2/${big}/manifests/v78`))],
    ['blob HEAD before a push', () => good(owner('HEAD', `/v2/${big}/blobs/${digestAt('1', 77)}`))],
    ['upload in chunks', () => uploadInChunks(owner, big)],
    ['upload in one', () => good(owner('POST', upload(big, `digest=${digestOf('whole')}`), { body: 'whole' }))],
    ['mount', () => good(owner('POST', upload(small, `mount=${digestAt('1', 78)}&from=${big}`)))],
    ['mount from anywhere', () => good(owner('POST', upload(small, `mount=${digestAt('1', 79)}`)))],
    ['manifest push', () => pushImage('new')],
    ['manifest push, tag moves', () => pushImage('v79')],
  ];
}

async function uploadInChunks(owner: Ask, repository: string): Promise<void> {
  const location = await startSession(owner, repository);
  const chunk = await owner('PATCH', location, { body: 'chunks', headers: { 'content-range': '0-5' } });
  await good(Promise.resolve(chunk));
  await good(owner('PUT', `${chunk.headers.location}?digest=${digestOf('chunks')}`));
}

function removals({ owner, big }: Clients): HotPath[] {
  const remove = (path: string) => good(owner('DELETE', `/v2/${big}/${path}`));
  return [
    ['tag DELETE', () => remove('manifests/v80')],
    ['manifest DELETE', () => remove(`manifests/${digestAt('a', 81)}`)],
    ['blob DELETE', () => remove(`blobs/${digestOf('whole')}`)],
  ];
}

function lists({ app, team, owner, seeded }: Clients): HotPath[] {
  const path = encodeURIComponent(seeded.big.name);
  const selectel = callerOf(app, team.secret);
  const native = (name: string, url: string): HotPath => [
    `native: ${name}`,
    () => good(owner('GET', `/lading/v1/${url}`)),
  ];
  const vendor = (name: string, url: string): HotPath => [`Selectel: ${name}`, () => good(selectel(`GET ${url}`))];
  const images = `/v2/registries/${team.registryId}/repositories/${path}/images`;
  return [
    native('images', `registries/acme/repositories/${path}/images`),
    native('tags', `registries/acme/repositories/${path}/tags`),
    native('repositories', 'registries/acme/repositories'),
    native('registries', 'registries'),
    native('tokens', 'tokens'),
    native('operations', 'operations'),
    native('audit events', 'audit-events'),
    vendor('registries', '/v1/registries'),
    vendor('repositories', `/v2/registries/${team.registryId}/repositories?limit=50`),
    vendor('a repository', `/v1/registries/${team.registryId}/repositories/${path}`),
    vendor('images', `${images}?limit=50`),
    vendor('images, page 20', `${images}?limit=50&offset=1000`),
    vendor('an image', `/v1/registries/${team.registryId}/repositories/${path}/${digestAt('a', 77)}`),
  ];
}

const longAgo = Date.UTC(2026, 0, 1);

function jobs(clients: Clients): HotPath[] {
  const { platform } = clients;
  return [
    ['collection', () => collect(clients)],
    ['job: remove doomed objects', () => removeDoomed(platform)],
    ['job: doom late writers', () => doomLateWriters(platform)],
    ['job: expire uploads', () => expireUploads(platform)],
    ['job: renew', () => renew(platform)],
    ['job: run operations', () => runNextOperation(platform, 'plans', operationHandlers, () => true)],
    ['job: forget operations', () => removeOldOperations(platform, longAgo, 500)],
    ['job: forget audit events', () => removeOldAuditEvents(platform, longAgo, 500)],
    ['job: forget uses', () => removeOldUses(platform, longAgo, 500)],
    ['job: forget windows', () => removeOldWindows(platform, 500)],
    ['job: test connections', () => testNextConnection(platform, 'plans')],
    ['metrics', () => measure(platform)],
  ];
}

/** Some seconds of it: enough to have looked through a part, and to have removed what nobody needs. */
async function collect({ platform, team, owner, small }: Clients): Promise<void> {
  await uploadBlob(owner, small, 'garbage');
  platform.clock.advance(7 * 3600_000);
  await startCollection(platform, team.owner, { registry: 'acme', deleteUntagged: true });
  const until = performance.now() + 20_000;
  await runNextOperation(platform, 'plans', operationHandlers, () => performance.now() > until);
}

async function renew(platform: TestPlatform): Promise<void> {
  platform.local.writers.add(`f${'1'.padStart(31, '0')}`);
  await renewWriters(platform);
  await renewUploads(platform);
}
