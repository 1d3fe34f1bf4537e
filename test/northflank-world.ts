import assert from 'node:assert/strict';
import type { Permission } from '#core/permissions.ts';
import type { Scope } from './database.ts';
import { type Call, type DialectAnswer, openSocket } from './dialect-client.ts';
import { dockerHub, type Northflank, openNorthflank, registries } from './northflank-client.ts';
import { type SeededTeam, seedTeam } from './platform.ts';

type Operation = { request: string; permission: Permission; body?: object };

const one = `${registries}/{id}`;

const ofTheKey: Operation[] = [
  { request: `GET ${registries}`, permission: 'connections:read' },
  { request: `POST ${registries}`, permission: 'connections:create', body: dockerHub('made') },
  { request: `GET ${one}`, permission: 'connections:reveal' },
  { request: `PATCH ${one}`, permission: 'connections:update', body: { restrictions: { restricted: false } } },
  { request: `POST ${one}/modify`, permission: 'connections:update', body: { description: 'Changed.' } },
  { request: `DELETE ${one}`, permission: 'connections:delete' },
];

/** Every operation on credentials, without a team in its path and with one. */
export const operations: readonly Operation[] = [
  ...ofTheKey,
  ...ofTheKey.map((operation) => ({ ...operation, request: operation.request.replace(' ', ' /teams/{team}') })),
];

export type Holdings = { team: string; id: string };

/** Two teams with a set of credentials each, and a socket: clients in between would tidy hostile requests up. */
export type World = Northflank & { mine: Holdings; theirs: Holdings; other: SeededTeam; send: Call };

export async function openWorld(t: Scope): Promise<World> {
  const northflank = await openNorthflank(t);
  const { call, platform, app, team } = northflank;
  const other = await seedTeam(platform, 'rival');
  await call(`POST ${registries}`, { body: dockerHub('of mine') });
  await call(`POST ${registries}`, { body: dockerHub('of theirs'), key: other.secret });
  return {
    ...northflank,
    other,
    mine: { team: team.teamId, id: 'of-mine' },
    theirs: { team: other.teamId, id: 'of-theirs' },
    send: await openSocket(app, team.secret, '/v1'),
  };
}

/** `GET /integrations/registries/…`, its parameters from the holdings unless they are given. */
export function requestFor(pattern: string, holdings: Holdings, given: Partial<Holdings> = {}): string {
  return pattern.replaceAll(/\{(\w+)\}/g, (_, key: keyof Holdings) => given[key] ?? encodeURIComponent(holdings[key]));
}

/** In the vendor's form, and nothing beside it. */
export function assertRefused({ status, json, text }: DialectAnswer, what: string, ...statuses: number[]): void {
  assert.ok(status >= 400 && status < 500, `${what}: ${status} ${text}`);
  if (statuses.length > 0) assert.ok(statuses.includes(status), `${what}: ${status} ${text}`);
  assert.deepEqual(Object.keys(json ?? {}), ['error'], `${what}: ${text}`);
  assert.deepEqual(Object.keys(json.error).sort(), ['id', 'message', 'status'], `${what}: ${text}`);
  assert.equal(json.error.status, status, what);
  assert.ok(typeof json.error.message === 'string' && json.error.message.length > 10, `${what}: ${text}`);
  assert.match(json.error.id, /^[a-z_]+$/, what);
}
