import {
  DeleteObjectCommand,
  GetBucketVersioningCommand,
  ListObjectsV2Command,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import type { BlobStore, ByteRange } from '#core/platform.ts';
import { requireObjectKey } from './object-key.ts';
import { addressOf, type Bucket, openBucket, placeOf, type S3Location } from './s3-bucket.ts';
import { nameStore, rethrow } from './s3-errors.ts';
import { joinObjects } from './s3-join.ts';
import { abortUploads } from './s3-multipart.ts';
import { findSize, openObjectStream } from './s3-read.ts';
import { writeStream } from './s3-write.ts';

// An object `ab/ab12…` is `<prefix>/ab/ab12…` in the bucket. Small ones are one request, others a multipart upload: both
// appear whole or not at all. Nothing that serves
// requests lists objects; unfinished uploads are listed only below the key being removed.

export type S3Store = BlobStore & {
  /** Whether the bucket keeps what is removed. Throws where we may not know. */
  keepsVersions(): Promise<boolean>;
  /** One of the names below the prefix, whoever's, but for those that are written to try the store. */
  findAny(): Promise<string | undefined>;
  close(): void;
};

/**
 * Opens nothing yet: a bucket that is not there, or not ours, is found out by `check`. `now` signs: where this machine's clock
 * is wrong by minutes, signed URLs would be over before they are given.
 */
export function openS3Store(location: S3Location, { redirects = false, now = Date.now } = {}): S3Store {
  const bucket = openBucket(location, now);
  const naming =
    <Args extends unknown[], Answer>(work: (bucket: Bucket, ...args: Args) => Promise<Answer>) =>
    (...args: Args) =>
      work(bucket, ...args).catch((error) => {
        throw nameStore(error, location);
      });
  const check = newCheck(bucket);
  return {
    write: naming(writeStream),
    join: naming(joinObjects),
    read: naming((bucket, key: string, range?: ByteRange) => openObjectStream(bucket, key, range)),
    size: naming(findSize),
    remove: naming(remove),
    removalsAtOnce: 16,
    ...(redirects && { redirect: naming(signUrl) }),
    check: naming(check),
    keepsVersions: naming(keepsVersions),
    findAny: () => findAny(bucket),
    close: () => {
      bucket.quick.close();
      bucket.client.destroy();
      bucket.patient.destroy();
    },
  };
}

/** Uploads first: one that is completed in between has become an object, and that goes next. */
async function remove(bucket: Bucket, key: string, { isWhole } = { isWhole: false }): Promise<void> {
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

const tries = ['.check', 'copy-probe'];

/** Who may not list is not told. */
async function findAny({ client, name, prefix }: Bucket): Promise<string | undefined> {
  const below = placeOf(prefix, '');
  const request = new ListObjectsV2Command({ Bucket: name, Prefix: below, MaxKeys: tries.length + 1 });
  try {
    const { Contents = [] } = await client.send(request);
    return Contents.map(({ Key = '' }) => Key).find((key) => !tries.includes(key.slice(below.length)));
  } catch (error) {
    if ((error as Error).name === 'AccessDenied') return undefined;
    return rethrow(error);
  }
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
