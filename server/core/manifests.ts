import { sql } from 'kysely';
import type { Actor } from './actors.ts';
import { findTagCounts, growthWithout } from './attachments.ts';
import { recordAudit } from './audit.ts';
import { type Digest, isDigest } from './digest.ts';
import { Failure } from './failure.ts';
import { growRepository, isFreshLease, leaseManifest, lockRepository } from './links.ts';
import { guessManifest, keepManifest } from './manifest-cache.ts';
import { isTagName, isUuid, type RepositoryName, splitRepositoryName, type TagName } from './names.ts';
import type { Platform, Region } from './platform.ts';
import { prepare } from './prepared.ts';
import {
  type LiveRepository,
  mayDo,
  type NameInput,
  type RegistryBy,
  requireAction,
  selectByName,
  toRegistryAccess,
} from './registry-access.ts';
import { release } from './sizes.ts';
import { transact } from './transact.ts';

/** A tag or a digest, as it stands in a manifest's URL. */
export type Reference = Digest | TagName;

export type StoredManifest = { digest: Digest; mediaType: string; size: number; bytes: Uint8Array | undefined };

export type ManifestQuery = { region: Region; name: RepositoryName; reference: string; withBytes: boolean };

/**
 * The manifest under a tag or digest. One query finds the registry, the repository and the manifest, because this is what a
 * pull asks most; bytes that this process remembers are not sent again. Throws as `openRepository`, and `not_found` about
 * the manifest. For someone who may push, it is leased: a client that saw a child here will not send it again.
 */
export async function getManifest(platform: Platform, actor: Actor, query: ManifestQuery): Promise<StoredManifest> {
  const { manifests } = platform.local;
  const place = `${query.region.id}/${query.name}`;
  const guess = query.withBytes ? guessManifest(manifests, place, query.reference) : undefined;
  const row = await findRow(platform, query, guess?.digest ?? '');
  const registry = row && toRegistryAccess(row);
  requireAction(actor, registry, query.name, 'pull');
  if (!row?.repository_id || !row.digest) throw manifestUnknown(query.reference);
  if (mayDo(actor, registry, query.name, 'push')) {
    const lease = { leased_until: row.leased_until ?? 0, leased_by: row.leased_by ?? '' };
    const isLeased =
      isFreshLease(lease, platform.now(), actor.holder) ||
      (await leaseManifest(platform, row.repository_id, row.digest, actor.holder).catch((error: unknown) => {
        // Whoever gets the bytes can go on without the promise; a full disk must not end pulls.
        if (query.withBytes && error instanceof Failure && error.reason === 'unavailable') return true;
        throw error;
      }));
    if (!isLeased) throw manifestUnknown(query.reference);
  }
  const digest = row.digest as Digest;
  if (row.bytes) keepManifest(manifests, place, query.reference, { digest, bytes: row.bytes });
  return {
    digest,
    mediaType: row.media_type ?? '',
    size: row.manifest_size ?? 0,
    bytes: row.bytes ?? (digest === guess?.digest ? guess.bytes : undefined),
  };
}

type RowQuery = NameInput & { reference: string; known: string };

function findRow({ db }: Platform, { region, name, reference, withBytes }: ManifestQuery, known: string) {
  // What no tag can be called is not asked for: Postgres does not even compare with NUL.
  const asked = isDigest(reference) || isTagName(reference) ? reference : '';
  const input = { region: region.id, ...splitRepositoryName(name), reference: asked, known };
  const by = isUuid(input.registry) ? 'project' : 'name';
  return finders[by][isDigest(reference) ? 'digest' : 'tag'][withBytes ? 'whole' : 'head'](db, input);
}

const finders = {
  name: {
    tag: { whole: prepareFinder('name', 'tag', true), head: prepareFinder('name', 'tag', false) },
    digest: { whole: prepareFinder('name', 'digest', true), head: prepareFinder('name', 'digest', false) },
  },
  project: {
    tag: { whole: prepareFinder('project', 'tag', true), head: prepareFinder('project', 'tag', false) },
    digest: { whole: prepareFinder('project', 'digest', true), head: prepareFinder('project', 'digest', false) },
  },
};

function prepareFinder(registryBy: RegistryBy, referenceBy: 'tag' | 'digest', withBytes: boolean) {
  return prepare(['region', 'registry', 'repository', 'reference', 'known'], (db, input: RowQuery) =>
    selectByName(db, registryBy, input)
      .leftJoin('tags as t', (join) => join.onRef('t.repository_id', '=', 'r.id').on('t.name', '=', input.reference))
      .leftJoin('manifests as m', (join) =>
        referenceBy === 'digest'
          ? join.onRef('m.repository_id', '=', 'r.id').on('m.digest', '=', input.reference)
          : join.onRef('m.repository_id', '=', 'r.id').onRef('m.digest', '=', 't.digest'),
      )
      .select(['m.digest', 'm.media_type', 'm.size as manifest_size', 'm.leased_until', 'm.leased_by'])
      .$if(withBytes, (q) =>
        q.select(
          sql<Uint8Array | null>`case when ${sql.ref('m.digest')} = ${input.known} then null else ${sql.ref('m.bytes')} end`.as(
            'bytes',
          ),
        ),
      ),
  );
}

export function manifestUnknown(reference: string): Failure {
  return new Failure('not_found', `There is no manifest ${reference.slice(0, 140)} in the repository.`, {
    about: 'manifest',
  });
}

/**
 * Deletes a manifest with all its tags. `refuseIfListed`: throw `in_use` while an index of the repository lists it;
 * the distribution API allows it, people who look at a list of images do not expect it.
 */
export async function deleteManifest(
  platform: Platform,
  actor: Actor,
  repository: LiveRepository,
  digest: Digest,
  { refuseIfListed }: { refuseIfListed: boolean },
): Promise<void> {
  await transact(platform, async (platform) => {
    await lockRepository(platform, repository.id);
    if (refuseIfListed) await requireUnlisted(platform, repository, digest);
    const tags = await findTagCounts(platform, repository.id, [digest]);
    const rows = await platform.db
      .deleteFrom('manifests')
      .where('repository_id', '=', repository.id)
      .where('digest', '=', digest)
      .returning(['digest', 'size', 'is_attachment'])
      .execute();
    if (rows.length === 0) throw manifestUnknown(digest);
    const growth = growthWithout(rows, tags);
    await growRepository(platform, repository.id, growth);
    await recordAudit(platform, actor, {
      action: 'manifest.delete',
      target: { kind: 'manifest', id: digest, name: `${repository.name}@${digest}` },
    });
    await release(platform, repository.registry.id, -growth.bytes);
  });
}

async function requireUnlisted({ db }: Platform, repository: LiveRepository, digest: Digest): Promise<void> {
  const parent = await db
    .selectFrom('manifest_references')
    .select('manifest_digest')
    .where('repository_id', '=', repository.id)
    .where('child_digest', '=', digest)
    .executeTakeFirst();
  if (!parent) return;
  throw new Failure('in_use', `The index ${parent.manifest_digest} lists ${digest}. Delete the index first.`, {
    about: 'manifest',
  });
}
