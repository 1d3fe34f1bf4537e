import type { Static } from 'typebox';
import {
  Connection,
  ConnectionList,
  ConnectionQuery,
  ConnectionUses,
  CreateConnection,
  UpdateConnection,
} from '#contract/connections.ts';
import { refer } from '#contract/values.ts';
import { readLastTests } from '#core/connection-last-tests.ts';
import { listConnections } from '#core/connection-lists.ts';
import type { Connection as CoreConnection } from '#core/connection-rows.ts';
import type { ConnectionTest } from '#core/connection-test-rows.ts';
import { listConnectionUses } from '#core/connection-uses.ts';
import { createConnection, deleteConnection, getConnection, updateConnection } from '#core/connections.ts';
import type { Platform } from '#core/platform.ts';
import { actorOf } from '#http/sign-in.ts';
import { about, ConnectionPath, IfMatch, type NativeApp, NoContent, refusals } from './endpoint.ts';
import { toWireProject } from './projects.ts';
import { fromPageQuery, fromSort, requireMatch, toETag, toList, toTime, toTimeOrNull } from './wire.ts';

export function bindConnections(app: NativeApp, platform: Platform): void {
  app.post(
    '/connections',
    {
      schema: {
        ...about('Connections', 'createConnection', 'connections:create', 'Keep what opens a registry elsewhere.'),
        body: refer(CreateConnection),
        response: { 201: refer(Connection), ...refusals(409) },
      },
    },
    async (request, reply) => {
      const connection = await createConnection(platform, actorOf(request), withProjects(request.body));
      reply.code(201).header('etag', etagOf(connection));
      return toWireConnection(connection, undefined);
    },
  );

  app.get(
    '/connections',
    {
      schema: {
        ...about('Connections', 'listConnections', 'connections:read', 'List the connections, oldest first.'),
        querystring: ConnectionQuery,
        response: { 200: refer(ConnectionList), ...refusals() },
      },
    },
    async (request) => {
      const { search, provider, status, project, sort } = request.query;
      const filter = { search, provider, status, project, sort: fromSort<'name' | 'createdAt'>(sort) };
      const page = await listConnections(platform, actorOf(request), { ...fromPageQuery(request.query), ...filter });
      const tests = await readLastTests(
        platform,
        page.items.map(({ id }) => id),
      );
      return toList(page, (one) => toWireConnection(one, tests.get(one.id)));
    },
  );

  bindConnection(app, platform);
  bindUses(app, platform);
}

function bindConnection(app: NativeApp, platform: Platform): void {
  app.get(
    '/connections/:connection',
    {
      schema: {
        ...about('Connections', 'getConnection', 'connections:read', 'Show a connection, without what opens it.'),
        params: ConnectionPath,
        response: { 200: refer(Connection), ...refusals(404) },
      },
    },
    async (request, reply) => {
      const connection = await getConnection(platform, actorOf(request), request.params.connection);
      reply.header('etag', etagOf(connection));
      return withLastTest(platform, connection);
    },
  );

  app.patch(
    '/connections/:connection',
    {
      schema: {
        ...about('Connections', 'updateConnection', 'connections:update', 'Change a connection.'),
        params: ConnectionPath,
        headers: IfMatch,
        body: refer(UpdateConnection),
        response: { 200: refer(Connection), ...refusals(404, 409, 412) },
      },
    },
    async (request, reply) => {
      const connection = await updateConnection(platform, actorOf(request), {
        ...withProjects(request.body),
        connection: request.params.connection,
        expect: (current) => requireMatch(request.headers['if-match'], etagOf(current)),
      });
      reply.header('etag', etagOf(connection));
      return withLastTest(platform, connection);
    },
  );

  app.delete(
    '/connections/:connection',
    {
      schema: {
        ...about('Connections', 'deleteConnection', 'connections:delete', 'Forget a connection and what opens it.'),
        params: ConnectionPath,
        headers: IfMatch,
        response: { 204: NoContent, ...refusals(404, 412) },
      },
    },
    async (request, reply) => {
      await deleteConnection(platform, actorOf(request), {
        connection: request.params.connection,
        expect: (current) => requireMatch(request.headers['if-match'], etagOf(current)),
      });
      return reply.code(204).send(null);
    },
  );
}

function bindUses(app: NativeApp, platform: Platform): void {
  app.get(
    '/connections/:connection/uses',
    {
      schema: {
        ...about(
          'Connections',
          'listConnectionUses',
          'connections:read',
          'Show who may use a connection, and who did.',
        ),
        params: ConnectionPath,
        response: { 200: refer(ConnectionUses), ...refusals(404) },
      },
    },
    async (request) => {
      const { projects, uses } = await listConnectionUses(platform, actorOf(request), request.params.connection);
      return {
        projects: projects === null ? null : projects.map(toWireProject),
        uses: uses.map((use) => ({ ...use, lastUsedAt: toTime(use.lastUsedAt) })),
      };
    },
  );
}

function withProjects<Body extends { projectIds?: string[] | null }>({ projectIds, ...rest }: Body) {
  return { ...rest, projects: projectIds };
}

const etagOf = (connection: CoreConnection) => {
  const { status: _, testedAt: __, credentialsExpireAt: ___, ...changeable } = connection;
  return toETag(Object.values(changeable));
};

export async function withLastTest(platform: Platform, connection: CoreConnection) {
  const tests = await readLastTests(platform, [connection.id]);
  return toWireConnection(connection, tests.get(connection.id));
}

export function toLastTest(test: ConnectionTest | null | undefined): Static<typeof Connection>['lastTest'] {
  if (!test) return null;
  const { passed, failedStep, message, testedAt } = test;
  return { passed, failedStep, message, testedAt: toTime(testedAt) };
}

function toWireConnection(connection: CoreConnection, test: ConnectionTest | undefined): Static<typeof Connection> {
  return {
    id: connection.id,
    name: connection.name,
    slug: connection.slug,
    description: connection.description,
    provider: connection.provider,
    url: connection.url,
    host: connection.host,
    namespace: connection.namespace,
    username: connection.username,
    hasSecret: connection.hasSecret,
    hasReplacement: connection.hasReplacement,
    awsRegion: connection.awsRegion,
    tokenHost: connection.tokenHost,
    projectIds: connection.projectIds && [...connection.projectIds],
    status: connection.status,
    testedAt: toTimeOrNull(connection.testedAt),
    lastTest: toLastTest(test),
    credentialsExpireAt: toTimeOrNull(connection.credentialsExpireAt),
    createdAt: toTime(connection.createdAt),
    updatedAt: toTime(connection.updatedAt),
  };
}
