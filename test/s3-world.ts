import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import { ListMultipartUploadsCommand, ListObjectsV2Command, ListPartsCommand } from '@aws-sdk/client-s3';
import { openS3Store, type S3Store } from '#blobs/s3.ts';
import { newObjectKey } from '#core/ids.ts';
import { parseStorageUrl } from '#server/config-storage.ts';
import type { Scope } from './database.ts';
import { type FaultProxy, startFaultProxy } from './servers/fault-proxy.ts';
import { accessTo, type S3Access, s3ServerProgram, startS3 } from './servers/s3.ts';
import { testStorageUrl } from './test-store.ts';

// What tests of the store on S3 share: the server of the run, or one for a process, and a bucket for each test.

export const MiB = 1024 * 1024;
export const prefix = 'some/where';

let access: S3Access | undefined;

export const s3Server = (): S3Access => access ?? assert.fail('called outside of a test');

let isPrepared = false;

/** Registers tests that need an S3 server, or one that says why there are none. */
export function testOnS3(tests: () => void): void {
  if (testStorageUrl === undefined && s3ServerProgram === undefined) {
    test('on a real S3 server', { skip: 'npm run test:all -- --only sqlite+s3 does' }, () => {});
    return;
  }
  // Files share a process, and the server with it.
  if (!isPrepared) {
    if (testStorageUrl === undefined) startOwnServer();
    else useServerOf(testStorageUrl);
  }
  isPrepared = true;
  tests();
}

function useServerOf(url: string): void {
  const { endpoint = '', region = '' } = parseStorageUrl(url);
  const { AWS_ACCESS_KEY_ID: accessKeyId = '', AWS_SECRET_ACCESS_KEY: secretAccessKey = '' } = process.env;
  access = accessTo({ endpoint, region, credentials: { accessKeyId, secretAccessKey } });
  after(() => access?.client.destroy());
}

function startOwnServer(): void {
  let stop: (() => Promise<void>) | undefined;
  before(async () => {
    const server = await startS3();
    ({ stop, ...access } = server);
    // Credentials are what the AWS clients find, and nothing of ours has a place for them.
    process.env.AWS_ACCESS_KEY_ID = server.credentials.accessKeyId;
    process.env.AWS_SECRET_ACCESS_KEY = server.credentials.secretAccessKey;
  });
  after(() => stop?.());
}

export type Opened = { store: S3Store; bucket: string };

export async function openStore(t: Scope, { endpoint = s3Server().endpoint, redirects = false } = {}): Promise<Opened> {
  const bucket = await s3Server().makeBucket();
  const store = openS3Store({ bucket, prefix, endpoint, region: undefined, isPathStyle: true }, { redirects });
  t.after(() => store.close());
  return { store, bucket };
}

/** A store behind a proxy that spoils what the test tells it to. */
export async function openFaulty(t: Scope): Promise<Opened & { proxy: FaultProxy }> {
  const proxy = await startFaultProxy(t, s3Server().endpoint);
  return { proxy, ...(await openStore(t, { endpoint: proxy.url })) };
}

/** Everything in the bucket, finished or not, without the prefix. */
export async function listAll(bucket: string): Promise<{ objects: string[]; uploads: string[] }> {
  const [objects, uploads] = await Promise.all([
    s3Server().client.send(new ListObjectsV2Command({ Bucket: bucket })),
    s3Server().client.send(new ListMultipartUploadsCommand({ Bucket: bucket })),
  ]);
  const withoutPrefix = (key = '') => key.slice(prefix.length + 1);
  return {
    objects: (objects.Contents ?? []).map(({ Key }) => withoutPrefix(Key)),
    uploads: (uploads.Uploads ?? []).map(({ Key }) => withoutPrefix(Key)),
  };
}

export async function partsArrived(bucket: string, key: string, count: number): Promise<void> {
  for (;;) {
    const { Uploads = [] } = await s3Server().client.send(new ListMultipartUploadsCommand({ Bucket: bucket }));
    const UploadId = Uploads.find(({ Key }) => Key === `${prefix}/${key}`)?.UploadId;
    const upload = { Bucket: bucket, Key: `${prefix}/${key}`, UploadId };
    const { Parts = [] } = await s3Server().client.send(new ListPartsCommand(upload));
    if (Parts.length === count) return;
  }
}

export const empty = { objects: [], uploads: [] };
export const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
export const unavailable = (message: RegExp) => ({ reason: 'unavailable', message });

export async function* inChunks(bytes: Buffer, size = 100_000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

export async function* cutAfter(bytes: Buffer): AsyncGenerator<Uint8Array> {
  yield* inChunks(bytes);
  throw new Error('the line was cut');
}

export async function writeNew(store: S3Store, size: number): Promise<{ key: string; bytes: Buffer }> {
  const [key, bytes] = [newObjectKey(), randomBytes(size)];
  assert.equal(await store.write(key, inChunks(bytes)), size);
  return { key, bytes };
}
