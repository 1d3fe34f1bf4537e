import { STATUS_CODES } from 'node:http';
import swagger from '@fastify/swagger';
import type { NativeApp } from './endpoint.ts';

type Document = { paths?: Record<string, Record<string, { responses?: Record<string, { description?: string }> }>> };

/** The OpenAPI 3.1 document of this API, made of the same schemas that check and write every request and answer. */
export async function bindOpenApi(app: NativeApp): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Lading API',
        version: '1',
        description: 'Everything the platform can do. docs/api.md tells how to use it.',
      },
      tags: tags.map((name) => ({ name })),
      components: { securitySchemes },
      security: [{ apiKey: [] }, { basic: [] }],
    },
    refResolver: { buildLocalReference: (json, _baseUri, _fragment, i) => String(json.$id ?? `Schema${i}`) },
    transformObject: (event) => withMeanings('openapiObject' in event ? event.openapiObject : event.swaggerObject),
  });
  app.get('/openapi.json', { schema: { hide: true } }, async (_request, reply) => {
    reply.header('cache-control', 'no-cache');
    return app.swagger();
  });
}

const tags = [
  'Registries',
  'Repositories',
  'Images',
  'Tags',
  'Tokens',
  'Clusters',
  'Connections',
  'API keys',
  'Projects',
  'Teams',
  'Audit',
  'Operations',
];

const securitySchemes = {
  apiKey: { type: 'http', scheme: 'bearer', description: 'An API key: Authorization: Bearer ldg_key_…' },
  basic: { type: 'http', scheme: 'basic', description: 'Any user name, with the API key as password.' },
} as const;

/** Where a route says nothing of an answer, its status does. */
function withMeanings<T extends object>(document: T): T {
  for (const operations of Object.values((document as Document).paths ?? {})) {
    for (const { responses = {} } of Object.values(operations)) {
      for (const [status, response] of Object.entries(responses)) {
        if (response.description === 'Default Response') response.description = STATUS_CODES[status] ?? '';
      }
    }
  }
  return document;
}
