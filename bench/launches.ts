import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { s3ServerProgram } from '#test/servers/s3.ts';
import type { BenchBucket } from './bucket.ts';
import { databaseOf } from './databases.ts';

/** `S3` is the S3 server itself, without a registry; all replicas of a Lading share one PostgreSQL and one bucket. */
export type ServerName =
  | 'docker-registry'
  | 'zot'
  | 'lading'
  | 'S3'
  | 'docker-registry on S3'
  | 'lading on S3'
  | 'one replica'
  | 'three replicas';

/** What a server is started with. Its own directory, and what it shares with others. */
export type Place = {
  dataDir: string;
  port: number;
  bucket?: BenchBucket | undefined;
  databaseUrl?: string | undefined;
  /** Whether clients are sent to the S3 server for blobs. */
  redirects: boolean;
};

export type Launch = { command: string; args: string[]; env?: Record<string, string>; readyPath: string };

export type Kind = {
  program: string | undefined;
  /** None: the S3 server is all there is. */
  launch?: (place: Place) => Launch;
  isOnS3?: boolean;
  isLading?: boolean;
  /** How many, where they share a PostgreSQL. */
  replicas?: number;
};

export const key = `ldg_${'benchmark'.repeat(5)}`;
const masterKey = `bench:${Buffer.alloc(32, 'bench').toString('base64')}`;
const programs = {
  registry: process.env.BENCH_DOCKER_REGISTRY ?? 'docker-registry',
  zot: process.env.BENCH_ZOT,
  lading: join(import.meta.dirname, '../bin/lading'),
};
const ifS3 = (program: string) => (s3ServerProgram === undefined ? undefined : program);
const ladingOnS3 = { program: ifS3(programs.lading), launch: launchLading, isLading: true, isOnS3: true };

/** Binaries of the peers. zot and the S3 server have no Debian package: whoever has one names it. */
export const kinds: Record<ServerName, Kind> = {
  'docker-registry': { program: programs.registry, launch: launchRegistry },
  zot: { program: programs.zot, launch: launchZot },
  lading: { program: programs.lading, launch: launchLading, isLading: true },
  S3: { program: s3ServerProgram, isOnS3: true },
  'docker-registry on S3': { program: ifS3(programs.registry), launch: launchRegistry, isOnS3: true },
  'lading on S3': ladingOnS3,
  'one replica': { ...ladingOnS3, replicas: 1 },
  'three replicas': { ...ladingOnS3, replicas: 3 },
};

function launchRegistry({ dataDir, port, bucket, redirects }: Place): Launch {
  const config = {
    version: '0.1',
    log: { level: 'error', accesslog: { disabled: true } },
    storage: {
      ...(bucket
        ? { s3: registryBucket(bucket), redirect: { disable: !redirects } }
        : { filesystem: { rootdirectory: join(dataDir, 'store'), maxthreads: 1000 } }),
      cache: { blobdescriptor: 'inmemory' },
      delete: { enabled: true },
      maintenance: { uploadpurging: { enabled: false } },
    },
    http: { addr: `127.0.0.1:${port}` },
  };
  // JSON is YAML, so no second format is needed to write it.
  return { command: programs.registry, args: ['serve', writeConfig(dataDir, config)], readyPath: '/v2/' };
}

const registryBucket = ({ name, endpoint, region, credentials }: BenchBucket) => ({
  bucket: name,
  region,
  regionendpoint: endpoint,
  accesskey: credentials.accessKeyId,
  secretkey: credentials.secretAccessKey,
  secure: false,
});

function launchZot({ dataDir, port }: Place): Launch {
  const config = {
    distSpecVersion: '1.1.1',
    storage: { rootDirectory: join(dataDir, 'store'), dedupe: false, gc: false, commit: false },
    http: { address: '127.0.0.1', port: String(port) },
    log: { level: 'error', output: '/dev/null' },
  };
  return { command: programs.zot ?? 'zot', args: ['serve', writeConfig(dataDir, config)], readyPath: '/v2/' };
}

function launchLading({ dataDir, port, bucket, databaseUrl, redirects }: Place): Launch {
  const own = databaseOf(dataDir);
  const url = databaseUrl ?? own.url;
  return {
    command: programs.lading,
    args: ['serve'],
    env: {
      LADING_LISTEN: `127.0.0.1:${port}`,
      LADING_DATA_DIR: own.dataDir,
      ...(url !== undefined && { LADING_DATABASE_URL: url }),
      ...(bucket && ladingBucket(bucket)),
      ...(redirects && { LADING_STORAGE_REDIRECT: 'true' }),
      // Replicas seal with the same key, and are one registry to their clients.
      ...(databaseUrl !== undefined && { LADING_MASTER_KEY: masterKey, LADING_PUBLIC_URL: 'http://127.0.0.1' }),
      LADING_BOOTSTRAP_KEY: key,
      LADING_LOG_LEVEL: 'error',
      LADING_REGISTRY_LIMIT: '500GiB',
      // Registries that connections lead to are on this machine.
      LADING_UPSTREAM_ALLOW: '127.0.0.0/8',
    },
    readyPath: '/readyz',
  };
}

const ladingBucket = ({ name, endpoint, region, credentials }: BenchBucket) => ({
  LADING_STORAGE_URL: `s3://${name}?endpoint=${endpoint}&region=${region}&path-style=true`,
  AWS_ACCESS_KEY_ID: credentials.accessKeyId,
  AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
});

/** Of a peer that was started on this directory. */
export const configOf = (dataDir: string) => join(dataDir, 'config.json');

function writeConfig(dataDir: string, config: object): string {
  mkdirSync(dataDir, { recursive: true });
  const path = configOf(dataDir);
  writeFileSync(path, JSON.stringify(config));
  return path;
}
