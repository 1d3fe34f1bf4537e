import { DeleteObjectCommand, GetBucketVersioningCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import type { BlobStore } from '#core/platform.ts';
import { requireObjectKey } from './object-key.ts';
import { addressOf, type Bucket, openBucket, placeOf, type S3Location } from './s3-bucket.ts';
import { rethrow } from './s3-errors.ts';
import { joinObjects } from './s3-join.ts';
import { abortUploads } from './s3-multipart.ts';
import { findSize, openObjectStream } from './s3-read.ts';
import { writeStream } from './s3-write.ts';

// An object `ab/ab12…` is `<prefix>/ab/ab12…` in the bucket. Small ones are one request, others a multipart upload: both
// appear whole or not at all. Nothing here lists objects; unfinished uploads are listed only below the key being removed.

export type S3Store = BlobStore & {
  /** Whether the bucket keeps what is removed. Throws where we may not know. */
  keepsVersions(): Promise<boolean>;
  close(): void;
};

/**
 * Opens nothing yet: a bucket that is not there, or not ours, is found out by `check`. `now` signs: where this machine's clock
 * is wrong by minutes, signed URLs would be over before they are given.
 */
export function openS3Store(location: S3Location, { redirects = false, now = Date.now } = {}): S3Store {
  const bucket = openBucket(location, now);
  return {
    write: (key, bytes) => writeStream(bucket, key, bytes),
    join: (key, parts) => joinObjects(bucket, key, parts),
    read: (key, range) => openObjectStream(bucket, key, range),
    size: (key) => findSize(bucket, key),
    remove: (key, { isWhole } = { isWhole: false }) => remove(bucket, key, isWhole),
    removalsAtOnce: 16,
    ...(redirects && { redirect: (key: string) => signUrl(bucket, key) }),
    check: newCheck(bucket),
    keepsVersions: () => keepsVersions(bucket),
    close: () => {
      bucket.quick.close();
      bucket.client.destroy();
      bucket.patient.destroy();
    },
  };
}

/** Uploads first: one that is completed in between has become an object, and that goes next. */
async function remove(bucket: Bucket, key: string, isWhole: boolean): Promise<void> {
  const address = addressOf(bucket, key);
  if (!isWhole) await abortUploads(bucket, key);
  if (await bucket.quick.remove(key)) return;
  await bucket.client.send(new DeleteObjectCommand(address)).catch(rethrow);
}

/** Less than an object stays after its last use, so that who has the URL finds the bytes. */
const urlSeconds = 300;

function signUrl({ quick }: Bucket, key: string): Promise<string> {
  const query = { 'response-content-type': 'application/octet-stream' };
  return quick.signUrl(requireObjectKey(key), urlSeconds, query).catch(rethrow);
}

async function keepsVersions({ client, name }: Bucket): Promise<boolean> {
  const { Status } = await client.send(new GetBucketVersioningCommand({ Bucket: name })).catch(rethrow);
  return Status === 'Enabled';
}

const checkEveryMs = 10_000;
const checkTimeoutMs = 5_000;

/** Requests cost money: a store that took a write is not asked again for a while. One that refused is. */
function newCheck(bucket: Bucket): () => Promise<void> {
  let last: { at: number; answer: Promise<void> } | undefined;
  return () => {
    if (last && performance.now() - last.at < checkEveryMs) return last.answer;
    const asked = { at: performance.now(), answer: writeAndRemove(bucket) };
    last = asked;
    asked.answer.catch(() => {
      if (last === asked) last = undefined;
    });
    return asked.answer;
  };
}

/** Always the same name: what a killed process leaves of it, the next check takes away. */
async function writeAndRemove({ client, name, prefix }: Bucket): Promise<void> {
  const address = { Bucket: name, Key: placeOf(prefix, '.check') };
  const options = { abortSignal: AbortSignal.timeout(checkTimeoutMs) };
  await client.send(new PutObjectCommand({ ...address, Body: Buffer.from('check') }), options).catch(rethrow);
  await client.send(new DeleteObjectCommand(address), options).catch(rethrow);
}
