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
import type { Meter } from '#core/readings.ts';
import { bindDraining, type Draining } from '#http/draining.ts';
import { type ErrorWriter, toFailure } from '#http/errors.ts';
import { bindFrontPage } from '#http/front-page.ts';
import { bindHealth, type HealthChecks } from '#http/health.ts';
import { bindJsonBody } from '#http/json-body.ts';
import { bindMetrics } from '#http/metrics.ts';
import { bindOpenBodies } from '#http/open-bodies.ts';
import { writePlainError } from '#http/plain-errors.ts';
import { bindRateLimitHeaders } from '#http/rate-limit.ts';
import { bindRequestEnds, type RequestEnds } from '#http/request-end.ts';
import { logRequests, pathOf, withoutSecrets } from '#http/request-log.ts';
import { noteRequest } from '#http/request-notes.ts';
import { isInRanges, plainSite, type Site } from '#http/site.ts';
import { bindUnparsedRequests } from '#http/unparsed-requests.ts';
import { writeNativeError } from '#native/errors.ts';
import { bindNative } from '#native/routes.ts';
import { writeNodionError } from '#nodion/errors.ts';
import { bindNodion } from '#nodion/routes.ts';
import { writeNorthflankError } from '#northflank/errors.ts';
import { bindNorthflank } from '#northflank/routes.ts';
import { bindOci } from '#oci/bind.ts';
import { ociErrorWriter } from '#oci/errors.ts';
import { bindQuickPulls } from '#oci/quick-pull.ts';
import { bindToken } from '#oci/token-endpoint.ts';
import { writePaperspaceError } from '#paperspace/errors.ts';
import { bindPaperspace } from '#paperspace/routes.ts';
import { writeSelectelError } from '#selectel/errors.ts';
import { joinRepositoryName } from '#selectel/paths.ts';
import { bindSelectel } from '#selectel/routes.ts';

export type AppOptions = {
  site?: Site;
  tls?: { cert: Buffer; key: Buffer } | undefined;
  checks?: HealthChecks;
  metricsToken?: string | undefined;
  /** What `/metrics` asks besides; others may be added while the app runs. */
  meters?: readonly Meter[];
  /** Set by whoever ends the process. */
  draining?: Draining;
};

type Surface = {
  name: string;
  prefixes: readonly string[];
  bind: (app: FastifyInstance) => void;
  writeError: ErrorWriter;
};

/** Who answers what. Errors from before any route is found are in the form of the surface whose prefix fits, too. */
function listSurfaces(platform: Platform, site: Site): readonly Surface[] {
  const writeOciError = ociErrorWriter(platform, site);
  return [
    { name: 'oci', prefixes: ['/v2'], bind: (app) => bindOci(app, platform), writeError: writeOciError },
    { name: 'token', prefixes: ['/token'], bind: (app) => bindToken(app, platform), writeError: writeOciError },
    { name: 'native', prefixes: ['/lading'], bind: (app) => bindNative(app, platform), writeError: writeNativeError },
    {
      name: 'selectel',
      prefixes: ['/selectel', '/api/v1', '/api/v2'],
      bind: (app) => bindSelectel(app, platform, site),
      writeError: writeSelectelError,
    },
    {
      name: 'northflank',
      prefixes: ['/northflank', '/v1/integrations', '/v1/teams', '/v1/login'],
      bind: (app) => bindNorthflank(app, platform),
      writeError: writeNorthflankError,
    },
    {
      name: 'paperspace',
      prefixes: ['/paperspace', '/paperspace-apisio', '/v1/container-registries'],
      bind: (app) => bindPaperspace(app, platform),
      writeError: writePaperspaceError,
    },
    {
      name: 'nodion',
      prefixes: ['/nodion', '/v1/container_registries'],
      bind: (app) => bindNodion(app, platform),
      writeError: writeNodionError,
    },
  ];
}

/** The whole HTTP side. It listens when it is told to. */
export async function buildApp(platform: Platform, options: AppOptions = {}): Promise<FastifyInstance> {
  const { site = plainSite, checks = {}, metricsToken: token, draining = { hasBegun: false }, meters = [] } = options;
  const surfaces = listSurfaces(platform, site);
  const findSurface = (path: string) =>
    surfaces.find(({ prefixes }) => prefixes.some((prefix) => path === prefix || path.startsWith(`${prefix}/`)));
  const app = newApp(platform.log, site, options.tls, (error, request, reply) => {
    const failure = toFailure(error);
    if (!failure) platform.log.error({ id: request.id, err: error }, 'a request failed');
    if (failure?.detail.forOperator) noteRequest(request, { fault: failure.detail.forOperator });
    const writeError = findSurface(pathOf(request.url))?.writeError ?? writePlainError;
    return writeError(failure, request, reply);
  });
  const ends: RequestEnds = [logRequests(platform.log)];
  bindRequestEnds(app, ends);
  bindUnparsedRequests(app, bindOpenBodies(app));
  bindJsonBody(app);
  bindFrontPage(app);
  bindHealth(app, checks, draining);
  const nameSurface = (path: string) => findSurface(path)?.name ?? 'other';
  bindMetrics(app, platform, { site, token, ends, nameSurface, meters });
  bindRateLimitHeaders(app, platform);
  for (const surface of surfaces) surface.bind(app);
  await app.ready();
  bindQuickPulls(app.server, platform, site, ends);
  bindDraining(app.server, draining);
  return app;
}

type AnswerError = (error: unknown, request: FastifyRequest, reply: FastifyReply) => unknown;

function newApp(log: Log, site: Site, tls: AppOptions['tls'], answerError: AnswerError): FastifyInstance {
  const app = fastify({
    ...(tls && { https: tls }),
    loggerInstance: toFastifyLog(log),
    logController: newLogController(log),
    genReqId: () => randomUUIDv7(),
    rewriteUrl: ({ url = '/' }) => joinRepositoryName(toPath(url)),
    // Without listed proxies Fastify must not even look at the headers.
    trustProxy: site.trustedProxies.length > 0 && ((address) => isInRanges(address, site.trustedProxies)),
    bodyLimit: 1024 * 1024,
    // An upload may take hours; Node still bounds the time for headers. Go keeps idle connections for 90 s and must not
    // find them closed when it writes.
    requestTimeout: 0,
    // What comes while the server drains was sent before its sender could know; an answer harms nobody.
    return503OnClosing: false,
    keepAliveTimeout: 100_000,
    // Some networks drop what they think idle without a word; the kernel finds out.
    http: { keepAlive: true, keepAliveInitialDelay: 60_000 },
    routerOptions: { maxParamLength: 4096 },
    frameworkErrors: answerError,
  });
  app.setErrorHandler(answerError);
  app.setNotFoundHandler((request, reply) => {
    const missing = new Failure(
      'not_found',
      `There is no ${request.method} ${withoutSecrets(pathOf(request.url))} here.`,
    );
    return answerError(missing, request, reply);
  });
  return app as unknown as FastifyInstance;
}

/** RFC 9112, 3.2.2: a request may name the whole URL, as to a proxy, and means the path. */
const toPath = (url: string) => url.replace(/^https?:\/\/[^/?]*(?=\/)/i, '');

/** Fastify wants more methods than we use, and a child for each request, which would cost more than the rest of the log. */
function toFastifyLog(log: Log): FastifyBaseLogger {
  const at = (level: keyof Log) => (fields: object | string, message?: string) =>
    typeof fields === 'string' ? log[level]({}, fields) : log[level](fields, message ?? '');
  const [debug, info, warn, error] = [at('debug'), at('info'), at('warn'), at('error')];
  const own = { trace: debug, debug, info, warn, error, fatal: error, silent() {}, level: 'info', child: () => own };
  return own as unknown as FastifyBaseLogger;
}

/** Fastify's own lines are ours (`logRequests`), but for answers that break off in the middle through our fault. */
function newLogController(log: Log): LogController {
  const controller = new LogController({ disableRequestLogging: true, requestIdLogLabel: 'id' });
  controller.streamError = (error: Error, request: FastifyRequest) => {
    if ((error as { code?: string }).code === 'ERR_STREAM_PREMATURE_CLOSE') return;
    log.error({ id: request.id, err: error }, 'an answer broke off');
  };
  return controller;
}
