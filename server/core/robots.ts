// The robot of a managed registry: a secret that pushes and pulls there, in one project, and nowhere else. A registry has
// one at a time; who wants another secret ends the robot and makes a new one.

import { requireGrantable } from './actor-grants.ts';
import { type Actor, deleteActor, forgetActors, insertActor } from './actors.ts';
import { recordAudit } from './audit.ts';
import { findConnectionRow } from './connection-rows.ts';
import { Failure } from './failure.ts';
import { hashSecret, newId, newSecret } from './ids.ts';
import { findManagedRegistry, lockManagedRegistry } from './managed-registries.ts';
import { requirePermission } from './permissions.ts';
import type { Platform } from './platform.ts';
import { orNone } from './projects.ts';
import { findOwnRegistry } from './registries.ts';
import type { Registry } from './registry-rows.ts';
import { transact } from './transact.ts';

export type Robot = { id: string; name: string; registryId: string; createdAt: number };

/** `registry`: id or name. With a project, by its id: one of that project, or a connection that it may use. */
export type RobotInput = { registry: string; projectId?: string | undefined };

const permissionsOfRobots = ['images:pull', 'images:push'];

/**
 * The secret is answered here and never again. Throws `not_found`, `denied` for what the maker does not hold, and
 * `conflict` where there is a robot already, or a connection instead of a managed registry.
 */
export async function createRobot(
  platform: Platform,
  actor: Actor,
  input: RobotInput,
): Promise<{ robot: Robot; registry: Registry; secret: string }> {
  requirePermission(actor, 'tokens:write');
  requireGrantable(actor, permissionsOfRobots);
  const secret = newSecret('robot');
  return transact(platform, async (platform) => {
    const { registry, projectId } = await lockOwn(platform, actor, input);
    if ((await findRobots(platform, actor, [registry])).has(registry.id)) throw robotExists();
    const robot = await insertRobot(platform, { registry, projectId, secret });
    await recordAudit(platform, actor, { action: 'robot.create', ...toAudited(robot, registry) });
    return { robot, registry, secret };
  });
}

async function insertRobot(
  platform: Platform,
  { registry, projectId, secret }: { registry: Registry; projectId: string; secret: string },
): Promise<Robot> {
  const row = {
    id: newId(),
    kind: 'robot' as const,
    team_id: registry.teamId,
    name: `robot$project-${projectId.slice(0, 8)}`,
    secret_hash: hashSecret(secret),
    generation: 1,
    permissions: JSON.stringify(permissionsOfRobots),
    project_ids: JSON.stringify([projectId]),
    registry_ids: toRegistryIds(registry),
    lifetime_ms: null,
    expires_at: null,
    revoked_at: null,
    last_used_at: null,
    created_at: platform.now(),
  };
  await insertActor(platform, row);
  return { id: row.id, name: row.name, registryId: registry.id, createdAt: row.created_at };
}

/** Its secret ends at once. Throws `not_found` where there is none, `conflict` as `createRobot`. */
export async function deleteRobot(platform: Platform, actor: Actor, input: RobotInput): Promise<void> {
  requirePermission(actor, 'tokens:write');
  await transact(platform, async (platform) => {
    const { registry } = await lockOwn(platform, actor, input);
    const robot = (await findRobots(platform, actor, [registry])).get(registry.id);
    if (!robot) throw new Failure('not_found', 'This registry has no robot.', { about: 'robot' });
    await deleteActor(platform, robot.id, actor.teamId);
    await recordAudit(platform, actor, { action: 'robot.delete', ...toAudited(robot, registry) });
  });
  forgetActors(platform);
}

/** Of a registry that is not managed: none. Throws `not_found`. */
export async function listRobots(platform: Platform, actor: Actor, registry: string): Promise<Robot[]> {
  requirePermission(actor, 'tokens:read');
  const robots = await findRobots(platform, actor, [await findOwnRegistry(platform, actor, registry)]);
  return [...robots.values()];
}

/** Two that make a robot for one registry take turns at its row. */
async function lockOwn(
  platform: Platform,
  actor: Actor,
  { registry: ref, projectId }: RobotInput,
): Promise<{ registry: Registry; projectId: string }> {
  const found = await (projectId === undefined
    ? findOwnRegistry(platform, actor, ref)
    : findManagedRegistry(platform, actor, { projectId, id: ref }));
  if (found?.isManaged && found.projectId !== null) {
    const managed = { projectId: found.projectId, id: found.id };
    return { registry: await lockManagedRegistry(platform, actor, managed), projectId: found.projectId };
  }
  if (!found) await findConnectionRow(platform, actor, ref, projectId);
  throw new Failure('conflict', 'This registry is not managed by a project: only those have a robot.', {
    about: 'registry',
  });
}

/** The live robots of these registries, by registry, for core functions that have authorised already. */
export async function findRobots(
  { db }: Platform,
  { teamId }: Actor,
  registries: readonly Registry[],
): Promise<Map<string, Robot>> {
  const rows = await db
    .selectFrom('actors')
    .select(['id', 'name', 'registry_ids', 'created_at'])
    .where('team_id', '=', teamId)
    .where('kind', '=', 'robot')
    .where('registry_ids', 'in', orNone(registries.map(toRegistryIds)))
    .where('revoked_at', 'is', null)
    .execute();
  const robots = rows.map(({ id, name, registry_ids, created_at }): Robot => {
    const [registryId = ''] = JSON.parse(registry_ids ?? '[]') as string[];
    return { id, name, registryId, createdAt: created_at };
  });
  return new Map(robots.map((robot) => [robot.registryId, robot]));
}

const toRegistryIds = ({ id }: { id: string }) => JSON.stringify([id]);

const toAudited = ({ id, name, registryId }: Robot, registry: Registry) => ({
  target: { kind: 'robot', id, name },
  detail: { registryId, registry: registry.name, projectId: registry.projectId },
});

const robotExists = () =>
  new Failure(
    'conflict',
    'Credentials for this registry exist already and are shown only once. Delete them first to make new ones.',
    { about: 'robot' },
  );
