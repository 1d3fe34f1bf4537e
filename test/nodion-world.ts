import assert from 'node:assert/strict';
import { createConnection } from '#core/connections.ts';
import { newId } from '#core/ids.ts';
import { fillManagedRegistries, listManagedRegistries } from '#core/managed-registries.ts';
import { createRobot, deleteRobot, findRobots } from '#core/robots.ts';
import type { Scope } from './database.ts';
import { type Call, callerOf, type Dialect, type DialectAnswer, openDialect, openSocket } from './dialect-client.ts';
import type { Holdings, SecurityWorld } from './dialect-security.ts';
import { nodionOperations } from './nodion-operations.ts';
import { type SeededTeam, seedTeam, type TestPlatform } from './platform.ts';

export const regions = [
  { slug: 'hel', name: 'Helsinki, FI', host: 'hel.example.com' },
  { slug: 'fra', name: 'Frankfurt, DE', host: 'localhost:8080' },
];

export type Nodion = Dialect & { call: Call };

/** Paths begin behind the collection. The team's project has its managed registry in both regions. */
export async function openNodion(t: Scope): Promise<Nodion> {
  const dialect = await openDialect(t, regions);
  await fillManagedRegistries(dialect.platform);
  return { ...dialect, call: callerOf(dialect.app, dialect.team.secret, '/v1/container_registries') };
}

export async function openWorld(t: Scope): Promise<SecurityWorld> {
  const dialect = await openDialect(t, regions);
  const { app, platform, team } = dialect;
  const other = await seedTeam(platform, 'rival');
  await fillManagedRegistries(platform);
  return {
    ...dialect,
    other,
    operations: nodionOperations.map(({ route, permissions, body, status }) => ({
      request: route,
      permissions,
      // Names are taken once.
      get body() {
        return body && { ...body, name: `made ${newId()}` };
      },
      status,
    })),
    call: callerOf(app, team.secret, '/v1'),
    send: await openSocket(app, team.secret, '/v1'),
    make: (team) => makeHoldings(platform, team),
    assertRefused,
  };
}

async function makeHoldings(platform: TestPlatform, { owner, projectId }: SeededTeam): Promise<Holdings> {
  const { id } = await createConnection(platform, owner, {
    ...{ name: `of ${newId()}`, provider: 'oci', url: 'https://registry.example.com' },
    ...{ username: 'bob', password: 'planted-password', projects: [projectId] },
  });
  const registries = await listManagedRegistries(platform, owner, projectId);
  const robots = await findRobots(platform, owner, registries);
  const [managed = '', robotic = ''] = registries.map((registry) => registry.id);
  if (robots.has(managed)) await deleteRobot(platform, owner, { projectId, registry: managed });
  if (!robots.has(robotic)) await createRobot(platform, owner, { projectId, registry: robotic });
  return { id, managed, robotic };
}

/** In the vendor's form: sentences with 400, the status and a text with everything else. */
export function assertRefused(
  { status, json, text, headers }: DialectAnswer,
  what: string,
  ...statuses: number[]
): void {
  assert.ok(statuses.length === 0 || statuses.includes(status), `${what}: ${status} ${text}`);
  assert.ok(status >= 400 && status < 500, `${what}: ${status} ${text}`);
  assert.match(headers['content-type'] ?? '', /^application\/json/, what);
  if (status === 400) {
    assert.deepEqual(Object.keys(json), ['errors'], `${what}: ${text}`);
    assert.ok(json.errors.length > 0, what);
    for (const one of json.errors) assert.match(one, /^[A-Z].+ .+/s, `${what}: ${text}`);
  } else {
    assert.deepEqual([Object.keys(json), json.status], [['status', 'error'], status], `${what}: ${text}`);
    assert.match(json.error, /^[A-Z].{5,}/, what);
  }
}
