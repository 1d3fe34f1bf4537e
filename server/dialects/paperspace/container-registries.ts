import type { FastifyInstance, FastifyRequest } from 'fastify';
import { listConnections } from '#core/connection-lists.ts';
import { testConnection } from '#core/connection-tests.ts';
import { createConnection, deleteConnection, getConnection, updateConnection } from '#core/connections.ts';
import type { Platform } from '#core/platform.ts';
import { parseCursor, parseLimit, toCursor } from '#http/paging.ts';
import { queryOf } from '#http/query.ts';
import { actorOf } from '#http/sign-in.ts';
import { fromChange, fromOptional, fromRequired } from './body.ts';
import { toContainerRegistry, toTestResult } from './wire.ts';

export type RegistryPath = { Params: { id: string } };

const limits = { fallback: 20, max: 120, isMaxStrict: true };

/** As in the vendor's own documentation. */
export function bindContainerRegistries(app: FastifyInstance, platform: Platform): void {
  app.get('/', async (request) => {
    const { limit, after, descending } = pageOf(request);
    const input = { limit, after, sort: { by: 'createdAt' as const, descending } };
    const { items, nextCursor } = await listConnections(platform, actorOf(request), input);
    const nextPage = nextCursor && toCursor({ id: String(nextCursor[0]), size: limit });
    return { hasMore: nextPage !== null, items: items.map(toContainerRegistry), nextPage };
  });

  app.post('/', async (request) => {
    const { provider = ['oci'], namespace } = fromOptional(request.body);
    const input = { ...fromRequired(request.body), provider, namespace };
    return toContainerRegistry(await createConnection(platform, actorOf(request), input));
  });

  app.get<RegistryPath>('/:id', async (request) =>
    toContainerRegistry(await getConnection(platform, actorOf(request), request.params.id)),
  );

  app.put<RegistryPath>('/:id', async (request) => {
    const input = { ...fromChange(request.body), connection: request.params.id };
    return toContainerRegistry(await updateConnection(platform, actorOf(request), input));
  });

  app.delete<RegistryPath>('/:id', async (request) =>
    toContainerRegistry(await deleteConnection(platform, actorOf(request), { connection: request.params.id })),
  );

  // A test is no mere look: HEAD is not taken for it.
  app.get<RegistryPath>('/:id/test-connection', { exposeHeadRoute: false }, async (request) =>
    toTestResult(await testConnection(platform, actorOf(request), { connection: request.params.id })),
  );
}

/** Newest first unless asked otherwise. A page goes on as long as the one before it, if no other limit is given. */
function pageOf(request: FastifyRequest) {
  const query = queryOf(request);
  const text = query.text('after');
  const cursor = text === undefined ? undefined : parseCursor(text);
  query.word('orderBy', ['dtCreated']);
  return {
    limit: parseLimit(query.text('limit'), {
      ...limits,
      fallback: Math.min(cursor?.size ?? limits.fallback, limits.max),
    }),
    after: cursor && [cursor.id],
    descending: query.word('order', ['desc', 'asc']) === 'desc',
  };
}
