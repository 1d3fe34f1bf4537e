import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { findFreePort, startChild } from './child.ts';

export type S3Server = {
  pid: number;
  endpoint: string;
  region: string;
  credentials: { accessKeyId: string; secretAccessKey: string };
  /** For looking into the store past Lading. */
  client: S3Client;
  makeBucket: () => Promise<string>;
  stop: () => Promise<void>;
};

/** Names the program of the server, and has the tests of the store on S3 run, which start one for each of their files. */
export const s3ServerProgram = process.env.LADING_TEST_S3_SERVER;

/** The one that is named, or the Versity S3 gateway that `.ci/install` built; see decision 0030. */
export function requireS3Program(): string {
  if (s3ServerProgram !== undefined) return s3ServerProgram;
  const cache = process.env.LADING_CI_CACHE ?? join(homedir(), '.cache/lading-ci');
  const built = join(cache, 'bin/versitygw');
  if (existsSync(built)) return built;
  throw new Error('There is no S3 server: run .ci/install, or name its program with LADING_TEST_S3_SERVER.');
}

const region = 'us-east-1';

/**
 * A real S3 server of its own on a free port of the loopback address, its files in a temporary directory;
 * there is room and it takes extended attributes, which the server keeps its metadata in.
 */
export async function startS3({ directory = tmpdir() } = {}): Promise<S3Server> {
  const program = requireS3Program();
  const place = await mkdtemp(join(directory, 'lading-s3-'));
  const credentials = {
    accessKeyId: randomBytes(10).toString('hex'),
    secretAccessKey: randomBytes(20).toString('hex'),
  };
  const port = await findFreePort();
  const endpoint = `http://127.0.0.1:${port}`;
  const client = new S3Client({ endpoint, region, credentials, forcePathStyle: true, maxAttempts: 1 });
  const args = ['--port', `127.0.0.1:${port}`, '--region', region, '--keep-alive', '--quiet', 'posix', place];
  const child = await startChild(program, args, {
    env: {
      ...process.env,
      ROOT_ACCESS_KEY_ID: credentials.accessKeyId,
      ROOT_SECRET_ACCESS_KEY: credentials.secretAccessKey,
    },
    cwd: place,
    isReady: async () => (await fetch(endpoint)).status === 403,
  });
  return {
    pid: child.pid,
    endpoint,
    region,
    credentials,
    client,
    makeBucket: async () => {
      const bucket = `lading-${randomBytes(8).toString('hex')}`;
      await client.send(new CreateBucketCommand({ Bucket: bucket }));
      return bucket;
    },
    stop: async () => {
      client.destroy();
      await child.stop();
      await rm(place, { recursive: true, force: true });
    },
  };
}

/** What has tests keep their objects on the server, in a new bucket. */
export async function environmentOn({ makeBucket, endpoint, region, credentials }: S3Server) {
  const bucket = await makeBucket();
  return {
    LADING_TEST_STORAGE_URL: `s3://${bucket}?endpoint=${endpoint}&region=${region}&path-style=true`,
    AWS_ACCESS_KEY_ID: credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
  };
}
