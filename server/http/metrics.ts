import type { Socket } from 'node:net';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { Failure } from '#core/failure.ts';
import { type Measurements, measure } from '#core/measurements.ts';
import type { Platform } from '#core/platform.ts';
import type { Meter, Reading } from '#core/readings.ts';
import { regionOf } from './peer.ts';
import type { RequestEnd, RequestEnds } from './request-end.ts';
import { pathOf } from './request-log.ts';
import { isSameSecret } from './secret.ts';
import { isInRanges, isLoopback, type Site } from './site.ts';

export type MetricsOptions = {
  /** Where requests are told of when they are over. */
  ends: RequestEnds;
  site: Site;
  /** What `/metrics` wants as Bearer; without one only this machine may read. */
  token: string | undefined;
  /** Which surface answers a path. */
  nameSurface: (path: string) => string;
  /** Asked anew each time. */
  meters: readonly Meter[];
};

/** Labels never name a registry, a repository or a team: those are secrets of their owners, and without number. */
export function bindMetrics(app: FastifyInstance, platform: Platform, options: MetricsOptions): void {
  const registry = new Registry();
  options.ends.push(countRequests(platform, registry, options.nameSurface));
  const gauges = newGauges(registry);
  const connections = new Gauge({
    name: 'lading_connections',
    help: 'Connections to other registries, by how their last test went.',
    labelNames: ['status'],
    registers: [registry],
  });

  const up = new Gauge({
    name: 'lading_database_up',
    help: '1 where the database answered in time. Where not, whatever is counted in it is missing here.',
    registers: [registry],
  });

  app.get('/metrics', { config: { isProbe: true } }, async (request, reply) => {
    requireReader(request, options);
    const measured = await measureInTime(platform);
    up.set(measured ? 1 : 0);
    // Old numbers of a database that is away would look like news.
    for (const gauge of gauges.values()) gauge.remove();
    connections.reset();
    if (measured) {
      for (const [key, gauge] of gauges) gauge.set(measured[key]);
      for (const [status, n] of Object.entries(measured.connections)) connections.set({ status }, n);
    }
    const whole = Registry.merge([findProcessRegistry(), registry, registryOf(options.meters)]);
    return reply
      .header('cache-control', 'no-store')
      .type(whole.contentType)
      .send(await whole.metrics());
  });
}

/** Before the scraper gives up: what the process knows by itself is most wanted when its database is away. */
async function measureInTime(platform: Platform): Promise<Measurements | undefined> {
  const { promise: late, resolve } = Promise.withResolvers<undefined>();
  const timer = setTimeout(resolve, measureTimeoutMs, undefined);
  try {
    return await Promise.race([measure(platform).catch(() => undefined), late]);
  } finally {
    clearTimeout(timer);
  }
}

const measureTimeoutMs = 5000;

function registryOf(meters: readonly Meter[]): Registry {
  const registry = new Registry();
  const byName = Map.groupBy(
    meters.flatMap((meter) => meter()),
    (reading) => reading.name,
  );
  for (const [name, readings] of byName) addReadings(registry, name, readings);
  return registry;
}

function addReadings(registry: Registry, name: string, readings: readonly Reading[]): void {
  const samples = readings.flatMap((reading) => reading.samples);
  const [first] = readings;
  if (!first) return;
  const labelNames = Object.keys(samples[0]?.labels ?? {});
  const options = { name: `lading_${name}`, help: first.help, labelNames, registers: [registry] };
  if (first.kind === 'gauge') {
    const gauge = new Gauge(options);
    for (const { labels, value } of samples) gauge.set(labels, value);
  } else {
    const counter = new Counter(options);
    for (const { labels, value } of samples) counter.inc(labels, value);
  }
}

let processRegistry: Registry | undefined;

/** Memory, CPU and the event loop belong to the process. What watches them never ends, so that no app has its own. */
function findProcessRegistry(): Registry {
  if (!processRegistry) {
    processRegistry = new Registry();
    collectDefaultMetrics({ register: processRegistry, prefix: 'lading_' });
  }
  return processRegistry;
}

function newGauges(registry: Registry): ReadonlyMap<Exclude<keyof Measurements, 'connections'>, Gauge> {
  const newGauge = (name: string, help: string) => new Gauge({ name: `lading_${name}`, help, registers: [registry] });
  return new Map([
    ['registries', newGauge('registries', 'Registries, those being deleted among them.')],
    ['registriesFailed', newGauge('registries_failed', 'Registries whose collection or deletion was given up.')],
    ['sizeBytes', newGauge('size_bytes', 'Sum of the sizes of all registries.')],
    ['reservedBytes', newGauge('reserved_bytes', 'What uploads in progress have reserved.')],
    ['uploads', newGauge('uploads', 'Upload sessions.')],
    ['operationsQueued', newGauge('operations_queued', 'Operations that wait for a worker.')],
    [
      'operationsOldestSeconds',
      newGauge('operations_oldest_seconds', 'How long ago the oldest operation that waits was asked for.'),
    ],
    ['operationsRunning', newGauge('operations_running', 'Operations that are being worked on.')],
    ['connectionsExpiring', newGauge('connections_expiring', 'Connections whose secret ends within 7 days, or has.')],
    ['removalsWaiting', newGauge('removals_waiting', 'Objects that nothing needs and that are not removed yet.')],
    ['removalsOverdue', newGauge('removals_overdue', 'Of these, what should have been gone ten minutes ago.')],
  ]);
}

function countRequests(
  platform: Platform,
  registry: Registry,
  nameSurface: (path: string) => string,
): (end: RequestEnd) => void {
  const registers = [registry];
  const labelNames = ['surface', 'route', 'method', 'status', 'region'] as const;
  const seconds = new Histogram({
    name: 'lading_http_request_seconds',
    help: 'Time from the first byte of a request to the last of its answer; its count is the number of requests.',
    labelNames,
    buckets: [0.002, 0.01, 0.05, 0.25, 1, 5, 30, 120, 600],
    registers,
  });
  const received = new Counter({ name: 'lading_received_bytes_total', help: 'Bytes read from clients.', registers });
  const sent = new Counter({ name: 'lading_sent_bytes_total', help: 'Bytes written to clients.', registers });
  const pushes = new Counter({ name: 'lading_pushes_total', help: 'Manifests pushed.', registers });
  const pulls = new Counter({ name: 'lading_pulls_total', help: 'Manifests pulled.', registers });
  const traffic = newTrafficMeter();

  return (end) => {
    const path = pathOf(end.url);
    const { method, status, route = 'none' } = end;
    const region = regionOf(platform, end).slug;
    seconds.observe({ surface: nameSurface(path), route, method, status, region }, end.ms / 1000);
    const { bytesIn, bytesOut } = traffic(end.socket);
    received.inc(bytesIn);
    sent.inc(bytesOut);
    if (isManifest.test(path)) {
      if (method === 'PUT' && status === 201) pushes.inc();
      if (method === 'GET' && status === 200) pulls.inc();
    }
  };
}

const isManifest = /^\/v2\/.+\/manifests\/[^/]+$/;

/** Bytes on the wire since the connection's last request, which no header and no stream counts as truly. */
function newTrafficMeter() {
  const counted = new WeakMap<Socket, { read: number; written: number }>();
  return (socket: Socket) => {
    const { bytesRead: read, bytesWritten: written } = socket;
    const before = counted.get(socket) ?? { read: 0, written: 0 };
    counted.set(socket, { read, written });
    return { bytesIn: Math.max(0, read - before.read), bytesOut: Math.max(0, written - before.written) };
  };
}

/** The peer of the connection counts, not what a proxy says of its client: a proxy on this machine speaks for strangers. */
function requireReader(request: FastifyRequest, { token, site }: MetricsOptions): void {
  const shown = /^Bearer (\S+)$/i.exec(request.headers.authorization ?? '')?.[1];
  if (token !== undefined && shown !== undefined && isSameSecret(shown, token)) return;
  const peer = request.socket.remoteAddress ?? '';
  const isLocal = isLoopback(peer) && !isInRanges(peer, site.trustedProxies);
  if (isLocal && request.headers['x-forwarded-for'] === undefined) return;
  throw new Failure(
    'unauthenticated',
    token === undefined
      ? 'Metrics are read from this machine only, until LADING_METRICS_TOKEN is set.'
      : 'Send LADING_METRICS_TOKEN as "Authorization: Bearer <token>".',
  );
}
