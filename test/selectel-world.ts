import assert from 'node:assert/strict';
import type { FastifyInstance } from 'fastify';
import type { Scope } from './database.ts';
import { askerOf, basic, pushImage, withAuthorization } from './oci-client.ts';
import { type SeededTeam, seedTeam } from './platform.ts';
import { openSocket, type Send } from './raw-requests.ts';
import { openSelectel, type Selectel, type SelectelAnswer } from './selectel-client.ts';

/** Every operation on registries and what they hold; those on tokens have tests of their own. */
export const operations: readonly { request: string; permission: string; body?: object; status: number }[] = [
  { request: 'GET /v1/registries', permission: 'registries:read', status: 200 },
  { request: 'POST /v1/registries', permission: 'registries:create', body: { name: 'made' }, status: 201 },
  { request: 'GET /v1/registries/{id}', permission: 'registries:read', status: 200 },
  { request: 'GET /v1/registries/{id}/clusters', permission: 'clusters:read', status: 200 },
  { request: 'GET /v1/registries/{id}/garbage-collection/size', permission: 'registries:read', status: 200 },
  { request: 'GET /v1/registries/{id}/repositories', permission: 'registries:read', status: 200 },
  { request: 'GET /v1/registries/{id}/repositories/{name}', permission: 'registries:read', status: 200 },
  { request: 'GET /v1/registries/{id}/repositories/{name}/images', permission: 'registries:read', status: 200 },
  { request: 'GET /v1/registries/{id}/repositories/{name}/tags', permission: 'registries:read', status: 200 },
  { request: 'GET /v1/registries/{id}/repositories/{name}/{reference}', permission: 'registries:read', status: 200 },
  { request: 'GET /v2/registries', permission: 'registries:read', status: 200 },
  { request: 'GET /v2/registries/{id}/repositories', permission: 'registries:read', status: 200 },
  { request: 'GET /v2/registries/{id}/repositories/{name}/images', permission: 'registries:read', status: 200 },
  {
    request: 'POST /v1/registries/{id}/repositories/{name}/cleanup',
    permission: 'images:delete',
    body: { tags: ['never'], disable_gc: true },
    status: 200,
  },
  { request: 'DELETE /v1/registries/{id}/repositories/{name}/{reference}', permission: 'images:delete', status: 204 },
  { request: 'POST /v1/registries/{id}/garbage-collection', permission: 'garbage:collect', status: 201 },
  { request: 'DELETE /v1/registries/{id}/repositories/{name}', permission: 'images:delete', status: 204 },
  { request: 'DELETE /v1/registries/{id}', permission: 'registries:delete', status: 204 },
];

export type Holdings = { id: string; name: string; reference: string };
/** Two teams with a repository each, and a socket: clients in between would tidy hostile requests up. */
export type World = Selectel & { mine: Holdings; theirs: Holdings; other: SeededTeam; send: Send };

export async function openWorld(t: Scope): Promise<World> {
  const selectel = await openSelectel(t);
  const other = await seedTeam(selectel.platform, 'rival');
  return {
    ...selectel,
    other,
    mine: await fill(selectel.app, selectel.team),
    theirs: await fill(selectel.app, other),
    send: await openSocket(selectel.app, '/api', { 'x-auth-token': selectel.team.secret }),
  };
}

async function fill(app: FastifyInstance, { registryId, registryName, secret }: SeededTeam): Promise<Holdings> {
  const oci = withAuthorization(askerOf(app), basic(secret));
  const name = `app/of-${registryName}`;
  return { id: registryId, name, reference: await pushImage(oci, `${registryName}/${name}`, 'v1', [registryName]) };
}

/** `GET /v1/registries/…`, its parameters from the holdings unless they are given. */
export function requestFor(pattern: string, holdings: Holdings, given: Partial<Holdings> = {}): string {
  return pattern.replaceAll(/\{(\w+)\}/g, (_, key: keyof Holdings) => given[key] ?? encodeURIComponent(holdings[key]));
}

/** In the vendor's form: a sentence under `error`, and nothing else. */
export function assertRefused(answer: SelectelAnswer, what: string, ...statuses: number[]): void {
  assert.ok(answer.status >= 400 && answer.status < 500, `${what}: ${answer.status} ${answer.text}`);
  if (statuses.length > 0) assert.ok(statuses.includes(answer.status), `${what}: ${answer.status} ${answer.text}`);
  assert.deepEqual(Object.keys(answer.json ?? {}), ['error'], `${what}: ${answer.text}`);
  assert.ok(typeof answer.json.error === 'string' && answer.json.error.length > 10, what);
}
