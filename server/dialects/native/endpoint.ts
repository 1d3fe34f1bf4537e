// What the endpoints of this API have in common: their type, and what their documentation repeats.

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyBaseLogger, FastifyInstance, RawServerDefault } from 'fastify';
import { Type } from 'typebox';
import type { Permission } from '#core/permissions.ts';

export type NativeApp = FastifyInstance<
  RawServerDefault,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>;

type Tag =
  | 'Teams'
  | 'Projects'
  | 'Registries'
  | 'Repositories'
  | 'Images'
  | 'Tags'
  | 'Tokens'
  | 'Clusters'
  | 'Connections'
  | 'API keys'
  | 'Audit'
  | 'Operations';

/** The permission is the core's to demand; here it is only said. */
export function about(tag: Tag, operationId: string, permission: Permission, summary: string) {
  return { tags: [tag], operationId, summary, description: `Needs the permission \`${permission}\`.` };
}

export type RefusalStatus = 404 | 409 | 412;

/** Refusals as the OpenAPI document shows them: those that can meet every caller, and the endpoint's own. */
export function refusals(...statuses: RefusalStatus[]): object {
  const content = { 'application/problem+json': { schema: { $ref: 'Problem#' } } };
  const all = [400, 401, 403, ...statuses, 413, 429, 500, 503];
  return Object.fromEntries(all.map((status) => [status, { description: meanings[status], content }]));
}

const meanings: Readonly<Record<number, string>> = {
  400: 'The request is not valid.',
  401: 'No API key, or one that is unknown, expired or revoked.',
  403: 'The API key lacks the permission, or a limit is reached.',
  404: 'Not there, or not for this API key.',
  409: 'In conflict with what is there.',
  412: 'Changed since it was read (If-Match).',
  413: 'The body is too large.',
  429: 'Too many requests.',
  500: 'A fault of the server.',
  503: 'Not available now; try again.',
};

export const NoContent = Type.Null({ description: 'Done.' });

export const IfMatch = Type.Object({
  'if-match': Type.Optional(Type.String({ description: 'The ETag it had when you read it; else 412.' })),
});

const Segment = Type.String({ minLength: 1, maxLength: 255 });
const registry = Type.String({ minLength: 1, maxLength: 255, description: 'Id or name.' });
const repository = Type.String({
  minLength: 1,
  maxLength: 255,
  description: 'Name without the registry, as one path segment: backend%2Fapi.',
});

export const RegistryPath = Type.Object({ registry });
export const RepositoryPath = Type.Object({ registry, repository });
export const ImagePath = Type.Object({ registry, repository, digest: Segment });
export const TagPath = Type.Object({ registry, repository, tag: Segment });
const cluster = Type.String({ minLength: 1, maxLength: 255, description: 'Id or name.' });
export const ConnectionPath = Type.Object({
  connection: Type.String({ minLength: 1, maxLength: 255, description: 'Id or slug.' }),
});
export const ClusterPath = Type.Object({ cluster });
export const IntegrationPath = Type.Object({ registry, cluster });
export const TeamPath = Type.Object({
  team: Type.String({ minLength: 1, maxLength: 255, description: 'Its id or slug, or current.' }),
});
export const ProjectPath = Type.Object({
  project: Type.String({ minLength: 1, maxLength: 255, description: 'Id or slug.' }),
});
export const IdPath = Type.Object({ id: Segment });
