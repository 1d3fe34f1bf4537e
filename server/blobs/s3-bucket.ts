import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { S3Client } from '@aws-sdk/client-s3';
import { requireObjectKey } from './object-key.ts';

/** Where objects are kept. What is undefined comes from the environment, as in every AWS client; so do credentials. */
export type S3Location = {
  bucket: string;
  /** Without slashes at its ends; empty: the bucket is ours alone. */
  prefix: string;
  endpoint: string | undefined;
  region: string | undefined;
  /** `endpoint/bucket/key` instead of `bucket.endpoint/key`. */
  isPathStyle: boolean;
};

export type Bucket = { client: S3Client; name: string; prefix: string };

const connectMs = 5_000;
/** From the first byte of a request to the head of its answer; the largest part on a line of 1 MB/s is just in it. */
const requestMs = 90_000;
const attemptsMax = 4;

export function openBucket({ bucket, prefix, endpoint, region, isPathStyle }: S3Location): Bucket {
  // Each socket is held by a request of a client: with a limit, some slow pulls would keep all pushes waiting.
  const sockets = { keepAlive: true, maxSockets: Number.POSITIVE_INFINITY };
  const client = new S3Client({
    ...(endpoint !== undefined && { endpoint }),
    // Servers of one's own seldom have regions, but a signature must name one.
    ...(region === undefined ? endpoint !== undefined && { region: defaultRegion() } : { region }),
    forcePathStyle: isPathStyle,
    maxAttempts: attemptsMax,
    retryMode: 'standard',
    // The signature holds a SHA-256 of each part, which every server checks. Newer checksums are not known to all of them.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    // Proxies that swallow the 100 would hold up each part for seconds.
    expectContinueHeader: false,
    requestHandler: {
      connectionTimeout: connectMs,
      requestTimeout: requestMs,
      throwOnRequestTimeout: true,
      // A socket is also silent while a slow client takes its time. What stalls is found in s3-read.ts.
      socketTimeout: 0,
      httpAgent: new HttpAgent(sockets),
      httpsAgent: new HttpsAgent(sockets),
    },
  });
  return { client, name: bucket, prefix };
}

const defaultRegion = () => process.env.AWS_REGION ?? process.env.AWS_DEFAULT_REGION ?? 'us-east-1';

/** What commands need to name an object. */
export function addressOf({ name, prefix }: Bucket, key: string): { Bucket: string; Key: string } {
  return { Bucket: name, Key: placeOf(prefix, requireObjectKey(key)) };
}

export const placeOf = (prefix: string, name: string) => (prefix === '' ? name : `${prefix}/${name}`);
