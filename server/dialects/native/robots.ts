import { RobotList, RobotWithSecret } from '#contract/robots.ts';
import { refer } from '#contract/values.ts';
import type { Platform } from '#core/platform.ts';
import { type Robot as CoreRobot, createRobot, deleteRobot, listRobots } from '#core/robots.ts';
import { actorOf } from '#http/sign-in.ts';
import { about, type NativeApp, NoContent, RegistryPath, refusals } from './endpoint.ts';
import { toTime } from './wire.ts';

/** A managed registry has one robot at most, so none is named in a path. */
export function bindRobots(app: NativeApp, platform: Platform): void {
  app.post(
    '/registries/:registry/robots',
    {
      schema: {
        ...about('Registries', 'createRobot', 'tokens:write', 'Make the robot of a managed registry.'),
        params: RegistryPath,
        response: { 201: refer(RobotWithSecret), ...refusals(404, 409) },
      },
    },
    async (request, reply) => {
      const { robot, secret } = await createRobot(platform, actorOf(request), request.params);
      reply.code(201);
      return { ...toWire(robot), secret };
    },
  );

  app.get(
    '/registries/:registry/robots',
    {
      schema: {
        ...about('Registries', 'listRobots', 'tokens:read', 'List the robots of a registry: one, or none.'),
        params: RegistryPath,
        response: { 200: refer(RobotList), ...refusals(404) },
      },
    },
    async (request) => {
      const robots = await listRobots(platform, actorOf(request), request.params.registry);
      return { items: robots.map(toWire), nextCursor: null };
    },
  );

  app.delete(
    '/registries/:registry/robots',
    {
      schema: {
        ...about('Registries', 'deleteRobot', 'tokens:write', 'End the robot of a managed registry.'),
        params: RegistryPath,
        response: { 204: NoContent, ...refusals(404, 409) },
      },
    },
    async (request, reply) => {
      await deleteRobot(platform, actorOf(request), request.params);
      return reply.code(204).send(null);
    },
  );
}

const toWire = ({ id, name, registryId, createdAt }: CoreRobot) => ({
  id,
  name,
  registryId,
  createdAt: toTime(createdAt),
});
