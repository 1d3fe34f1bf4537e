import {
  AbortMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  ListMultipartUploadsCommand,
  type ListMultipartUploadsCommandOutput,
  ListObjectsV2Command,
  type ListObjectsV2CommandOutput,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import type { StoreView } from './store-view.ts';

/** Where in S3. An empty prefix is the whole bucket. */
export type BucketPlace = { client: S3Client; bucket: string; prefix: string };

/** A client of the tests' own: what the store does to its client, and gets wrong, must not show here. */
export function openTestClient(endpoint: string | undefined, region = 'us-east-1'): S3Client {
  return new S3Client({ ...(endpoint !== undefined && { endpoint }), region, forcePathStyle: true });
}

/** A store in a bucket. */
export function lookIntoBucket(place: BucketPlace): StoreView {
  const { client } = place;
  const addressOf = (key: string) => ({ Bucket: place.bucket, Key: `${beginningOf(place)}${key}` });
  return {
    listObjects: () => listObjects(place),
    listUnfinished: async () => (await listUploads(place)).map(({ key }) => key),
    readObject: async (key) => {
      const { Body } = await client.send(new GetObjectCommand(addressOf(key)));
      return Buffer.from((await Body?.transformToByteArray()) ?? []);
    },
    replaceObject: async (key, bytes) => {
      await client.send(new PutObjectCommand({ ...addressOf(key), Body: bytes }));
    },
    loseObject: async (key) => {
      await client.send(new DeleteObjectCommand(addressOf(key)));
    },
    leaveUnfinished: async (key) => {
      const { UploadId } = await client.send(new CreateMultipartUploadCommand(addressOf(key)));
      await client.send(new UploadPartCommand({ ...addressOf(key), UploadId, PartNumber: 1, Body: 'half' }));
    },
  };
}

const beginningOf = ({ prefix }: BucketPlace) => (prefix === '' ? '' : `${prefix}/`);

async function listObjects(place: BucketPlace): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  const [Bucket, Prefix] = [place.bucket, beginningOf(place)];
  let next: string | undefined;
  do {
    const command = new ListObjectsV2Command({ Bucket, Prefix, ContinuationToken: next });
    const page: ListObjectsV2CommandOutput = await place.client.send(command);
    for (const { Key = '', Size = 0 } of page.Contents ?? []) found.set(Key.slice(Prefix.length), Size);
    next = page.NextContinuationToken;
  } while (next !== undefined);
  return found;
}

async function listUploads(place: BucketPlace): Promise<{ key: string; id: string | undefined }[]> {
  const found: { key: string; id: string | undefined }[] = [];
  const [Bucket, Prefix] = [place.bucket, beginningOf(place)];
  let [KeyMarker, UploadIdMarker]: (string | undefined)[] = [];
  do {
    const command = new ListMultipartUploadsCommand({ Bucket, Prefix, KeyMarker, UploadIdMarker });
    const page: ListMultipartUploadsCommandOutput = await place.client.send(command);
    for (const { Key = '', UploadId } of page.Uploads ?? [])
      found.push({ key: Key.slice(Prefix.length), id: UploadId });
    [KeyMarker, UploadIdMarker] = page.IsTruncated ? [page.NextKeyMarker, page.NextUploadIdMarker] : [];
  } while (KeyMarker !== undefined);
  return found;
}

/** Uploads first: one that is completed in between has become an object. */
export async function emptyPlace(place: BucketPlace): Promise<void> {
  const addressOf = (key: string) => ({ Bucket: place.bucket, Key: `${beginningOf(place)}${key}` });
  for (const { key, id } of await listUploads(place)) {
    await place.client.send(new AbortMultipartUploadCommand({ ...addressOf(key), UploadId: id }));
  }
  for (const key of (await listObjects(place)).keys()) {
    await place.client.send(new DeleteObjectCommand(addressOf(key)));
  }
}
