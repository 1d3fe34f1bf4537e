import { GetObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { startS3 } from '#test/servers/s3.ts';

/** A bucket on an S3 server of its own, which keeps its files in a directory of the benchmark's. */
export type BenchBucket = {
  name: string;
  endpoint: string;
  port: number;
  region: string;
  credentials: { accessKeyId: string; secretAccessKey: string };
  pid: number;
  /** Where its object can be got or put for an hour, without another signature: `/bucket/key?X-Amz-…`. */
  signedPath: (method: 'GET' | 'PUT', key: string) => Promise<string>;
  stop: () => Promise<void>;
};

const signedSeconds = 3600;

export async function openBucket(directory: string): Promise<BenchBucket> {
  const { client, makeBucket, ...server } = await startS3({ directory });
  const name = await makeBucket();
  return {
    ...server,
    name,
    port: Number(new URL(server.endpoint).port),
    signedPath: async (method, key) => {
      const address = { Bucket: name, Key: key };
      const command = method === 'GET' ? new GetObjectCommand(address) : new PutObjectCommand(address);
      const { pathname, search } = new URL(await getSignedUrl(client, command, { expiresIn: signedSeconds }));
      return pathname + search;
    },
  };
}
