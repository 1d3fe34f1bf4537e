import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { connect, requestHead } from './connection.ts';
import { databaseOf, dropDatabase, makeDatabase } from './databases.ts';

export type ServerName = 'docker-registry' | 'zot' | 'lading';

export type Server = {
  name: ServerName;
  pid: number;
  port: number;
  dataDir: string;
  /** What stands before each repository: Lading's first path component is the registry. */
  prefix: string;
  startMs: number;
  /** Headers for measured requests: an access token for Lading, nothing for the peers. */
  authorize: (scopes: string[]) => Promise<Record<string, string>>;
  /** Headers for seeding, which outlasts an access token. */
  seedHeaders: Record<string, string>;
  /** User and password for clients that only speak Basic. */
  basic: string | undefined;
  stop: () => Promise<void>;
  /** Stops it and starts it again on the same data; `between` is done while it is down. */
  restart: (between?: () => Promise<void>) => Promise<Server>;
};

type Launch = { command: string; args: string[]; env?: Record<string, string>; readyPath: string };

const checkout = join(import.meta.dirname, '..');
const key = `ldg_${'benchmark'.repeat(5)}`;
const startTimeoutMs = 60_000;

/** Binaries of the peers. zot has no Debian package: whoever has one names it. */
export const binaries: Record<ServerName, string | undefined> = {
  'docker-registry': process.env.BENCH_DOCKER_REGISTRY ?? 'docker-registry',
  zot: process.env.BENCH_ZOT,
  lading: join(checkout, 'bin/lading'),
};

export function makeDataDir(): string {
  return mkdtempSync(join(process.env.BENCH_DIR ?? tmpdir(), 'lading-bench-'));
}

export async function startServer(name: ServerName, dataDir = makeDataDir()): Promise<Server> {
  const port = await freePort();
  const isLading = name === 'lading';
  if (isLading) await makeDatabase(dataDir);
  const { command, args, env, readyPath } = launches[name](dataDir, port);
  const started = performance.now();
  const log = openSync(join(dataDir, 'bench.log'), 'a');
  const child = spawn(command, args, { cwd: dataDir, env: { ...baseEnv(), ...env }, stdio: ['ignore', log, log] });
  const { pid } = child;
  // An interrupted benchmark leaves no server behind that the next one would share the machine with.
  process.once('exit', () => child.kill('SIGKILL'));
  if (pid === undefined) throw new Error(`${name} could not be started: is ${command} installed?`);
  await waitUntilReady(name, child, port, readyPath, join(dataDir, 'bench.log'));
  const stop = () => stopChild(child);
  return {
    name,
    pid,
    port,
    dataDir,
    prefix: isLading ? 'default/' : '',
    startMs: performance.now() - started,
    authorize: (scopes) => (isLading ? accessToken(port, scopes) : Promise.resolve({})),
    seedHeaders: isLading ? { Authorization: `Bearer ${key}` } : {},
    basic: isLading ? `bench:${key}` : undefined,
    stop: async () => {
      await stop();
      if (isLading) await dropDatabase(dataDir);
      rmSync(dataDir, { recursive: true, force: true });
    },
    restart: async (between) => {
      await stop();
      await between?.();
      return startServer(name, dataDir);
    },
  };
}

const launches: Record<ServerName, (dataDir: string, port: number) => Launch> = {
  'docker-registry': (dataDir, port) => {
    const config = {
      version: '0.1',
      log: { level: 'error', accesslog: { disabled: true } },
      storage: {
        filesystem: { rootdirectory: join(dataDir, 'store'), maxthreads: 1000 },
        cache: { blobdescriptor: 'inmemory' },
        delete: { enabled: true },
        maintenance: { uploadpurging: { enabled: false } },
      },
      http: { addr: `127.0.0.1:${port}` },
    };
    // JSON is YAML, so no second format is needed to write it.
    return { command: binary('docker-registry'), args: ['serve', writeConfig(dataDir, config)], readyPath: '/v2/' };
  },
  zot: (dataDir, port) => {
    const config = {
      distSpecVersion: '1.1.1',
      storage: { rootDirectory: join(dataDir, 'store'), dedupe: false, gc: false, commit: false },
      http: { address: '127.0.0.1', port: String(port) },
      log: { level: 'error', output: '/dev/null' },
    };
    return { command: binary('zot'), args: ['serve', writeConfig(dataDir, config)], readyPath: '/v2/' };
  },
  lading: (dataDir, port) => ({
    command: binary('lading'),
    args: ['serve'],
    env: {
      LADING_LISTEN: `127.0.0.1:${port}`,
      LADING_DATA_DIR: databaseOf(dataDir).dataDir,
      ...withUrl(databaseOf(dataDir).url),
      LADING_BOOTSTRAP_KEY: key,
      LADING_LOG_LEVEL: 'error',
      LADING_REGISTRY_LIMIT: '500GiB',
      // Registries that connections lead to are on this machine.
      LADING_UPSTREAM_ALLOW: '127.0.0.0/8',
    },
    readyPath: '/readyz',
  }),
};

const withUrl = (url: string | undefined): Record<string, string> => (url ? { LADING_DATABASE_URL: url } : {});

function binary(name: ServerName): string {
  const path = binaries[name];
  if (path === undefined) throw new Error(`no binary of ${name} is known: see bench/README.md`);
  return path;
}

/** Of a peer that was started on this directory. */
export const configOf = (dataDir: string) => join(dataDir, 'config.json');

function writeConfig(dataDir: string, config: object): string {
  const path = configOf(dataDir);
  writeFileSync(path, JSON.stringify(config));
  return path;
}

/** Settings of the person who runs this must not reach the servers. */
function baseEnv(): Record<string, string> {
  const { PATH = '', HOME = '', BENCH_NODE_OPTIONS: options } = process.env;
  return { PATH, HOME, ...(options !== undefined && { NODE_OPTIONS: options }) };
}

async function accessToken(port: number, scopes: string[]): Promise<Record<string, string>> {
  const connection = await connect(port);
  const query = scopes.map((scope) => `&scope=${encodeURIComponent(scope)}`).join('');
  const authorization = `Basic ${Buffer.from(`bench:${key}`).toString('base64')}`;
  const request = requestHead('GET', `/token?service=bench${query}`, { Authorization: authorization });
  const reply = await connection.send(request, 'keep');
  connection.close();
  if (reply.status !== 200) throw new Error(`/token answered ${reply.status}: ${reply.body}`);
  return { Authorization: `Bearer ${JSON.parse(reply.body.toString()).token}` };
}

async function waitUntilReady(name: string, child: ChildProcess, port: number, path: string, log: string) {
  const until = performance.now() + startTimeoutMs;
  while (performance.now() < until) {
    if (child.exitCode !== null) break;
    const status = await connect(port).then(
      async (connection) => {
        const reply = await connection.send(requestHead('GET', path, { Connection: 'close' })).catch(() => undefined);
        connection.close();
        return reply?.status;
      },
      () => undefined,
    );
    if (status === 200) return;
    await delay(10);
  }
  child.kill('SIGKILL');
  throw new Error(`${name} did not become ready:\n${readFileSync(log, 'utf8').slice(-2000)}`);
}

async function stopChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 15_000);
  await gone;
  clearTimeout(timer);
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const address = probe.address();
  probe.close();
  if (address === null || typeof address === 'string') throw new Error('no free port');
  return address.port;
}

/** The scope that lets a client do everything in one repository. */
export function scopeOf(server: Server, repository: string): string {
  return `repository:${server.prefix}${repository}:pull,push,delete`;
}

/** The path of an upload session, with the digest that ends it where there is one. */
export function sessionPath(location: string, digest?: string): string {
  const url = new URL(location, 'http://127.0.0.1');
  if (digest !== undefined) url.searchParams.set('digest', digest);
  return url.pathname + url.search;
}
