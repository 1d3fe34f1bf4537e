import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { startGarage } from './garage.ts';
import { startVersitygw } from './versitygw.ts';

/** A server as its clients know it. */
export type S3Access = {
  endpoint: string;
  region: string;
  credentials: { accessKeyId: string; secretAccessKey: string };
  /** For looking into the store past Lading. */
  client: S3Client;
  makeBucket: () => Promise<string>;
};

export type S3Server = S3Access & { pid: number; stop: () => Promise<void> };

/** Names the program of the server. Where no server runs for all tests, those of the store on S3 start one of it. */
export const s3ServerProgram = process.env.LADING_TEST_S3_SERVER;

/** The one that is named, or the Versity S3 gateway that `.ci/install` built; see decision 0030. */
export function requireS3Program(): string {
  if (s3ServerProgram !== undefined) return s3ServerProgram;
  const cache = process.env.LADING_CI_CACHE ?? join(homedir(), '.cache/lading-ci');
  const built = join(cache, 'bin/versitygw');
  if (existsSync(built)) return built;
  throw new Error('There is no S3 server: run .ci/install, or name its program with LADING_TEST_S3_SERVER.');
}

/**
 * A real S3 server of its own on a free port of the loopback address, its files in a temporary directory.
 * Which one it is, the name of its program says.
 */
export async function startS3({ directory = tmpdir() } = {}): Promise<S3Server> {
  const program = requireS3Program();
  const start = basename(program).startsWith('garage') ? startGarage : startVersitygw;
  const place = await mkdtemp(join(directory, 'lading-s3-'));
  const { child, ...server } = await start(program, place);
  const access = accessTo(server);
  const stop = async () => {
    access.client.destroy();
    await child.stop();
    await rm(place, { recursive: true, force: true });
  };
  return { pid: child.pid, ...access, stop };
}

/** To a server that runs already. */
export function accessTo(server: Pick<S3Access, 'endpoint' | 'region' | 'credentials'>): S3Access {
  const client = new S3Client({ ...server, forcePathStyle: true, maxAttempts: 1 });
  const makeBucket = async () => {
    const bucket = `lading-${randomBytes(8).toString('hex')}`;
    await client.send(new CreateBucketCommand({ Bucket: bucket }));
    return bucket;
  };
  return { ...server, client, makeBucket };
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
