// Where a manifest push is decided: one transaction that begins with the repository's lock, so that what it finds
// (every child is here) is still true when it commits, whatever collections and deletions run beside it.

import { type Actor, requireStillMay } from './actors.ts';
import { refreshAttachments } from './attachments.ts';
import { recordAudit } from './audit.ts';
import { algorithmOf, type Digest, digestOf } from './digest.ts';
import { Failure } from './failure.ts';
import { type ImageConfig, readImageConfig } from './image-config.ts';
import { growRepository, leaseManifest, leaseMs } from './links.ts';
import {
  effectiveArtifactType,
  imageSize,
  type ManifestDocument,
  parseManifest,
  referencedDigests,
  requiredBlobs,
} from './manifest-document.ts';
import type { TagName } from './names.ts';
import type { Platform } from './platform.ts';
import { ensureRepository, type LiveRepository, lockForPush, type RepositoryAccess } from './registry-access.ts';
import { charge } from './sizes.ts';
import { attachTags, isCosignTag, moveTag, type TagCondition } from './tags.ts';
import { transact } from './transact.ts';

export type ManifestPush = {
  /** The digest the client named; undefined: pushed by tag, stored under sha256. */
  digest: Digest | undefined;
  tags: readonly TagName[];
  bytes: Uint8Array;
  contentType: string;
  condition?: TagCondition;
};

export type PushedManifest = { digest: Digest; subject: string | undefined };

/** SQLite takes 32,766 parameters a statement, and a row of references has three. */
const rowsPerStatement = 500;

/**
 * Stores a manifest and moves its tags, all or nothing. Throws `invalid` (the document, its digest, or children that are
 * not here: `missing`), `limit`, `precondition`, `unauthenticated` or `denied` if the secret was revoked or
 * restricted meanwhile.
 */
export async function pushManifest(
  platform: Platform,
  actor: Actor,
  access: RepositoryAccess,
  push: ManifestPush,
): Promise<PushedManifest> {
  const document = parseManifest(push.bytes, push.contentType);
  const digest = digestOf(push.bytes, push.digest ? algorithmOf(push.digest) : 'sha256');
  if (push.digest && push.digest !== digest) {
    throw new Failure('invalid', `The manifest's digest is ${digest}, not ${push.digest}.`, { about: 'digest' });
  }
  const found = await ensureRepository(platform, access);
  const config = await readImageConfig(platform, found.id, document);
  await transact(platform, async (platform) => {
    const { isListed, ...repository } = await lockForPush(platform, found);
    await requireStillMay(platform, actor, repository.registry, 'push');
    await requireChildren(platform, repository, document);
    const isNew = await insertManifest(platform, actor, repository, { digest, document, config, push });
    if (isNew) {
      await insertReferences(platform, repository.id, digest, referencedDigests(document));
    } else if (push.tags.length === 0) {
      await leaseManifest(platform, repository.id, digest, actor.holder);
    }
    await endOwnLeases(platform, actor, repository.id, referencedDigests(document));
    const growth = await moveTags(platform, actor, repository, { ...push, digest, isNew });
    if (isNew && !document.subject) growth.images++;
    const bytes = isNew ? push.bytes.length : 0;
    await growRepository(platform, repository.id, { bytes, ...growth, isListed: isNew && !isListed });
    await recordAudit(platform, actor, {
      action: 'manifest.push',
      target: { kind: 'manifest', id: digest, name: `${repository.name}@${digest}` },
      detail: { tags: push.tags },
    });
    if (isNew) await charge(platform, repository.registry.id, push.bytes.length, 0, isListed ? 0 : 1);
  });
  return { digest, subject: document.subject?.digest };
}

type TagMoves = Pick<ManifestPush, 'tags' | 'condition'> & { digest: Digest; isNew: boolean };

/** Answers how many tags the repository has more, and how many images besides a new one. */
async function moveTags(
  platform: Platform,
  actor: Actor,
  repository: LiveRepository,
  { tags, condition, digest, isNew }: TagMoves,
): Promise<{ images: number; tags: number }> {
  const touched = new Set(isNew ? await attachTags(platform, repository.id, digest) : []);
  let added = 0;
  for (const tag of tags) {
    const moved = await moveTag(platform, actor, repository, { tag, digest, condition });
    if (moved.isNew) added++;
    for (const one of moved.touched) touched.add(one);
  }
  // The usual push, new content under ordinary tags, is an image from the start.
  if (isNew && !tags.some(isCosignTag)) touched.delete(digest);
  return { images: await refreshAttachments(platform, repository.id, [...touched]), tags: added };
}

async function requireChildren(platform: Platform, { id }: LiveRepository, document: ManifestDocument): Promise<void> {
  const blobs = requiredBlobs(document);
  const children = [...new Set(document.children.map((child) => child.digest))];
  const linked = await findLinked(platform, id, [...blobs, ...children]);
  const unlinked = children.filter((digest) => !linked.has(digest));
  const manifests = await findManifests(platform, id, unlinked);
  const missing = [...blobs.filter((d) => !linked.has(d)), ...unlinked.filter((d) => !manifests.has(d))];
  if (missing.length === 0) return;
  const names = missing.length === 1 ? missing[0] : `${missing.length} blobs or manifests, ${missing[0]} the first`;
  throw new Failure('invalid', `The manifest names what this repository does not hold: ${names}. Push them first.`, {
    about: 'manifest_blob',
    missing,
  });
}

async function findLinked({ db }: Platform, repositoryId: string, digests: string[]): Promise<Set<string>> {
  const found = new Set<string>();
  for (let i = 0; i < digests.length; i += rowsPerStatement) {
    const rows = await db
      .selectFrom('repository_blobs as l')
      .innerJoin('blobs as b', (join) =>
        join.onRef('b.registry_id', '=', 'l.registry_id').onRef('b.digest', '=', 'l.digest'),
      )
      .select('l.digest')
      .where('l.repository_id', '=', repositoryId)
      .where('l.digest', 'in', digests.slice(i, i + rowsPerStatement))
      .where('b.lost', '=', 0)
      .execute();
    for (const row of rows) found.add(row.digest);
  }
  return found;
}

async function findManifests({ db }: Platform, repositoryId: string, digests: string[]): Promise<Set<string>> {
  const found = new Set<string>();
  for (let i = 0; i < digests.length; i += rowsPerStatement) {
    const rows = await db
      .selectFrom('manifests')
      .select('digest')
      .where('repository_id', '=', repositoryId)
      .where('digest', 'in', digests.slice(i, i + rowsPerStatement))
      .execute();
    for (const row of rows) found.add(row.digest);
  }
  return found;
}

type NewManifest = { digest: Digest; document: ManifestDocument; config: ImageConfig; push: ManifestPush };

/** False if the repository had it. Without a tag to hold it, a new manifest is leased: its index or subject may follow. */
async function insertManifest(
  { db, now }: Platform,
  actor: Actor,
  repository: LiveRepository,
  { digest, document, config, push }: NewManifest,
): Promise<boolean> {
  const isLeased = push.tags.length === 0;
  const row = await db
    .insertInto('manifests')
    .values({
      repository_id: repository.id,
      digest,
      media_type: document.mediaType,
      artifact_type: effectiveArtifactType(document) ?? null,
      config_media_type: document.config?.mediaType ?? null,
      subject: document.subject?.digest ?? null,
      is_attachment: document.subject ? 1 : 0,
      annotations: document.annotations ? JSON.stringify(document.annotations) : null,
      os: config.os,
      architecture: config.architecture,
      built_at: config.builtAt,
      pushed_at: now(),
      size: push.bytes.length,
      image_size: imageSize(document, push.bytes.length),
      leased_until: isLeased ? now() + leaseMs : 0,
      leased_by: isLeased ? actor.holder : '',
      bytes: push.bytes,
    })
    .onConflict((oc) => oc.columns(['repository_id', 'digest']).doNothing())
    .returning('digest')
    .executeTakeFirst();
  return row !== undefined;
}

async function insertReferences(
  { db }: Platform,
  repositoryId: string,
  digest: Digest,
  children: string[],
): Promise<void> {
  for (let i = 0; i < children.length; i += rowsPerStatement) {
    const rows = children.slice(i, i + rowsPerStatement).map((child_digest) => ({
      repository_id: repositoryId,
      manifest_digest: digest,
      child_digest,
    }));
    await db.insertInto('manifest_references').values(rows).execute();
  }
}

/** The references hold the children now. Only this pusher's leases end: another push may still count on its own. */
async function endOwnLeases({ db }: Platform, actor: Actor, repositoryId: string, children: string[]): Promise<void> {
  for (let i = 0; i < children.length; i += rowsPerStatement) {
    const batch = children.slice(i, i + rowsPerStatement);
    for (const table of ['repository_blobs', 'manifests'] as const) {
      await db
        .updateTable(table)
        .set({ leased_until: 0, leased_by: '' })
        .where('repository_id', '=', repositoryId)
        .where('digest', 'in', batch)
        .where('leased_by', '=', actor.holder)
        .execute();
    }
  }
}
