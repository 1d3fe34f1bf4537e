import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { openDiskStore } from '#blobs/disk.ts';
import type { BlobStore } from '#core/platform.ts';
import { type ConfiguredStorage, parseStorageUrl } from '#server/config-storage.ts';
import { makeTestDirectory, memoryDirectory, type Scope } from './database.ts';
import { lookIntoDirectory, type StoreView } from './store-view.ts';

/** A bucket of `npm run test:all`; without it tests keep objects on disk. */
export const testStorageUrl = process.env.LADING_TEST_STORAGE_URL;

export type TestStore = { blobs: BlobStore; view: StoreView };

/** An empty store of the kind under test, which ends with the test: a directory, or a prefix of its own in the bucket. */
export async function openTestStore(t: Scope): Promise<TestStore> {
  if (testStorageUrl !== undefined) return openInBucket(t, parseStorageUrl(testStorageUrl));
  const dir = join(makeTestDirectory(t, memoryDirectory), 'objects');
  return { blobs: await openDiskStore(dir), view: lookIntoDirectory(dir) };
}

async function openInBucket(t: Scope, configured: ConfiguredStorage): Promise<TestStore> {
  // Only where it is wanted: the client is large, and most runs are on disk.
  const [{ openS3Store }, { emptyPlace, lookIntoBucket, openTestClient }] = await Promise.all([
    import('#blobs/s3.ts'),
    import('./bucket-view.ts'),
  ]);
  const prefix = `test-${randomBytes(8).toString('hex')}`;
  const blobs = openS3Store({ ...configured, prefix });
  const place = { client: openTestClient(configured.endpoint, configured.region), bucket: configured.bucket, prefix };
  t.after(async () => {
    blobs.close();
    await emptyPlace(place);
    place.client.destroy();
  });
  return { blobs, view: lookIntoBucket(place) };
}

/** The store of a server that `startLading` started, by its environment. */
export async function lookIntoStoreOf(env: NodeJS.ProcessEnv): Promise<StoreView> {
  if (!env.LADING_STORAGE_URL) return lookIntoDirectory(join(env.LADING_DATA_DIR ?? '', 'objects'));
  const { lookIntoBucket, openTestClient } = await import('./bucket-view.ts');
  const { endpoint, region, bucket, prefix } = parseStorageUrl(env.LADING_STORAGE_URL);
  return lookIntoBucket({ client: openTestClient(endpoint, region), bucket, prefix });
}
