import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Failure } from '#core/failure.ts';
import type { Platform } from '#core/platform.ts';
import { removeBlob, sendBlob } from './blobs.ts';
import { type Exchange, openExchange } from './exchange.ts';
import { listExtensions, listTags, ping, showCatalog, showReferrers } from './listings.ts';
import { putManifest, removeManifest, sendManifest } from './manifests.ts';
import { parseRoute, type Route, type RouteKind } from './routes.ts';
import { abandonUpload, beginUpload, patchUpload, putUpload, showUpload } from './uploads.ts';

type Endpoint<K extends RouteKind> = (exchange: Exchange, route: Extract<Route, { kind: K }>) => Promise<unknown>;

/** The whole of `/v2`. A HEAD is answered by its GET's endpoint, which sends no body for it. */
const endpoints: { [K in RouteKind]: Readonly<Record<string, Endpoint<K>>> } = {
  ping: { GET: ping, HEAD: ping },
  catalog: { GET: showCatalog },
  extensions: { GET: listExtensions },
  tags: { GET: listTags },
  referrers: { GET: showReferrers },
  manifest: { GET: sendManifest, HEAD: sendManifest, PUT: putManifest, DELETE: removeManifest },
  blob: { GET: sendBlob, HEAD: sendBlob, DELETE: removeBlob },
  uploads: { POST: beginUpload },
  upload: { GET: showUpload, PATCH: patchUpload, PUT: putUpload, DELETE: abandonUpload },
};

/** The data plane. Paths are read from the raw URL, because a framework's router decodes and splits them differently. */
export function bindOci(app: FastifyInstance, platform: Platform): void {
  app.register(async (plugin) => {
    // Bodies are streams of bytes here, whatever media type they claim.
    plugin.removeAllContentTypeParsers();
    plugin.addContentTypeParser('*', (_request, _payload, done) => done(null));
    // Fastify would refuse a type that it cannot read, even an empty one. Endpoints that care look at the raw headers.
    plugin.addHook('onRequest', (request, _reply, done) => {
      if (request.raw.headers['content-type'] !== undefined) request.headers = { 'content-type': undefined };
      done();
    });
    const handler = (request: FastifyRequest, reply: FastifyReply) => answer(platform, request, reply);
    // OPTIONS too, which nothing answers: on a path that exists it is a wrong method, not a missing path.
    const method = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];
    for (const url of ['/v2', '/v2/', '/v2/*']) plugin.route({ method, url, handler, exposeHeadRoute: false });
  });
}

async function answer(platform: Platform, request: FastifyRequest, reply: FastifyReply) {
  reply.header('Docker-Distribution-Api-Version', 'registry/2.0');
  const route = parseRoute(request.raw.url ?? '');
  if (!route) throw new Failure('not_found', 'There is nothing at this path.');
  const methods = endpoints[route.kind] as Readonly<Record<string, Endpoint<RouteKind>>>;
  const endpoint = methods[request.method];
  if (!endpoint) {
    reply.header('Allow', Object.keys(methods).join(', '));
    throw new Failure('unsupported', `${request.method} is not possible here.`);
  }
  return endpoint(await openExchange(platform, route, request, reply), route);
}
