import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findFreePort } from './child.ts';
import { type Lading, startLading } from './lading.ts';
import { type Balancer, type BalancerOptions, startNginx } from './nginx.ts';
import { makeDatabase, type Postgres, startPostgres } from './postgres.ts';
import { type S3Server, startS3 } from './s3.ts';

/** One of several `bin/lading serve` on the same database and bucket, each with a data directory of its own. */
export type Replica = {
  name: string;
  /** Of this replica alone, past the load balancer. */
  url: string;
  host: string;
  dataDir: string;
  /** Of its process now, or of the last one; 0 before the first. */
  pid: () => number;
  isRunning: () => boolean;
  start: () => Promise<void>;
  /** Drains it; its exit code. */
  stop: () => Promise<number | null>;
  kill9: () => Promise<void>;
  /** All it has printed, over all its starts. */
  log: () => string;
};

export type Replicas = {
  /** Of the load balancer. */
  url: string;
  host: string;
  /** The owner's API key. */
  key: string;
  replicas: readonly Replica[];
  balancer: Balancer;
  postgres: Postgres;
  databaseUrl: string;
  storageUrl: string;
  s3: S3Server;
  /** For looking into the bucket past Lading. */
  bucket: string;
  /** What each replica runs with, but for its own address and directory: for `lading verify`. */
  env: Record<string, string>;
  stop: () => Promise<void>;
};

export type ReplicasOptions = {
  count?: number;
  /** For all replicas, and for one of them. */
  env?: Record<string, string>;
  envOf?: (index: number, env: Readonly<Record<string, string>>) => Record<string, string>;
  /** Where replicas reach these, if not directly: through something that breaks. */
  databaseUrlOf?: (url: string) => Promise<string>;
  endpointOf?: (endpoint: string) => Promise<string>;
  startBalancer?: (options: BalancerOptions) => Promise<Balancer>;
  /** Where the S3 server keeps its files. */
  s3Directory?: string;
};

/**
 * Replicas behind a load balancer, nginx unless told, on one PostgreSQL and one bucket. All start at once on the empty database, as they would under
 * `docker compose up`.
 */
export async function startReplicas(options: ReplicasOptions = {}): Promise<Replicas> {
  const { count = 3, endpointOf = async (endpoint) => endpoint, databaseUrlOf = async (url) => url } = options;
  const closers: (() => Promise<unknown>)[] = [];
  const stop = async () => {
    for (const close of closers.splice(0).reverse()) await close();
  };
  try {
    const [postgres, s3] = await Promise.all([
      startPostgres(),
      startS3(options.s3Directory === undefined ? {} : { directory: options.s3Directory }),
    ]);
    closers.push(postgres.stop, s3.stop);
    const bucket = await s3.makeBucket();
    const databaseUrl = await makeDatabase(postgres.url);
    const storageUrl = `s3://${bucket}/replicas?endpoint=${await endpointOf(s3.endpoint)}&path-style=true`;
    const port = await findFreePort();
    const key = `ldg_test_${randomBytes(24).toString('hex')}`;
    const env = {
      AWS_ACCESS_KEY_ID: s3.credentials.accessKeyId,
      AWS_SECRET_ACCESS_KEY: s3.credentials.secretAccessKey,
      LADING_DATABASE_URL: await databaseUrlOf(databaseUrl),
      LADING_STORAGE_URL: storageUrl,
      LADING_MASTER_KEY: `test:${randomBytes(32).toString('base64')}`,
      LADING_PUBLIC_URL: `http://127.0.0.1:${port}`,
      LADING_TRUSTED_PROXIES: '127.0.0.1',
      ...options.env,
    };
    const envOf = (index: number) => ({ ...env, ...options.envOf?.(index, env) });
    const replicas = await Promise.all(Array.from({ length: count }, (_, index) => newReplica(index, key, envOf)));
    closers.push(() => Promise.all(replicas.map((replica) => replica.remove())));
    await Promise.all(replicas.map((replica) => replica.start()));
    const { startBalancer = startNginx } = options;
    const balancer = await startBalancer({ port, upstreams: replicas.map(({ host }) => host) });
    closers.push(balancer.stop);
    const { url, host } = balancer;
    return { url, host, key, replicas, balancer, postgres, databaseUrl, storageUrl, s3, bucket, env, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

type RemovableReplica = Replica & { remove: () => Promise<void> };

async function newReplica(
  index: number,
  key: string,
  envOf: (index: number) => Record<string, string>,
): Promise<RemovableReplica> {
  const dataDir = await mkdtemp(join(tmpdir(), `lading-replica-${index}-`));
  const port = await findFreePort();
  const starts: Lading[] = [];
  const running = () => starts.findLast(({ child }) => child.isRunning());
  const start = async () => {
    if (!running()) starts.push(await startLading({ dataDir, port, key, env: envOf(index) }));
  };
  const stop = async () => (await running()?.stop()) ?? null;
  return {
    name: `replica ${index}`,
    url: `http://127.0.0.1:${port}`,
    host: `127.0.0.1:${port}`,
    dataDir,
    pid: () => starts.at(-1)?.child.pid ?? 0,
    isRunning: () => running() !== undefined,
    start,
    stop,
    kill9: async () => {
      await running()?.kill9();
    },
    log: () => starts.map(({ child }) => child.output()).join(''),
    remove: async () => {
      await stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}
