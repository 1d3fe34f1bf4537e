import { Failure } from './failure.ts';
import type { Platform } from './platform.ts';
import { nameOf, type SealedColumn, sealedColumns } from './sealed-columns.ts';
import { countOutdated, listOutdated, requireMasterKeys, reseal, type SealedRow } from './sealed-rows.ts';

export type Rotation = {
  /** The key that everything is sealed with in the end. */
  keyId: string;
  /** What was not sealed with it at the beginning. */
  found: number;
  resealed: number;
  /** Of what is left, rows that no configured key opens. */
  unreadable: readonly { column: string; key: string }[];
  left: number;
};

/** Rows at a time: as many as may wait together for one sync, or use a connection each. */
const batch = 20;
/** What servers seal with an old key meanwhile is found by another pass; one that never ends must be told of instead. */
const passesMax = 3;

/**
 * Seals with the first key whatever another one has sealed, while servers go on. Each row is a change of its own, made
 * only if the row is still as it was read: no lock is held, a change made meanwhile wins, and what a crash leaves is what
 * the next run finds. Throws `unavailable` before it changes anything if a key is missing or wrong.
 */
export async function rotateMasterKey(platform: Platform, report: (done: Rotation) => void): Promise<Rotation> {
  const [keyId] = platform.secrets.keyIds();
  if (keyId === undefined) throw new Failure('unavailable', 'There is no master key, so nothing can be sealed with it.');
  await requireMasterKeys(platform);
  const found = await countLeft(platform);
  let state: Rotation = { keyId, found, resealed: 0, unreadable: [], left: found };
  for (let pass = 1; pass <= passesMax && state.left > state.unreadable.length; pass++) {
    const before = { ...state, unreadable: [] };
    state = await runPass(platform, before, report);
    state = { ...state, left: await countLeft(platform) };
  }
  return state;
}

async function countLeft(platform: Platform): Promise<number> {
  let left = 0;
  for (const column of sealedColumns) left += await countOutdated(platform, column);
  return left;
}

async function runPass(platform: Platform, before: Rotation, report: (done: Rotation) => void): Promise<Rotation> {
  let state = before;
  for (const column of sealedColumns) {
    for (let after = ''; ; ) {
      const rows = await listOutdated(platform, column, after, batch);
      const last = rows.at(-1);
      if (last === undefined) break;
      after = last.key;
      const outcomes = await Promise.all(rows.map((row) => resealRow(platform, column, row)));
      state = add(state, column, rows, outcomes);
      report(state);
    }
  }
  return state;
}

type Outcome = 'resealed' | 'changed' | 'unreadable';

async function resealRow(platform: Platform, column: SealedColumn, row: SealedRow): Promise<Outcome> {
  const fresh = openAndSeal(platform, column, row);
  if (fresh === undefined) return 'unreadable';
  return (await replaceSealed(platform, column, row, fresh)) ? 'resealed' : 'changed';
}
