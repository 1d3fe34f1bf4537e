import { Failure } from './failure.ts';
import type { Platform } from './platform.ts';
import { nameOf, type SealedColumn, sealedColumns } from './sealed-columns.ts';
import { countOutdated, listOutdated, type Outcome, requireMasterKeys, reseal, type SealedRow } from './sealed-rows.ts';

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

type Report = (state: Rotation) => void | Promise<void>;

/** Rows at a time: as many as may wait together for one sync, or use a connection each. */
const batch = 20;
/** What servers seal with an old key meanwhile is found by another pass; one that never ends must be told of instead. */
const passesMax = 3;

/**
 * Seals with the first key whatever another one has sealed, while servers go on. Each row is a change of its own, made
 * only if the row is still as it was read: no lock is held, a change made meanwhile wins, and what a crash leaves is what
 * the next run finds. Throws `unavailable` before it changes anything if a key is missing or wrong.
 */
export async function rotateMasterKey(platform: Platform, report: Report): Promise<Rotation> {
  const [keyId] = platform.secrets.keyIds();
  if (keyId === undefined) {
    throw new Failure(
      'unavailable',
      'There is no master key that anything could be sealed with. If it was lost, put it back from a backup; if it is lost for good, lading rotate-master-key --discard-lost drops what it sealed.',
    );
  }
  await requireMasterKeys(platform);
  const found = await countLeft(platform);
  let state: Rotation = { keyId, found, resealed: 0, unreadable: [], left: found };
  for (let pass = 1; pass <= passesMax && state.left > state.unreadable.length; pass++) {
    state = await runPass(platform, { ...state, unreadable: [] }, report);
    state = { ...state, left: await countLeft(platform) };
  }
  return state;
}

async function countLeft(platform: Platform): Promise<number> {
  let left = 0;
  for (const column of sealedColumns) left += await countOutdated(platform, column);
  return left;
}

async function runPass(platform: Platform, before: Rotation, report: Report): Promise<Rotation> {
  let state = before;
  for (const column of sealedColumns) {
    let rows = await listOutdated(platform, column, '', batch);
    while (rows.length > 0) {
      const outcomes = await Promise.all(rows.map((row) => reseal(platform, column, row)));
      state = add(state, column, rows, outcomes);
      await report(state);
      rows = await listOutdated(platform, column, rows.at(-1)?.key ?? '', batch);
    }
  }
  return state;
}

function add(
  state: Rotation,
  column: SealedColumn,
  rows: readonly SealedRow[],
  outcomes: readonly Outcome[],
): Rotation {
  const unreadable = rows
    .filter((_, i) => outcomes[i] === 'unreadable')
    .map(({ key }) => ({ column: nameOf(column), key }));
  const resealed = outcomes.filter((outcome) => outcome === 'resealed').length;
  return {
    ...state,
    resealed: state.resealed + resealed,
    unreadable: [...state.unreadable, ...unreadable],
    left: Math.max(0, state.left - resealed),
  };
}
