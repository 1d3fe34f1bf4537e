import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { S3Client } from '@aws-sdk/client-s3';
import { requireObjectKey } from './object-key.ts';
import { findPlace } from './s3-place.ts';
import { openQuick, type Quick } from './s3-quick.ts';

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

export type Bucket = {
  client: S3Client;
  /** For what may be silent for long: bytes that a slow client of ours reads, and work that the server does before it answers. */
  patient: S3Client;
  quick: Quick;
  name: string;
  prefix: string;
};

const connectMs = 5_000;
/** From the first byte of a request to the head of its answer; the largest part on a line of 1 MB/s is just in it. */
const requestMs = 90_000;
/** Without a byte in either direction. With all attempts it stays below the minute after which most proxies give us up. */
const silenceMs = 15_000;
const attemptsMax = 3;

/** How long the server may take to copy or put together so many bytes. */
export const workMs = (bytes: number) => 20_000 + Math.ceil(bytes / 20_000);

export function openBucket({ bucket, prefix, endpoint, region, isPathStyle }: S3Location, now = Date.now): Bucket {
  // Each socket is held by a request of a client: with a limit, some slow pulls would keep all pushes waiting.
  const sockets = { keepAlive: true, maxSockets: Number.POSITIVE_INFINITY };
  const agents = { httpAgent: new HttpAgent(sockets), httpsAgent: new HttpsAgent(sockets) };
  const open = (socketTimeout: number) => openClient({ endpoint, region, isPathStyle }, { ...agents, socketTimeout });
  // What stalls with the patient one is found in s3-read.ts.
  const client = open(silenceMs);
  const quick = openQuick(() => findPlace(client, bucket, prefix, now));
  return { client, patient: open(0), quick, name: bucket, prefix };
}

type Connection = { httpAgent: HttpAgent; httpsAgent: HttpsAgent; socketTimeout: number };

function openClient(
  { endpoint, region, isPathStyle }: Pick<S3Location, 'endpoint' | 'region' | 'isPathStyle'>,
  connection: Connection,
): S3Client {
  return new S3Client({
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
      ...connection,
    },
  });
}

const defaultRegion = () => process.env.AWS_REGION ?? process.env.AWS_DEFAULT_REGION ?? 'us-east-1';

/** What commands need to name an object. */
export function addressOf({ name, prefix }: Bucket, key: string): { Bucket: string; Key: string } {
  return { Bucket: name, Key: placeOf(prefix, requireObjectKey(key)) };
}

export const placeOf = (prefix: string, name: string) => (prefix === '' ? name : `${prefix}/${name}`);
