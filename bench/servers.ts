import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { findFreePort } from '#test/servers/child.ts';
import { makeDatabase as makeDatabaseOn, startPostgres } from '#test/servers/postgres.ts';
import { type BenchBucket, openBucket } from './bucket.ts';
import { connect, requestHead } from './connection.ts';
import { databaseOf, dropDatabase, makeDatabase, serverUrl } from './databases.ts';
import { key, kinds, type Launch, type Place, type ServerName } from './launches.ts';

export type Server = {
  name: ServerName;
  pid: number;
  port: number;
  /** Replicas beside this one, which take their share of the requests. */
  others: { pid: number; port: number }[];
  dataDir: string;
  /** Where a server on S3 keeps blobs. */
  bucket: BenchBucket | undefined;
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

type Started = { pid: number; port: number; stop: () => Promise<void> };
/** What a server stands on, and what ends after it. */
type Ground = Omit<Place, 'port'> & { clear: () => Promise<void> };

const startTimeoutMs = 60_000;

export function makeDataDir(): string {
  return mkdtempSync(join(process.env.BENCH_DIR ?? tmpdir(), 'lading-bench-'));
}

export async function startServer(name: ServerName, { redirects = false } = {}): Promise<Server> {
  return startOn(name, await prepare(name, redirects));
}

async function prepare(name: ServerName, redirects: boolean): Promise<Ground> {
  const { isLading, isOnS3, replicas } = kinds[name];
  const dataDir = makeDataDir();
  const bucket = isOnS3 ? await openBucket(dataDir) : undefined;
  const postgres = replicas && serverUrl === undefined ? await startPostgres() : undefined;
  const databaseUrl = postgres ? await makeDatabaseOn(postgres.url) : undefined;
  if (isLading && !postgres) await makeDatabase(dataDir);
  const clear = async () => {
    await bucket?.stop();
    await postgres?.stop();
    if (isLading && !postgres) await dropDatabase(dataDir);
    rmSync(dataDir, { recursive: true, force: true });
  };
  return { dataDir, bucket, databaseUrl: databaseUrl ?? databaseOf(dataDir).url, redirects, clear };
}

async function startOn(name: ServerName, ground: Ground): Promise<Server> {
  const { launch, isLading = false, replicas = 1 } = kinds[name];
  const { dataDir, bucket, clear } = ground;
  const started = performance.now();
  const processes: Started[] = [];
  if (!launch && bucket) processes.push({ ...bucket, stop: async () => {} });
  else if (launch) {
    for (let n = 0; n < replicas; n++) {
      processes.push(
        await start(name, launch, n === 0 ? ground : { ...ground, dataDir: join(dataDir, `replica-${n}`) }),
      );
    }
  }
  const [first, ...others] = processes;
  if (!first) throw new Error(`${name} cannot be started`);
  const stop = () => Promise.all(processes.map((each) => each.stop()));
  return {
    ...first,
    name,
    others,
    dataDir,
    bucket,
    prefix: isLading ? 'default/' : '',
    startMs: performance.now() - started,
    authorize: (scopes) => (isLading ? accessToken(first.port, scopes) : Promise.resolve({})),
    seedHeaders: isLading ? { Authorization: `Bearer ${key}` } : {},
    basic: isLading ? `bench:${key}` : undefined,
    stop: async () => {
      await stop();
      await clear();
    },
    restart: async (between) => {
      await stop();
      await between?.();
      return startOn(name, ground);
    },
  };
}

async function start(name: ServerName, launch: (place: Place) => Launch, ground: Ground): Promise<Started> {
  const port = await findFreePort();
  const { dataDir } = ground;
  mkdirSync(dataDir, { recursive: true });
  const { command, args, env, readyPath } = launch({ ...ground, port });
  const log = openSync(join(dataDir, 'bench.log'), 'a');
  const child = spawn(command, args, { cwd: dataDir, env: { ...baseEnv(), ...env }, stdio: ['ignore', log, log] });
  const { pid } = child;
  // An interrupted benchmark leaves no server behind that the next one would share the machine with.
  process.once('exit', () => child.kill('SIGKILL'));
  if (pid === undefined) throw new Error(`${name} could not be started: is ${command} installed?`);
  await waitUntilReady(name, child, port, readyPath, join(dataDir, 'bench.log'));
  return { pid, port, stop: () => stopChild(child) };
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
