// Whether what the rows say is true: each object is there with its size (and, deep, with its digest), each counter is the
// count of what it counts. Runs beside a server at work, so nothing is judged by two statements: every comparison is one
// snapshot, and what looks wrong outside the database is read again before it is reported. Also whether the configured
// master keys open the stored secrets.
//
// A repair corrects counters, marks blobs whose bytes are gone or damaged as lost (the next push of the digest replaces
// them), takes that back where they are there after all, and finishes removals that are due. It never deletes what a row
// still needs. The whole store is looked at before anything is changed: it may be the wrong one, or away.

import { sql } from 'kysely';
import { removeDoomed } from './objects.ts';
import type { Platform } from './platform.ts';
import { newLook } from './verify-bytes.ts';
import { verifyBlobs, verifyManifests } from './verify-counters.ts';
import { findSuspects, requireOwnStore, verifySuspects } from './verify-objects.ts';
import { verifySecrets } from './verify-secrets.ts';
import { verifyRegistries, verifyRepositories } from './verify-totals.ts';

export type FindingKind =
  | 'object missing'
  | 'object of wrong size'
  | 'object damaged'
  | 'object in doubt'
  | 'object uses'
  | 'blob lost'
  | 'blob marked as lost is there'
  | 'blob links'
  | 'blob size'
  | 'manifest damaged'
  | 'manifest kind'
  | 'repository size'
  | 'repository images'
  | 'repository tags'
  | 'repository listed'
  | 'tags misdated'
  | 'registry size'
  | 'registry reserved'
  | 'registry repositories'
  | 'removals overdue'
  | 'secrets lost';

export type Finding = {
  kind: FindingKind;
  /** What it is about, as a person would name it. */
  what: string;
  expected: string | number;
  found: string | number;
  /** What was done about it; undefined: nothing. */
  repair?: 'corrected' | 'marked as lost' | 'taken back' | 'removed' | undefined;
};

export type Verification = {
  platform: Platform;
  /** Reads all bytes and hashes them. */
  deep: boolean;
  repair: boolean;
  /** A repair may give up most of what there is. */
  isSure?: boolean | undefined;
  report: (finding: Finding) => void;
};

export type Checked = Record<
  'objects' | 'blobs' | 'manifests' | 'repositories' | 'registries' | 'secrets' | 'bytesRead',
  number
>;

/** Throws `unavailable` when the store only fails, and `conflict` for a repair that would give up most of what there is. */
export async function verify(verification: Verification): Promise<Checked> {
  const checked: Checked = {
    objects: 0,
    blobs: 0,
    manifests: 0,
    repositories: 0,
    registries: 0,
    secrets: 0,
    bytesRead: 0,
  };
  const look = newLook(verification.platform, checked);
  const suspects = await findSuspects(verification, checked, look);
  if (verification.repair && !verification.isSure) requireOwnStore(suspects, checked);
  // Blobs first: what is known to be lost is said once, and what is found lost after it likewise.
  await verifyBlobs(verification, checked, look);
  await verifySuspects(verification, suspects);
  await verifyManifests(verification, checked);
  await verifyRepositories(verification, checked);
  await verifyRegistries(verification, checked);
  await verifyRemovals(verification);
  await verifySecrets(verification, checked);
  return checked;
}

/** The server removes what is due within seconds; an hour is longer than any failure it gets over by itself. */
const overdueMs = 60 * 60_000;

async function verifyRemovals({ platform, repair, report }: Verification): Promise<void> {
  const row = await platform.db
    .selectFrom('objects')
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .where('state', '=', sql.lit<'doomed'>('doomed'))
    .where('remove_after', '<', platform.now() - overdueMs)
    .executeTakeFirstOrThrow();
  if (repair) while ((await removeDoomed(platform)) > 0);
  if (Number(row.count) === 0) return;
  const done = repair ? ({ repair: 'removed' } as const) : {};
  report({
    kind: 'removals overdue',
    what: 'objects that nothing needs',
    expected: 0,
    found: Number(row.count),
    ...done,
  });
}
