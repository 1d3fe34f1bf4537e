// Whose turn it is to ask a registry elsewhere. Each question may take half a minute, and anybody may ask for two hundred
// at once: what is asked at the same time is bounded, and teams take turns, so that one with many slow registries does
// not keep the others waiting.

import { Failure } from './failure.ts';
import type { Platform } from './platform.ts';

export type CheckTurns = {
  running: number;
  runningOf: Map<string, number>;
  /** By team, in the order in which they come; no team is in it that waits for nothing. */
  waiting: Map<string, PromiseWithResolvers<void>[]>;
  isEnding: boolean;
};

const runningMax = 64;
const runningOfTeamMax = 32;
const waitingOfTeamMax = 1000;

export const newCheckTurns = (): CheckTurns => ({
  running: 0,
  runningOf: new Map(),
  waiting: new Map(),
  isEnding: false,
});

/** Does the work when it is the team's turn. Throws `throttled` where too much waits already, `unavailable` at the end. */
export async function inTurn<T>({ local }: Platform, teamId: string, work: () => Promise<T>): Promise<T> {
  const turns = local.checkTurns;
  await nextTurn(turns, teamId);
  try {
    return await work();
  } finally {
    turns.running--;
    add(turns, teamId, -1);
    begin(turns);
  }
}

/** The process ends: a queue of slow registries would keep it for a quarter of an hour. What runs goes on. */
export function endTurns({ local: { checkTurns: turns } }: Platform): void {
  turns.isEnding = true;
  for (const queue of turns.waiting.values()) for (const { reject } of queue) reject(ending());
  turns.waiting.clear();
}

const ending = () =>
  new Failure('unavailable', 'The server is stopping, so nothing was tested. Try again later.', {
    about: 'connection',
    retryAfterSeconds: 5,
  });

function nextTurn(turns: CheckTurns, teamId: string): Promise<void> {
  if (turns.isEnding) throw ending();
  const queue = turns.waiting.get(teamId) ?? [];
  if (queue.length >= waitingOfTeamMax) {
    throw new Failure('throttled', `${waitingOfTeamMax} tests of connections are waiting already. Try again later.`, {
      about: 'connection',
      retryAfterSeconds: 30,
    });
  }
  const turn = Promise.withResolvers<void>();
  queue.push(turn);
  turns.waiting.set(teamId, queue);
  begin(turns);
  return turn.promise;
}

function begin(turns: CheckTurns): void {
  while (turns.running < runningMax) {
    const next = [...turns.waiting].find(([teamId]) => (turns.runningOf.get(teamId) ?? 0) < runningOfTeamMax);
    if (!next) return;
    const [teamId, queue] = next;
    const turn = queue.shift();
    // To the end of the line.
    turns.waiting.delete(teamId);
    if (queue.length > 0) turns.waiting.set(teamId, queue);
    turns.running++;
    add(turns, teamId, 1);
    turn?.resolve();
  }
}

function add({ runningOf }: CheckTurns, teamId: string, n: number): void {
  const running = (runningOf.get(teamId) ?? 0) + n;
  if (running === 0) runningOf.delete(teamId);
  else runningOf.set(teamId, running);
}
