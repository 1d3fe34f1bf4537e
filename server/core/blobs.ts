import { type Actor, requireStillMay } from './actors.ts';
import { type Digest, isDigest, parseDigest } from './digest.ts';
import { Failure } from './failure.ts';
import { countLink, growRepository, insertLink, isFreshLease, leaseLink, lockRepository, unlink } from './links.ts';
import { isRepositoryName, isUuid, splitRepositoryName } from './names.ts';
import { shareObject } from './objects.ts';
import { holdsRight } from './permissions.ts';
import type { BlobStream, ByteRange, Platform, Region } from './platform.ts';
import { prepare } from './prepared.ts';
import {
  ensureRepository,
  findRegistry,
  type LiveRepository,
  lockForPush,
  mayDo,
  missingRepositoryPart,
  type NameInput,
  type RegistryAccess,
  type RegistryBy,
  type RepositoryAccess,
  type RepositoryQuery,
  requireAction,
  selectByName,
  toRegistryAccess,
} from './registry-access.ts';
import { charge, release } from './sizes.ts';
import { transact } from './transact.ts';

export type Blob = { digest: Digest; size: number; objectKey: string };

/** A blob as someone may read it: in a repository, because the same bytes elsewhere are not theirs. */
export type ReadableBlob = Blob & { repositoryId: string };

/**
 * The blob, as readable in this repository, found by one query with its registry and its link. Throws as `openRepository`,
 * `invalid` about the digest, and `not_found` about the blob. With `promise`, and for someone who may push, a found blob is
 * leased: a 200 to HEAD promises that the push it starts may use it. Who reads the bytes needs no promise, and reading must
 * not wait for a write.
 */
export async function getBlob(
  platform: Platform,
  actor: Actor,
  { region, name, reference }: Pick<RepositoryQuery, 'region' | 'name'> & { reference: string },
  { promise }: { promise: boolean },
): Promise<ReadableBlob> {
  const split = splitRepositoryName(name);
  const input = { region: region.id, ...split, digest: isDigest(reference) ? reference : '' };
  const row = await blobFinders[isUuid(split.registry) ? 'project' : 'name'](platform.db, input);
  const registry = row && toRegistryAccess(row);
  requireAction(actor, registry, name, 'pull');
  if (split.repository === '') throw missingRepositoryPart(name);
  // Not before: what is wrong with a request is nobody's business who may not make it.
  const digest = parseDigest(reference);
  if (!row?.repository_id || row.object_key === null) throw blobUnknown(digest);
  if (promise && mayDo(actor, registry, name, 'push')) {
    const lease = { leased_until: row.leased_until ?? 0, leased_by: row.leased_by ?? '' };
    // The update decides, not the select before it: a collection may have come in between.
    const isLeased =
      isFreshLease(lease, platform.now(), actor.holder) ||
      (await leaseLink(platform, row.repository_id, digest, actor.holder));
    if (!isLeased) throw blobUnknown(digest);
  }
  return { digest, size: row.blob_size ?? 0, objectKey: row.object_key, repositoryId: row.repository_id };
}

const blobFinders = { name: prepareBlobFinder('name'), project: prepareBlobFinder('project') };

function prepareBlobFinder(registryBy: RegistryBy) {
  return prepare(['region', 'registry', 'repository', 'digest'], (db, input: NameInput & { digest: string }) =>
    selectByName(db, registryBy, input)
      .leftJoin('repository_blobs as l', (join) =>
        join.onRef('l.repository_id', '=', 'r.id').on('l.digest', '=', input.digest),
      )
      .leftJoin('blobs as b', (join) =>
        join.onRef('b.registry_id', '=', 'l.registry_id').onRef('b.digest', '=', 'l.digest').on('b.lost', '=', 0),
      )
      .select(['l.leased_until', 'l.leased_by', 'b.size as blob_size', 'b.object_key']),
  );
}

function findLink({ db }: Platform, repository: string, digest: Digest) {
  return linkFinder(db, { repository, digest });
}

const linkFinder = prepare(['repository', 'digest'], (db, input: { repository: string; digest: string }) =>
  db
    .selectFrom('repository_blobs as l')
    .innerJoin('blobs as b', (join) =>
      join.onRef('b.registry_id', '=', 'l.registry_id').onRef('b.digest', '=', 'l.digest'),
    )
    .select(['l.leased_until', 'l.leased_by', 'b.size', 'b.object_key'])
    .where('l.repository_id', '=', input.repository)
    .where('l.digest', '=', input.digest)
    .where('b.lost', '=', 0),
);

export function blobUnknown(digest: string): Failure {
  return new Failure('not_found', `The repository holds no blob ${digest}.`, { about: 'blob' });
}

/**
 * Opens a blob's bytes. The object may have been replaced or collected since the row was read: then the row is asked
 * again, once. Throws `not_found`; bytes that are gone although the row stands are a bug and end as one.
 */
export async function openBlob(
  platform: Platform,
  blob: ReadableBlob,
  // Said even for the whole: an object shorter than its row breaks off instead of ending early.
  range: ByteRange = { start: 0, end: blob.size - 1 },
): Promise<BlobStream> {
  const stream = await platform.blobs.read(blob.objectKey, range);
  if (stream) return stream;
  const row = await findLink(platform, blob.repositoryId, blob.digest);
  if (!row) throw blobUnknown(blob.digest);
  const again = row.object_key === blob.objectKey ? undefined : await platform.blobs.read(row.object_key, range);
  if (!again) throw new Error(`the object ${row.object_key} of ${blob.digest} is missing; run bin/lading verify`);
  return again;
}

/** A mount's source as the client named it; undefined: wherever the caller may pull. */
export type MountSource = { region: Region; from: string | undefined };

/**
 * Makes a blob of another repository readable in this one, without moving bytes. undefined where that cannot be, for
 * whatever reason: unknown, not allowed and malformed sources must look alike. Throws `limit`, and `unauthenticated` or
 * `denied` if the secret was revoked or restricted meanwhile.
 */
export async function mountBlob(
  platform: Platform,
  actor: Actor,
  access: RepositoryAccess,
  digest: Digest,
  source: MountSource,
): Promise<Blob | undefined> {
  const found =
    source.from === undefined
      ? await findAnywhere(platform, actor, access.registry, digest)
      : await findInSource(platform, actor, source.region, source.from, digest);
  if (!found) return undefined;
  const repository = await ensureRepository(platform, access);
  try {
    await transact(platform, (platform) => linkMounted(platform, actor, repository, found));
    return found;
  } catch (error) {
    if (error === sourceVanished || isDangling(error)) return undefined;
    throw error;
  }
}

/** Rolls a mount back whose source went meanwhile; never leaves this file. */
const sourceVanished = new Error('the source of the mount is gone');

/** The source's object was removed for good between the look-up and the transaction: its row is not there to name. */
function isDangling(error: unknown): boolean {
  const { code } = error as { code?: unknown };
  return code === '23503' || code === 'SQLITE_CONSTRAINT_FOREIGNKEY';
}

async function findInSource(platform: Platform, actor: Actor, region: Region, from: string, digest: Digest) {
  if (!isRepositoryName(from)) return undefined;
  const { registry: registryName, repository: path } = splitRepositoryName(from);
  const registry = await findRegistry(platform, region, registryName);
  if (!registry || !mayDo(actor, registry, from, 'pull')) return undefined;
  const row = await linkedIn(platform, digest)
    .where('r.registry_id', '=', registry.id)
    .where('r.name', '=', path)
    .executeTakeFirst();
  return row && { digest, size: row.size, objectKey: row.object_key };
}

/**
 * Without a named source: anywhere in the same registry, if the secret behind the caller may pull there. An access token
 * cannot list what its client does not know, so its own list does not count here (`docs/decisions/0014`).
 */
async function findAnywhere(platform: Platform, actor: Actor, registry: RegistryAccess, digest: Digest) {
  if (!holdsRight(actor, registry, 'pull')) return undefined;
  const row = await linkedIn(platform, digest).where('r.registry_id', '=', registry.id).limit(1).executeTakeFirst();
  return row && { digest, size: row.size, objectKey: row.object_key };
}

function linkedIn({ db }: Platform, digest: Digest) {
  return db
    .selectFrom('repositories as r')
    .innerJoin('repository_blobs as l', 'l.repository_id', 'r.id')
    .innerJoin('blobs as b', (join) =>
      join.onRef('b.registry_id', '=', 'l.registry_id').onRef('b.digest', '=', 'l.digest'),
    )
    .select(['r.name', 'b.size', 'b.object_key'])
    .where('l.digest', '=', digest)
    .where('r.state', '=', 'live')
    .where('b.lost', '=', 0);
}

async function linkMounted(platform: Platform, actor: Actor, found: LiveRepository, blob: Blob): Promise<void> {
  const registryId = found.registry.id;
  const repository = await lockForPush(platform, found);
  await requireStillMay(platform, actor, repository.registry, 'push');
  if (await isLost(platform, registryId, blob.digest)) throw sourceVanished;
  if (await leaseLink(platform, repository.id, blob.digest, actor.holder)) return;
  const stored = { digest: blob.digest, key: blob.objectKey, size: blob.size };
  const links = await countLink(platform, registryId, stored);
  // The source may have vanished: the count on the object is what keeps the bytes, so it decides.
  if (links === 1 && !(await shareObject(platform, blob.objectKey))) throw sourceVanished;
  await insertLink(platform, { id: repository.id, registryId }, blob.digest, actor.holder);
  await growRepository(platform, repository.id, { bytes: blob.size });
  if (links === 1) await charge(platform, registryId, blob.size);
}

/** Here its bytes are gone: an upload brings them back, for every repository of the registry; a mount would not. */
async function isLost({ db }: Platform, registryId: string, digest: Digest): Promise<boolean> {
  const row = await db
    .selectFrom('blobs')
    .select('digest')
    .where('registry_id', '=', registryId)
    .where('digest', '=', digest)
    .where('lost', '=', 1)
    .executeTakeFirst();
  return row !== undefined;
}

/** Takes a blob out of a repository. Throws `in_use` while a manifest here needs it, `not_found`. Leases do not count. */
export async function deleteBlob(platform: Platform, repository: LiveRepository, digest: Digest): Promise<void> {
  await transact(platform, async (platform) => {
    await lockRepository(platform, repository.id);
    const size = await removeLink(platform, repository.id, digest);
    const { freedBytes } = await unlink(platform, repository.registry.id, [digest]);
    await growRepository(platform, repository.id, { bytes: -size });
    await release(platform, repository.registry.id, freedBytes);
  });
}

async function removeLink(platform: Platform, repositoryId: string, digest: Digest): Promise<number> {
  const { db } = platform;
  const link = await findLink(platform, repositoryId, digest);
  if (!link) throw blobUnknown(digest);
  const row = await db
    .deleteFrom('repository_blobs')
    .where('repository_id', '=', repositoryId)
    .where('digest', '=', digest)
    .where(({ not, exists, selectFrom }) =>
      not(
        exists(
          selectFrom('manifest_references')
            .select('child_digest')
            .where('repository_id', '=', repositoryId)
            .where('child_digest', '=', digest),
        ),
      ),
    )
    .returning('digest')
    .executeTakeFirst();
  if (!row) {
    throw new Failure('in_use', `An image of this repository needs ${digest}. Delete the image first.`, {
      about: 'blob',
    });
  }
  return link.size;
}
