import type { FastifyInstance } from 'fastify';
import { listAllConnections } from '#core/connection-lists.ts';
import { testConnection } from '#core/connection-tests.ts';
import { createConnection, deleteConnection, getConnection, updateConnection } from '#core/connections.ts';
import type { Platform } from '#core/platform.ts';
import { actorOf } from '#http/sign-in.ts';
import { fromRequired } from './body.ts';
import type { RegistryPath } from './container-registries.ts';
import { toApisioRegistry, toApisioTestResult } from './wire.ts';

/** As in the description on APIs.io: no pages, no kinds, no namespaces; changes name everything. */
export function bindApisioRegistries(app: FastifyInstance, platform: Platform): void {
  // Newest first, as in the other form.
  app.get('/', async (request) => {
    const sort = { by: 'createdAt' as const, descending: true };
    return (await listAllConnections(platform, actorOf(request), { sort })).map(toApisioRegistry);
  });

  app.post('/', async (request, reply) => {
    const input = { ...fromRequired(request.body), provider: 'oci' };
    return reply.code(201).send(toApisioRegistry(await createConnection(platform, actorOf(request), input)));
  });

  app.get<RegistryPath>('/:id', async (request) =>
    toApisioRegistry(await getConnection(platform, actorOf(request), request.params.id)),
  );

  app.put<RegistryPath>('/:id', async (request) => {
    const input = { ...fromRequired(request.body), connection: request.params.id };
    return toApisioRegistry(await updateConnection(platform, actorOf(request), input));
  });

  app.delete<RegistryPath>('/:id', async (request, reply) => {
    await deleteConnection(platform, actorOf(request), { connection: request.params.id });
    return reply.code(204).send();
  });

  // A test is no mere look: HEAD is not taken for it.
  app.get<RegistryPath>('/:id/test-connection', { exposeHeadRoute: false }, async (request) =>
    toApisioTestResult(await testConnection(platform, actorOf(request), { connection: request.params.id })),
  );
}
