// Objects: the bytes in the store, and the one place where they come and go.
//
//   begin   a row in state `writing`, with room reserved in a registry, before the first byte
//   seal    `stored`, in the transaction that makes the owner (a blob or a part of an upload): stored is always owned
//   drop    `doomed`, by the writer itself, who lost a race or was cut off
//   late    `doomed`, by the janitor, when a writer has not renewed itself: removed once more a day later,
//           because a stalled writer may wake and complete its bytes after the first removal
//   remove  the object first, then its row
//
// A row never goes back to an earlier state and a key is never used again, so two removers, or a late one, harm nobody.

import { sql } from 'kysely';
import { Failure } from './failure.ts';
import { newObjectKey } from './ids.ts';
import type { Platform } from './platform.ts';
import { release, reserve } from './sizes.ts';
import { transact } from './transact.ts';

const writerMs = 5 * 60_000;
const lateMarginMs = 30_000;
const forgetAfterMs = 24 * 3600_000;
const retryRemovalMs = 60_000;
const rowsPerStatement = 500;
export const removalBatch = 400;
/** How long bytes stay after the last row that used them: readers that hold the key, and restores of the database. */
export const removalDelayMs = 10 * 60_000;

// Written into the statement: only so does SQLite see that a partial index holds all that is asked for.
const isWriting = sql.lit<'writing'>('writing');
const isDoomed = sql.lit<'doomed'>('doomed');

/** Makes the row of an object to be written and reserves room for it. Answers its key. Throws `limit`. */
export async function beginObject(platform: Platform, registryId: string, reservedBytes: number): Promise<string> {
  const key = newObjectKey();
  await transact(platform, async (platform) => {
    await platform.db
      .insertInto('objects')
      .values({
        key,
        state: 'writing',
        size: reservedBytes,
        refs: 0,
        reserved_in: registryId,
        writer_until: platform.now() + writerMs,
        remove_after: null,
        forget_after: null,
        attempts: 0,
      })
      .execute();
    await reserve(platform, registryId, reservedBytes);
  });
  platform.local.writers.add(key);
  return key;
}

/** Reserves more room for an object being written. Throws `limit`, or `unavailable` if the janitor took the object. */
export async function growObject(platform: Platform, key: string, registryId: string, bytes: number): Promise<void> {
  await transact(platform, async (platform) => {
    const row = await platform.db
      .updateTable('objects')
      .set({ size: sql`size + ${bytes}` })
      .where('key', '=', key)
      .where('state', '=', 'writing')
      .returning('key')
      .executeTakeFirst();
    if (!row) throw writerLost();
    await reserve(platform, registryId, bytes);
  });
}

/** Gives a written object to its owner. Inside the owner's transaction; what remains reserved is `size` bytes. */
export async function sealObject({ db }: Platform, key: string, size: number): Promise<void> {
  const row = await db
    .updateTable('objects')
    .set({ state: 'stored', refs: 1, size, writer_until: null })
    .where('key', '=', key)
    .where('state', '=', 'writing')
    .returning('key')
    .executeTakeFirst();
  if (!row) throw writerLost();
}

export function writerLost(): Failure {
  return new Failure(
    'unavailable',
    'The upload was interrupted for too long and its bytes were dropped. Send it again.',
    { about: 'upload', retryAfterSeconds: 1 },
  );
}

/**
 * Gives up an object that is being written, with its reservation. Never throws: callers are on their way out with an error
 * that matters more, and may have other objects to give up. What cannot be doomed now has no writer any more, so the
 * janitor takes it.
 */
export async function dropObject(platform: Platform, key: string): Promise<void> {
  platform.local.writers.delete(key);
  try {
    await doomWriting(platform, key, {});
  } catch (error) {
    platform.log.warn({ key, err: error }, 'could not give up an object; the janitor will');
  }
}

async function doomWriting(platform: Platform, key: string, { lateSince }: { lateSince?: number }): Promise<void> {
  await transact(platform, async (platform) => {
    const { db, now } = platform;
    const row = await db
      .updateTable('objects')
      .set({
        state: 'doomed',
        remove_after: now(),
        forget_after: lateSince === undefined ? null : now() + forgetAfterMs,
      })
      .where('key', '=', key)
      .where('state', '=', 'writing')
      .$if(lateSince !== undefined, (q) => q.where('writer_until', '<', lateSince ?? 0))
      .returning(['size', 'reserved_in'])
      .executeTakeFirst();
    if (row?.reserved_in) await release(platform, row.reserved_in, 0, row.size);
  });
}

/** Each minute: says that this process still writes what it writes. What it lost meanwhile, it stops writing. */
export async function renewWriters(platform: Platform): Promise<void> {
  const { local } = platform;
  const keys = [...local.writers];
  for (let i = 0; i < keys.length; i += 500) {
    const batch = keys.slice(i, i + 500);
    // In `transact`: it locks many rows in whatever order, and may meet a finish that seals two of them.
    const renewed = await transact(platform, ({ db, now }) =>
      db
        .updateTable('objects')
        .set({ writer_until: now() + writerMs })
        .where('key', 'in', batch)
        .where('state', '=', 'writing')
        .returning('key')
        .execute(),
    );
    const alive = new Set(renewed.map((row) => row.key));
    for (const key of batch) if (!alive.has(key)) local.writers.delete(key);
  }
}

/** Dooms what nobody writes any more. Answers how many. */
export async function doomLateWriters(platform: Platform): Promise<number> {
  const lateSince = platform.now() - lateMarginMs;
  const rows = await platform.db
    .selectFrom('objects')
    .select('key')
    .where('state', '=', isWriting)
    .where('writer_until', '<', lateSince)
    .limit(100)
    .execute();
  for (const { key } of rows) await doomWriting(platform, key, { lateSince });
  return rows.length;
}

/**
 * On an engine that only one process can open, at its start: whatever was being written has no writer any more, and
 * none that could wake later either.
 */
export async function doomAbandonedWriters(platform: Platform): Promise<number> {
  const rows = await platform.db.selectFrom('objects').select('key').where('state', '=', isWriting).execute();
  for (const { key } of rows) await doomWriting(platform, key, {});
  return rows.length;
}

/** Takes one use off stored objects; the last use dooms them. Keys are sorted: the lock order within a table. */
export async function unref({ db }: Platform, keys: readonly string[], removeAfter: number): Promise<void> {
  const uses = Map.groupBy(keys, (key) => key);
  for (let use = 0; uses.size > 0; use++) {
    const sorted = [...uses.keys()].sort();
    for (let i = 0; i < sorted.length; i += rowsPerStatement) {
      await db
        .updateTable('objects')
        .set({
          refs: sql`refs - 1`,
          state: sql`case when refs = 1 then 'doomed' else state end`,
          remove_after: sql`case when refs = 1 then cast(${removeAfter} as bigint) else remove_after end`,
        })
        .where('key', 'in', sorted.slice(i, i + rowsPerStatement))
        .where('state', '=', 'stored')
        .execute();
    }
    for (const [key, { length }] of uses) if (length <= use + 1) uses.delete(key);
  }
}

/** Shares stored bytes once more. False if they are not there to share. */
export async function shareObject({ db }: Platform, key: string): Promise<boolean> {
  const row = await db
    .updateTable('objects')
    .set({ refs: sql`refs + 1` })
    .where('key', '=', key)
    .where('state', '=', 'stored')
    .returning('key')
    .executeTakeFirst();
  return row !== undefined;
}

/** So many in a row, and it is the store that fails: the others would only wait for it one after the other. */
const failuresMax = 3;

/** The remover: up to some hundred doomed objects whose time has come. Answers how many it took on. Throws as a store that fails. */
export async function removeDoomed(platform: Platform): Promise<number> {
  const rows = await transact(platform, findRemovable);
  const [removed, failed]: [string[], string[]] = [[], []];
  let failures = 0;
  let err: unknown;
  // More of them side by side as long as that goes well.
  for (let at = 0, atOnce = 1; at < rows.length && failures < failuresMax; ) {
    const batch = rows.slice(at, at + atOnce);
    at += batch.length;
    atOnce = Math.min(2 * atOnce, platform.blobs.removalsAtOnce ?? 1);
    const outcomes = await Promise.allSettled(batch.map(({ key, isWhole }) => platform.blobs.remove(key, { isWhole })));
    for (const [n, { key, forgetAfter }] of batch.entries()) {
      const outcome = outcomes[n];
      if (outcome?.status === 'rejected') {
        await retryLater(platform, key);
        err = outcome.reason;
        failed.push(key);
        failures++;
        atOnce = 1;
        continue;
      }
      failures = 0;
      if (forgetAfter === null || forgetAfter <= platform.now()) removed.push(key);
      else await postpone(platform, key, forgetAfter);
    }
  }
  await forgetRemoved(platform, removed);
  if (failures >= failuresMax) throw err;
  if (failed.length > 0) platform.log.warn({ keys: failed, err }, 'could not remove objects; they are tried again');
  return rows.length;
}

/** After a minute, then two, at last an hour. */
async function retryLater({ db, now }: Platform, key: string): Promise<void> {
  await db
    .updateTable('objects')
    .set({
      attempts: sql`attempts + 1`,
      remove_after: sql`cast(${now()} as bigint) + ${retryRemovalMs} * case when attempts < 60 then attempts + 1 else 60 end`,
    })
    .where('key', '=', key)
    .execute();
}

/** In a transaction: what it has read is durable, so no power cut brings back the use of an object that is gone. */
async function findRemovable({ db, now }: Platform) {
  const rows = await db
    .selectFrom('objects')
    .select(['key', 'forget_after', 'writer_until'])
    .where('state', '=', isDoomed)
    .where('remove_after', '<=', now())
    .where(({ not, exists, selectFrom }) => not(exists(selectFrom('holds').select('id').where('until', '>', now()))))
    .orderBy('remove_after')
    .limit(removalBatch)
    .execute();
  return rows.map(({ key, forget_after, writer_until }) => ({
    key,
    forgetAfter: forget_after,
    // Sealing took the writer off; one that was given up is still named.
    isWhole: writer_until === null,
  }));
}

/** Once more when even a writer that was asleep has written or given up. */
async function postpone({ db }: Platform, key: string, until: number): Promise<void> {
  await db.updateTable('objects').set({ remove_after: until }).where('key', '=', key).execute();
}

async function forgetRemoved({ db }: Platform, keys: readonly string[]): Promise<void> {
  if (keys.length === 0) return;
  await db.deleteFrom('objects').where('key', 'in', keys).where('state', '=', 'doomed').execute();
}
