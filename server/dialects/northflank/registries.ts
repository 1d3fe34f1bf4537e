import type { FastifyInstance, FastifyRequest } from 'fastify';
import { listConnections } from '#core/connection-lists.ts';
import type { Connection } from '#core/connection-rows.ts';
import { createConnection, deleteConnection, revealConnection, updateConnection } from '#core/connections.ts';
import type { Platform } from '#core/platform.ts';
import { readProjectSlugs } from '#core/project-slugs.ts';
import { queryOf } from '#http/query.ts';
import { actorOf } from '#http/sign-in.ts';
import { fromAddBody, fromUpdateBody } from './bodies.ts';
import { pageOf, toPagination } from './pages.ts';
import { toAdded, toListed, toRevealed } from './wire.ts';

type CredentialPath = { Params: { credentialId: string } };

/** Sets of registry credentials: the connections of the team, by their slugs. Every success is a 200 with JSON. */
export function bindRegistries(app: FastifyInstance, platform: Platform): void {
  app.get('', async (request) => {
    const page = pageOf(queryOf(request));
    const { items, nextCursor } = await listConnections(platform, actorOf(request), page);
    const slugs = await slugsOf(platform, items);
    return {
      data: { credentials: items.map((connection) => toListed(connection, slugs)) },
      pagination: toPagination(items.length, nextCursor, page.limit),
    };
  });

  app.post('', async (request) => {
    const connection = await createConnection(platform, actorOf(request), fromAddBody(request.body));
    return { data: toAdded(connection, await slugsOf(platform, [connection])) };
  });

  // Without a HEAD beside it: a look at nothing would be noted as a secret seen.
  app.get<CredentialPath>('/:credentialId', { exposeHeadRoute: false }, async (request) => {
    const revealed = await revealConnection(platform, actorOf(request), request.params.credentialId);
    return { data: toRevealed(revealed, await slugsOf(platform, [revealed.connection])) };
  });

  const update = async (request: FastifyRequest<CredentialPath>) => {
    const change = fromUpdateBody(request.body);
    await updateConnection(platform, actorOf(request), { ...change, connection: request.params.credentialId });
    return { data: {} };
  };
  app.patch<CredentialPath>('/:credentialId', update);
  app.post<CredentialPath>('/:credentialId/modify', update);

  app.delete<CredentialPath>('/:credentialId', async (request) => {
    await deleteConnection(platform, actorOf(request), { connection: request.params.credentialId });
    return { data: {} };
  });
}

const slugsOf = (platform: Platform, connections: readonly Connection[]) =>
  readProjectSlugs(
    platform,
    connections.flatMap(({ projectIds }) => projectIds ?? []),
  );
