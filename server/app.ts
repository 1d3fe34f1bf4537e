import { randomUUIDv7 } from 'node:crypto';
import {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  fastify,
  LogController,
} from 'fastify';
import { Failure } from '#core/failure.ts';
import type { Log, Platform } from '#core/platform.ts';
import { type ErrorWriter, toFailure } from '#http/errors.ts';
import { bindHealth, type HealthChecks } from '#http/health.ts';
import { bindJsonBody } from '#http/json-body.ts';
import { bindMetrics, type MetricsOptions } from '#http/metrics.ts';
import { bindRequestLog, pathOf } from '#http/request-log.ts';
import { isInRanges, plainSite, type Site } from '#http/site.ts';
import { writeNativeError } from '#native/errors.ts';
import { bindNative } from '#native/routes.ts';
import { bindOci } from '#oci/bind.ts';
import { ociErrorWriter } from '#oci/errors.ts';
import { bindToken } from '#oci/token-endpoint.ts';

export type AppOptions = {
  site?: Site;
  tls?: { cert: Buffer; key: Buffer } | undefined;
  checks?: HealthChecks;
  metricsToken?: string | undefined;
  gauges?: MetricsOptions['gauges'];
};

type Surface = { name: string; prefixes: readonly string[]; writeError: ErrorWriter };

/** Who answers what; the first prefix that fits. Errors from before any route is found are in that surface's form too. */
function listSurfaces(platform: Platform, site: Site): readonly Surface[] {
  return [
    { name: 'oci', prefixes: ['/v2', '/token'], writeError: ociErrorWriter(platform, site) },
    { name: 'native', prefixes: ['/lading'], writeError: writeNativeError },
    plain,
  ];
}

const plain: Surface = {
  name: 'operations',
  prefixes: ['/'],
  writeError: (failure, _request, reply) =>
    reply
      .code(failure ? (plainStatuses[failure.reason] ?? 400) : 500)
      .type('application/json')
      .send(JSON.stringify({ error: failure?.message ?? 'This is a fault of the server; its log says more.' })),
};

const plainStatuses: Partial<Record<Failure['reason'], number>> = {
  unauthenticated: 401,
  denied: 403,
  not_found: 404,
  too_large: 413,
  unavailable: 503,
};

function findSurface(surfaces: readonly Surface[], path: string): Surface {
  const isBelow = (prefix: string) => path === prefix || path.startsWith(prefix.endsWith('/') ? prefix : `${prefix}/`);
  return surfaces.find((surface) => surface.prefixes.some(isBelow)) ?? plain;
}

/** The whole HTTP side. It listens when it is told to. */
export async function buildApp(platform: Platform, options: AppOptions = {}): Promise<FastifyInstance> {
  const { site = plainSite, checks = {}, metricsToken: token, gauges = async () => ({}) } = options;
  const surfaces = listSurfaces(platform, site);
  const surfaceOf = (path: string) => findSurface(surfaces, path);
  const app = newApp(platform, site, options.tls, surfaceOf);
  bindRequestLog(app, platform.log);
  bindJsonBody(app);
  bindHealth(app, checks);
  bindMetrics(app, platform, { site, token, gauges, surfaceOf: (path) => surfaceOf(path).name });
  bindToken(app, platform);
  bindOci(app, platform);
  bindNative(app, platform);
  await app.ready();
  return app;
}

function newApp(
  platform: Platform,
  site: Site,
  tls: AppOptions['tls'],
  surfaceOf: (path: string) => Surface,
): FastifyInstance {
  const write = (error: unknown, request: FastifyRequest, reply: FastifyReply) =>
    writeError(platform.log, surfaceOf(pathOf(request.url)), error, request, reply);
  const app = fastify({
    ...(tls && { https: tls }),
    loggerInstance: toFastifyLog(platform.log),
    logController: logController(platform.log),
    genReqId: () => randomUUIDv7(),
    // Without listed proxies Fastify must not even look at the headers.
    trustProxy: site.trustedProxies.length > 0 && ((address) => isInRanges(address, site.trustedProxies)),
    bodyLimit: 1024 * 1024,
    // An upload may take hours; Node still bounds the time for headers. Go keeps idle connections for 90 s and must not
    // find them closed when it writes.
    requestTimeout: 0,
    keepAliveTimeout: 100_000,
    // Some proxies close what they think idle without a word; the kernel finds out.
    http: { keepAlive: true, keepAliveInitialDelay: 60_000 },
    routerOptions: { maxParamLength: 4096 },
    frameworkErrors: (error, request, reply) => write(error, request, reply),
  });
  app.setErrorHandler((error, request, reply) => write(error, request, reply));
  app.setNotFoundHandler((request, reply) => {
    const missing = new Failure('not_found', `There is no ${request.method} ${pathOf(request.url)} here.`);
    return write(missing, request, reply);
  });
  return app as unknown as FastifyInstance;
}

/** Fastify wants more methods than we use. */
function toFastifyLog(log: Log): FastifyBaseLogger {
  const own = { ...bindMethods(log), level: 'info', silent() {} };
  return { ...own, fatal: own.error, trace: own.debug, child: () => toFastifyLog(log) } as unknown as FastifyBaseLogger;
}

function bindMethods(log: Log): Log {
  return { debug: log.debug.bind(log), info: log.info.bind(log), warn: log.warn.bind(log), error: log.error.bind(log) };
}

/** Fastify's own lines are ours (`bindRequestLog`), but for answers that break off in the middle through our fault. */
function logController(log: Log): LogController {
  const controller = new LogController({ disableRequestLogging: true, requestIdLogLabel: 'id' });
  controller.streamError = (error: Error, request: FastifyRequest) => {
    if ((error as { code?: string }).code === 'ERR_STREAM_PREMATURE_CLOSE') return;
    log.error({ id: request.id, err: error }, 'an answer broke off');
  };
  return controller;
}

function writeError(log: Log, surface: Surface, error: unknown, request: FastifyRequest, reply: FastifyReply): unknown {
  const failure = toFailure(error);
  if (!failure) log.error({ id: request.id, err: error }, 'a request failed');
  return surface.writeError(failure, request, reply);
}
