import type { ExpressionBuilder } from 'kysely';
import type { Actor } from './actors.ts';
import { refreshAttachments } from './attachments.ts';
import { recordAudit } from './audit.ts';
import type { Digest } from './digest.ts';
import { Failure } from './failure.ts';
import { growRepository, lockRepository } from './links.ts';
import { manifestUnknown } from './manifests.ts';
import type { TagName } from './names.ts';
import type { Platform } from './platform.ts';
import type { LiveRepository } from './registry-access.ts';
import type { Schema } from './schema.ts';
import { transact } from './transact.ts';

/** `ifMatch`: the tag points to this digest now. `ifAbsent`: there is no such tag. */
export type TagCondition = { ifMatch?: string; ifAbsent?: boolean };

export type TagMove = { tag: TagName; digest: Digest; condition: TagCondition | undefined };

/** `touched`: manifests that may have become images or attachments by it. */
export type MovedTag = { isNew: boolean; touched: string[] };

/**
 * Inside a push: points a tag to a manifest of the repository. The last writer wins, unless a condition was set. The
 * caller refreshes and counts what this answers.
 */
export async function moveTag(
  platform: Platform,
  actor: Actor,
  repository: LiveRepository,
  { tag, digest, condition }: TagMove,
): Promise<MovedTag> {
  const { db, now } = platform;
  const before = await findTag(platform, repository.id, tag);
  requireCondition(tag, before?.digest, condition);
  const belongsTo = await findSubjectOf(platform, repository.id, tag);
  await db
    .insertInto('tags')
    .values((eb) => ({
      repository_id: repository.id,
      name: tag,
      digest,
      belongs_to: belongsTo,
      image_pushed_at: belongsTo === null ? selectImagePush(eb, repository.id, digest) : null,
      created_at: now(),
      updated_at: now(),
    }))
    .onConflict((oc) =>
      oc.columns(['repository_id', 'name']).doUpdateSet((eb) => ({
        digest,
        belongs_to: belongsTo,
        image_pushed_at: eb.ref('excluded.image_pushed_at'),
        updated_at: now(),
      })),
    )
    .execute();
  if (before && before.digest !== digest) {
    await recordAudit(platform, actor, {
      action: 'tag.move',
      target: { kind: 'tag', id: tag, name: `${repository.name}:${tag}` },
      detail: { from: before.digest, to: digest },
    });
  }
  return { isNew: before === undefined, touched: findTouched(before, { digest, belongsTo }) };
}

/** What searches by tag order images by: under an ordinary tag every manifest without a subject is an image. */
function selectImagePush(eb: ExpressionBuilder<Schema, 'tags'>, repositoryId: string, digest: Digest) {
  return eb
    .selectFrom('manifests')
    .select('pushed_at')
    .where('repository_id', '=', repositoryId)
    .where('digest', '=', digest)
    .where('subject', 'is', null);
}

type TagBefore = { digest: string; belongs_to: string | null; attached: string | null };

/** `attached`: some tag of the same manifest, perhaps this one, that belongs to a subject. */
async function findTag({ db }: Platform, repositoryId: string, tag: TagName): Promise<TagBefore | undefined> {
  return db
    .selectFrom('tags as t')
    .select(['t.digest', 't.belongs_to'])
    .select((eb) =>
      eb
        .selectFrom('tags as o')
        .select('o.belongs_to')
        .whereRef('o.repository_id', '=', 't.repository_id')
        .whereRef('o.digest', '=', 't.digest')
        .where('o.belongs_to', 'is not', null)
        .limit(1)
        .as('attached'),
    )
    .where('t.repository_id', '=', repositoryId)
    .where('t.name', '=', tag)
    .executeTakeFirst();
}

function findTouched(before: TagBefore | undefined, after: { digest: string; belongsTo: string | null }): string[] {
  if (before?.digest === after.digest) return before.belongs_to === after.belongsTo ? [] : [after.digest];
  // What had ordinary tags only is an image with one less, and an image without tags.
  return before?.attached ? [before.digest, after.digest] : [after.digest];
}

function requireCondition(tag: TagName, current: string | undefined, condition: TagCondition | undefined): void {
  if (condition?.ifAbsent && current !== undefined) {
    throw new Failure('precondition', `The tag ${tag} exists already: it points to ${current}.`, { about: 'tag' });
  }
  if (condition?.ifMatch !== undefined && condition.ifMatch !== current) {
    throw new Failure('precondition', `The tag ${tag} ${current ? `points to ${current}` : 'does not exist'}.`, {
      about: 'tag',
    });
  }
}

// cosign's names for what belongs to an image.
const cosignTag = /^sha256-([a-f0-9]{64})\.(?:sig|att|sbom)$/;
export const isCosignTag = (tag: TagName) => cosignTag.test(tag);

/**
 * The manifest that a cosign tag belongs to, if it is in this repository. Where signatures are kept in a repository of
 * their own there is no subject, and such a tag is one like any other: or all of them would be garbage.
 */
async function findSubjectOf({ db }: Platform, repositoryId: string, tag: TagName): Promise<string | null> {
  const hex = cosignTag.exec(tag)?.[1];
  if (!hex) return null;
  const row = await db
    .selectFrom('manifests')
    .select('digest')
    .where('repository_id', '=', repositoryId)
    .where('digest', '=', `sha256:${hex}`)
    .executeTakeFirst();
  return row?.digest ?? null;
}

/**
 * Inside a push of a new manifest: cosign tags that came before their subject belong to it from now on. Answers the
 * manifests under these tags, which may have become attachments.
 */
export async function attachTags({ db }: Platform, repositoryId: string, digest: Digest): Promise<string[]> {
  if (!digest.startsWith('sha256:')) return [];
  const stem = digest.replace(':', '-');
  const rows = await db
    .updateTable('tags')
    .set({ belongs_to: digest, image_pushed_at: null })
    .where('repository_id', '=', repositoryId)
    .where('name', 'in', [`${stem}.sig`, `${stem}.att`, `${stem}.sbom`])
    .returning('digest')
    .execute();
  return rows.map((row) => row.digest);
}

/** Removes a tag; the manifest stays and is found by its digest. Throws `not_found` about the manifest. */
export async function deleteTag(
  platform: Platform,
  actor: Actor,
  repository: LiveRepository,
  tag: TagName,
): Promise<void> {
  await transact(platform, async (platform) => {
    await lockRepository(platform, repository.id);
    const row = await platform.db
      .deleteFrom('tags')
      .where('repository_id', '=', repository.id)
      .where('name', '=', tag)
      .returning('digest')
      .executeTakeFirst();
    if (!row) throw manifestUnknown(tag);
    const images = await refreshAttachments(platform, repository.id, [row.digest]);
    await growRepository(platform, repository.id, { images, tags: -1 });
    await recordAudit(platform, actor, {
      action: 'tag.delete',
      target: { kind: 'tag', id: tag, name: `${repository.name}:${tag}` },
      detail: { digest: row.digest },
    });
  });
}

/** `after`: the last name of the page before; it need not exist any more. */
export type NamePage = { limit: number; after: string | undefined };

/** Tag names in byte order, and whether more follow. */
export async function listTagNames(
  { db }: Platform,
  { id }: { id: string },
  { limit, after }: NamePage,
): Promise<{ names: string[]; hasMore: boolean }> {
  const rows = await db
    .selectFrom('tags')
    .select('name')
    .where('repository_id', '=', id)
    .$if(after !== undefined, (q) => q.where('name', '>', after ?? ''))
    .orderBy('name')
    .limit(limit + 1)
    .execute();
  return { names: rows.slice(0, limit).map((row) => row.name), hasMore: rows.length > limit };
}
