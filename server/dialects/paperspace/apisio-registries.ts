import type { FastifyInstance } from 'fastify';
import type { Actor } from '#core/actors.ts';
import type { Connection } from '#core/connection-rows.ts';
import { testConnection } from '#core/connection-tests.ts';
import {
  createConnection,
  deleteConnection,
  getConnection,
  listConnections,
  updateConnection,
} from '#core/connections.ts';
import type { Page, Position } from '#core/page.ts';
import type { Platform } from '#core/platform.ts';
import { actorOf } from '#http/sign-in.ts';
import { fromRequired } from './body.ts';
import type { RegistryPath } from './container-registries.ts';
import { toApisioRegistry, toApisioTestResult } from './wire.ts';

/** As in the description on APIs.io: no pages, no kinds, no namespaces; changes name everything. */
export function bindApisioRegistries(app: FastifyInstance, platform: Platform): void {
  app.get('/', async (request) => (await listAll(platform, actorOf(request))).map(toApisioRegistry));

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

const pageSize = 500;

/** Newest first, as in the other form. */
async function listAll(platform: Platform, actor: Actor): Promise<Connection[]> {
  const found: Connection[] = [];
  let after: Position | null = null;
  do {
    const input = { limit: pageSize, after, sort: { by: 'createdAt' as const, descending: true } };
    const page: Page<Connection> = await listConnections(platform, actor, input);
    found.push(...page.items);
    after = page.nextCursor;
  } while (after);
  return found;
}
