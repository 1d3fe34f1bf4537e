import type { FastifyInstance, FastifyRequest } from 'fastify';
import { createConnection } from '#core/connections.ts';
import type { Platform } from '#core/platform.ts';
import { chooseProject } from '#core/project-choice.ts';
import {
  deleteProjectConnection,
  getProjectRegistry,
  listProjectRegistries,
  updateProjectConnection,
} from '#core/project-registries.ts';
import { createRobot, deleteRobot } from '#core/robots.ts';
import { actorOf } from '#http/sign-in.ts';
import { fromChange, fromNewRegistry } from './body.ts';
import { toContainerRegistry, toCredentials, toExternal } from './wire.ts';

type RegistryPath = { Params: { id: string } };

/** Managed registries and connections of one project, together. */
export function bindContainerRegistries(app: FastifyInstance, platform: Platform): void {
  const { regions } = platform.config;

  app.get('/', async (request) => {
    const registries = await listProjectRegistries(platform, actorOf(request), await projectOf(platform, request));
    return { container_registries: registries.map((one) => toContainerRegistry(one, regions)) };
  });

  app.get<RegistryPath>('/:id', async (request) => {
    const registry = await getProjectRegistry(platform, actorOf(request), await refOf(platform, request));
    return { container_registry: toContainerRegistry(registry, regions) };
  });

  app.post('/', async (request) => {
    const projects = [await projectOf(platform, request)];
    const input = { ...fromNewRegistry(request.body), projects };
    return { container_registry: toExternal(await createConnection(platform, actorOf(request), input)) };
  });

  app.patch<RegistryPath>('/:id', async (request) => {
    const input = { ...(await refOf(platform, request)), ...fromChange(request.body) };
    return { container_registry: toExternal(await updateProjectConnection(platform, actorOf(request), input)) };
  });

  app.delete<RegistryPath>('/:id', async (request) => {
    await deleteProjectConnection(platform, actorOf(request), await refOf(platform, request));
    return { deleted: true };
  });
}

/** Of managed registries. To end them is ours: the vendor has no call for it, and without one nothing could be rotated. */
export function bindCredentials(app: FastifyInstance, platform: Platform): void {
  app.post<RegistryPath>('/:id/credentials', async (request, reply) => {
    const made = await createRobot(platform, actorOf(request), await robotOf(platform, request));
    return reply.code(201).send({ container_registry: toCredentials(made, platform.config.regions) });
  });

  app.delete<RegistryPath>('/:id/credentials', async (request) => {
    await deleteRobot(platform, actorOf(request), await robotOf(platform, request));
    return { deleted: true };
  });
}

const refOf = async (platform: Platform, request: FastifyRequest<RegistryPath>) => ({
  projectId: await projectOf(platform, request),
  id: request.params.id,
});

const robotOf = async (platform: Platform, request: FastifyRequest<RegistryPath>) => ({
  projectId: await projectOf(platform, request),
  registry: request.params.id,
});

async function projectOf(platform: Platform, request: FastifyRequest): Promise<string> {
  const named = request.headers['x-nodion-project'];
  // An empty header is one that a client had nothing to put in.
  const { id } = await chooseProject(platform, actorOf(request), named?.toString() || undefined);
  return id;
}
