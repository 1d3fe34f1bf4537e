// Cleaning up a repository: many digests and tags in one request. What can go goes, what cannot is said with its reason.
//
// One transaction for each hundred, under the repository's lock, so pushes come in between. What an index lists stays,
// unless the same request removes the index too: whatever is found listed is looked at again once the others have gone.

import { setImmediate as othersTurn } from 'node:timers/promises';
import type { Actor } from './actors.ts';
import { removeImages, removeTags } from './cleanup-steps.ts';
import { queueCollection } from './collection.ts';
import { type Digest, isDigest } from './digest.ts';
import { isTagName } from './names.ts';
import type { Platform } from './platform.ts';
import type { LiveRepository } from './registry-access.ts';
import { openOwnRepository, type RepositoryAddress } from './repositories.ts';

export type CleanupInput = {
  /** Images that go with all their tags. As the client wrote them: what is no digest is reported as unknown. */
  digests: readonly string[];
  /** Tags that go; with its last tag an image goes too, unless an index lists it. */
  tags: readonly string[];
  /** Frees what nothing needs any more, later, in the background. */
  collectGarbage: boolean;
};

export type CleanupResult = {
  /** One for each digest, with the tags that went. The image itself may be still there, under another tag or in an index. */
  deleted: { digest: string; tags: string[] }[];
  /** What was asked for and did not go. `digest` is null where there is no such tag. */
  failed: { digest: string | null; tags: string[]; error: string }[];
};

type Cleanup = {
  platform: Platform;
  actor: Actor;
  repository: LiveRepository;
  /** The tags that went, by the digest they pointed to. */
  gone: Map<string, string[]>;
  failed: CleanupResult['failed'];
};

const batchSize = 100;
/** Deeper than any index of indexes. Without a bound a chain of them, asked for from its end, would never be done. */
const passesMax = 10;

/**
 * Removes digests and tags. A part that fails leaves the others done. Throws `denied`, `not_found`, and `conflict` while
 * the registry is being deleted.
 */
export async function cleanRepository(
  platform: Platform,
  actor: Actor,
  address: RepositoryAddress,
  { digests, tags, collectGarbage }: CleanupInput,
): Promise<CleanupResult> {
  const repository = await openOwnRepository(platform, actor, address, 'images:delete');
  const cleanup: Cleanup = { platform, actor, repository, gone: new Map(), failed: [] };
  const untagged = await takeTags(cleanup, [...new Set(tags)]);
  await takeDigests(cleanup, [...new Set(digests)], untagged);
  if (collectGarbage) await queueCollection(platform, repository.registry);
  return { deleted: [...cleanup.gone].map(([digest, tags]) => ({ digest, tags })), failed: cleanup.failed };
}

/** Answers the images that lost their last tag and are listed by an index, which may go yet. */
async function takeTags({ platform, actor, repository, gone, failed }: Cleanup, tags: string[]): Promise<Digest[]> {
  const listed: Digest[] = [];
  for await (const batch of inBatches(tags.filter(isTagName))) {
    const result = await removeTags(platform, actor, repository, batch);
    for (const { name, digest } of result.removed) note(gone, digest, [name]);
    listed.push(...result.listed);
  }
  const removed = new Set([...gone.values()].flat());
  for (const tag of tags.filter((one) => !removed.has(one))) {
    failed.push({ digest: null, tags: [tag], error: 'There is no such tag in this repository.' });
  }
  return listed;
}

async function takeDigests(cleanup: Cleanup, digests: string[], untagged: Digest[]): Promise<void> {
  const { platform, actor, repository, gone, failed } = cleanup;
  const asked = new Set(digests);
  const unknown = new Set(digests);
  let pending = [...new Set([...digests.filter(isDigest), ...untagged])];
  let listed = new Map<Digest, { index: string; tags: string[] }>();
  for (let pass = 0; pass < passesMax && pending.length > 0; pass++) {
    listed = new Map();
    for await (const batch of inBatches(pending)) {
      const result = await removeImages(platform, actor, repository, {
        digests: batch,
        isAsked: (one) => asked.has(one),
      });
      for (const { digest, tags } of result.removed) {
        unknown.delete(digest);
        note(gone, digest, tags);
      }
      for (const { digest, ...by } of result.listed) listed.set(digest, by);
    }
    // Nothing went, so nothing can have become free.
    if (listed.size === pending.length) break;
    pending = [...listed.keys()];
  }
  for (const [digest, { index, tags }] of listed) {
    unknown.delete(digest);
    if (!asked.has(digest)) continue;
    failed.push({ digest, tags, error: `The index ${index} lists this image. Delete the index first.` });
  }
  for (const digest of unknown) {
    if (gone.has(digest)) continue;
    failed.push({ digest, tags: [], error: 'There is no such image in this repository.' });
  }
}

function note(gone: Cleanup['gone'], digest: string, tags: readonly string[]): void {
  gone.set(digest, [...(gone.get(digest) ?? []), ...tags]);
}

async function* inBatches<T>(items: readonly T[]): AsyncGenerator<T[]> {
  for (let i = 0; i < items.length; i += batchSize) {
    // Reads answer at once on SQLite, and nobody else would be served until the last.
    if (i > 0) await othersTurn();
    yield items.slice(i, i + batchSize);
  }
}
