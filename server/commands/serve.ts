import { readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { createSecureContext } from 'node:tls';
import type { FastifyInstance } from 'fastify';
import { endTurns } from '#core/check-turns.ts';
import { Failure } from '#core/failure.ts';
import { doomAbandonedWriters } from '#core/objects.ts';
import { putBackAbandonedOperations } from '#core/operation-runs.ts';
import type { Log, Platform } from '#core/platform.ts';
import { flushRefusedSignIns } from '#core/refused-sign-ins.ts';
import { requireMasterKeys } from '#core/sealed-rows.ts';
import { listSigningKeys } from '#core/signing-keys.ts';
import { stopListening } from '#http/draining.ts';
import { tellChecks } from '#http/told-checks.ts';
import { startJobs, startRenewals } from '#jobs/jobs.ts';
import { type AppOptions, buildApp } from '#server/app.ts';
import { type Config, type Environment, readConfig, regionsOf, siteOf } from '#server/config.ts';
import { isWildcardAddress } from '#server/config-values.ts';
import { prepareDataDir } from '#server/data-dir.ts';
import { ensureFirstKey, type FirstStart } from '#server/first-key.ts';
import { openLog } from '#server/log.ts';
import { openPlatform, placeOfStore, type ServedInstallation } from '#server/open-platform.ts';
import { openSecrets } from '#server/seal.ts';
import { type ServeLock, takeServeLock } from '#server/serve-lock.ts';
import { awaitStopSignal } from '#server/stop-signal.ts';
import { printFaults } from './config.ts';
import { welcomeText } from './welcome.ts';

/** `lading serve`: everything in one process, until it is told to stop. Answers the exit code. */
export async function serve(environment: Environment): Promise<number> {
  const answer = readConfig(environment);
  if ('faults' in answer) return printFaults(answer.faults);
  const { config } = answer;
  const stopSignal = awaitStopSignal();
  const tls = readTls(config);
  prepareDataDir(config.dataDir);
  const lock = takeServeLock(config.dataDir);
  try {
    const log = openLog({ level: config.logLevel });
    surviveSmallFaults(log);
    const installation = await openPlatform(config, log, openSecrets(config, config.dataDir));
    try {
      await run({ config, installation, lock, tls, log, stopSignal });
    } finally {
      await installation.close();
    }
  } finally {
    lock.release();
  }
  return 0;
}

/** One forgotten promise, or a log collector that went away, must not end every push in flight. */
function surviveSmallFaults(log: Log): void {
  process.on('unhandledRejection', (error) => log.error({ err: error }, 'a promise was forgotten'));
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
}

type Run = {
  config: Config;
  installation: ServedInstallation;
  lock: ServeLock;
  tls: AppOptions['tls'];
  log: Log;
  stopSignal: Promise<NodeJS.Signals>;
};

async function run({ config, installation, lock, tls, log, stopSignal }: Run): Promise<void> {
  const { platform, database } = installation;
  await openSealed(platform, lock);
  if (database.engine === 'sqlite') {
    await doomAbandonedWriters(platform);
    await putBackAbandonedOperations(platform);
  }
  const firstStart = await ensureFirstKey(platform, config);
  const draining = { hasBegun: false };
  const meters = [...installation.meters];
  const checks = tellChecks({ database: () => database.check(), store: installation.checkStore }, log);
  const app = await buildApp(platform, {
    site: siteOf(config),
    tls,
    checks,
    metricsToken: config.metricsToken,
    draining,
    meters,
  });
  await listen(app, config);
  if (firstStart) sayWelcome(app, config, firstStart);
  const jobs = startJobs(platform, config);
  const renewals = startRenewals(platform);
  meters.push(jobs.meter, renewals.meter);
  warnOfNames(config, log);
  log.info({ data: config.dataDir, database: database.engine, store: placeOfStore(config) }, 'lading serves');
  // Where nobody asks whether we are ready, the log says so even so.
  checks.store?.().catch(() => {});
  const signal = await stopSignal;
  draining.hasBegun = true;
  const jobsEnd = jobs.stop();
  await serveOn(config, log, signal);
  log.info({ signal }, 'stopping: requests in flight are finished, new ones refused');
  endTurns(platform);
  const { shutdownTimeoutMs: timeoutMs } = config;
  await Promise.all([drain(app, log, timeoutMs), Promise.race([jobsEnd, delay(timeoutMs, undefined, { ref: false })])]);
  await Promise.race([renewals.stop(), delay(renewalEndMs, undefined, { ref: false })]);
  await flushRefusedSignIns(platform, { all: true });
  log.info({}, 'stopped');
}

/** A master key that is missing or wrong stops the start, and not the first `docker login` or pull from elsewhere. */
async function openSealed(platform: Platform, lock: ServeLock): Promise<void> {
  await requireMasterKeys(platform);
  // Makes the first of these keys, and with it the master key where none is configured.
  await listSigningKeys(platform);
  lock.describe({ masterKeyIds: platform.secrets.keyIds() });
}

/** A renewal that waits for a database that is away must not keep the process. */
const renewalEndMs = 5_000;

/** Whoever chooses between several servers takes a while to see that this one is not ready any more. */
async function serveOn({ shutdownDelayMs }: Config, log: Log, signal: NodeJS.Signals): Promise<void> {
  if (shutdownDelayMs === 0) return;
  log.info({ signal }, `not ready any more; requests are served for another ${shutdownDelayMs / 1000} s`);
  await delay(shutdownDelayMs);
}

/** Ends what listens and what is idle at once, what works when it is done, and what is still there after a while. */
async function drain(app: FastifyInstance, log: Log, timeoutMs: number): Promise<void> {
  await stopListening(app.server);
  const closed = app.close();
  // A connection whose request ends during the drain would else be kept open for the next one.
  const sweeper = setInterval(() => app.server.closeIdleConnections(), 100);
  const killer = setTimeout(() => {
    log.warn({}, `requests were still running after ${timeoutMs / 1000} s and are cut off`);
    app.server.closeAllConnections();
  }, timeoutMs);
  await closed;
  clearInterval(sweeper);
  clearTimeout(killer);
}

async function listen(app: FastifyInstance, { listen: { host, port } }: Config): Promise<void> {
  const listenTextResolver = (address: string) => `listening on ${address}`;
  try {
    await app.listen({ host, port, listenTextResolver });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // A machine without IPv6 has no `::`, and every IPv4 address is what is left of "every address".
    if (host === '::' && code === 'EAFNOSUPPORT') {
      await app.listen({ host: '0.0.0.0', port, listenTextResolver });
      return;
    }
    const cause = listenFaults[code ?? ''] ?? `The system says: ${(error as Error).message}.`;
    throw new Failure('unavailable', `Cannot listen on ${host} port ${port} (LADING_LISTEN). ${cause}`);
  }
}

const listenFaults: Readonly<Record<string, string>> = {
  EADDRINUSE: 'Another program listens there.',
  EACCES: 'Ports below 1024 need privileges: choose a higher one.',
  EADDRNOTAVAIL: 'This machine has no such address.',
  ENOTFOUND: 'There is no host of this name.',
};

function sayWelcome(app: FastifyInstance, config: Config, firstStart: FirstStart): void {
  const { port } = app.server.address() as AddressInfo;
  const [region] = regionsOf({ ...config, listen: { ...config.listen, port } });
  const scheme = config.publicUrl ? new URL(config.publicUrl).protocol : config.tlsCert ? 'https:' : 'http:';
  const isTerminal = process.stdout.isTTY === true;
  const text = welcomeText({ ...firstStart, url: `${scheme}//${region?.host}`, isTerminal });
  // Beside a log of JSON lines, not in it.
  (isTerminal ? process.stdout : process.stderr).write(`${text}\n`);
}

function warnOfNames({ listen, publicUrl, regions }: Config, log: Log): void {
  if (!isWildcardAddress(listen) || publicUrl !== undefined || regions !== undefined) return;
  log.warn(
    {},
    'LADING_PUBLIC_URL is not set while listening on every address: clients are sent back under whatever name they use',
  );
}

function readTls({ tlsCert, tlsKey }: Config): AppOptions['tls'] {
  if (tlsCert === undefined || tlsKey === undefined) return undefined;
  const tls = { cert: readPem('LADING_TLS_CERT', tlsCert), key: readPem('LADING_TLS_KEY', tlsKey) };
  try {
    createSecureContext(tls);
  } catch (error) {
    throw new Failure(
      'unavailable',
      `LADING_TLS_CERT and LADING_TLS_KEY do not make a certificate and its key in PEM form: ${(error as Error).message}.`,
    );
  }
  return tls;
}

function readPem(setting: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new Failure('unavailable', `${setting} cannot be read: ${(error as Error).message}.`);
  }
}
