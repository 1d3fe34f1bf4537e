import assert from 'node:assert/strict';
import { createConnection } from '#core/connections.ts';
import type { Permission } from '#core/permissions.ts';
import type { Scope } from './database.ts';
import { type DialectAnswer, openSocket } from './dialect-client.ts';
import type { Operation, SecurityWorld } from './dialect-security.ts';
import { dockerHub, openNorthflank, registries } from './northflank-client.ts';
import { seedTeam } from './platform.ts';

const one = `${registries}/{id}`;
let count = 0;
/** Names are taken once. */
const nextName = () => `made ${count++}`;

const operation = (request: string, permission: Permission, toBody?: () => object): Operation => ({
  request,
  permissions: [permission],
  get body() {
    return toBody?.();
  },
  status: 200,
});

const ofTheKey = (team: string) => [
  operation(`GET ${team}${registries}`, 'connections:read'),
  operation(`POST ${team}${registries}`, 'connections:create', () => dockerHub(nextName(), { description: 'New.' })),
  operation(`GET ${team}${one}`, 'connections:reveal'),
  operation(`PATCH ${team}${one}`, 'connections:update', () => ({ description: 'Changed.', password: 'new' })),
  operation(`POST ${team}${one}/modify`, 'connections:update', () => ({ username: 'eve', password: 'new' })),
  operation(`DELETE ${team}${one}`, 'connections:delete'),
];

/** Every operation on credentials, without a team in its path and with one. */
export const operations: readonly Operation[] = [...ofTheKey(''), ...ofTheKey('/teams/{team}')];

export async function openWorld(t: Scope): Promise<SecurityWorld> {
  const northflank = await openNorthflank(t);
  const { platform, app, team } = northflank;
  return {
    ...northflank,
    operations,
    send: await openSocket(app, team.secret, '/v1'),
    other: await seedTeam(platform, 'rival'),
    make: async ({ owner, teamId }) => {
      const { slug } = await createConnection(platform, owner, dockerHub(nextName()));
      return { team: teamId, id: slug };
    },
    assertRefused,
  };
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
