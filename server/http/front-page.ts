import type { FastifyInstance } from 'fastify';

// For whoever opens the address in a browser. Without links of our own host: behind a proxy it is not ours to say.
const text = `This is Lading, a container registry platform. There is nothing to click here.

Images         docker, podman and other OCI clients push and pull below /v2/
API            /lading/v1, described by /lading/v1/openapi.json (OpenAPI 3.1)
Health         /healthz and /readyz
Documentation  README.md and docs/ beside the program; docs/api.md for the API
`;

export function bindFrontPage(app: FastifyInstance): void {
  app.get('/', async (_request, reply) => reply.type('text/plain; charset=utf-8').send(text));
}
