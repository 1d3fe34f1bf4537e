// Runs tasks so that one moves at a time and a seed decides which. A task stops at each gate: after every statement of the
// database, before and after every call of the store, between the chunks of a body. On SQLite the same seed gives the
// same run; on Postgres a task may wait for a row's lock instead, which only the server knows, so there it is tried again.

import { setImmediate } from 'node:timers/promises';

export type Random = (below: number) => number;

/** mulberry32: small, fast and good enough to choose the next task. */
export function newRandom(seed: number): Random {
  let state = seed | 0;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

export type Task = {
  name: string;
  /** Where it stands, for a report about tasks that hang. */
  at: string;
  /** Set while it waits at a gate. */
  resume: (() => void) | undefined;
  /** Gates it may pass before it waits again: long runs without a switch find other faults than short ones. */
  credit: number;
  /** Not chosen before this step, if there is another: a process that stalls while the others go on. */
  asleepUntil: number;
  /** Holds a transaction; waits for one, or with a single statement that writes. */
  isInTransaction: boolean;
  isWaitingForWriter: boolean;
  /** The step at which its newest transaction began. */
  beganAt: number;
};

export type Scheduler = {
  readonly random: Random;
  /** Counts everything that happens: an order of events across tasks. */
  step: number;
  tasks: Set<Task>;
  start(name: string, work: (task: Task) => Promise<void>): Task;
  /** What every task passes. `check` may throw, to inject a fault. */
  pass(task: Task, at: string, check: () => void): Promise<void>;
  /** Lets a task go on, or one that `start` begins; resolves when nothing moves any more. */
  advance(task?: Task): Promise<void>;
};

export type SchedulerOptions = {
  random: Random;
  /** One writer at a time: who waits for it can be told from who is still at work. */
  hasOneWriter: boolean;
  /** No server is asked, for rows or for bytes. */
  isLocal: boolean;
  fail: (error: unknown) => void;
};

const stuckMs = 20_000;
/** How long Postgres gets to answer before a task counts as waiting for a lock. */
const lockGuessMs = 8;

function newTask(name: string): Task {
  const idle = { at: 'its start', resume: undefined, credit: 0, asleepUntil: 0, beganAt: 0 };
  return { name, ...idle, isInTransaction: false, isWaitingForWriter: false };
}

/** Between bytes and rows: where a stall is worst. */
const isBetween = ({ at }: Task) => at === 'a commit' || at.startsWith('before');

export function newScheduler({ random, hasOneWriter, isLocal, fail }: SchedulerOptions): Scheduler {
  const tasks = new Set<Task>();
  const isBlocked = (task: Task) =>
    hasOneWriter && task.isWaitingForWriter && [...tasks].some((other) => other !== task && other.isInTransaction);
  const isMoving = (task: Task) => !task.resume && !isBlocked(task);

  // On SQLite and disk everything but files is done when the event loop comes round. A server answers when it likes, and
  // spinning would take from it the processor that it needs.
  let wake = () => {};
  const moved = () =>
    isLocal
      ? setImmediate()
      : new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, lockGuessMs);
          wake = () => {
            clearTimeout(timer);
            resolve();
          };
        });

  async function settle(): Promise<void> {
    const began = performance.now();
    for (;;) {
      await moved();
      const moving = [...tasks].filter(isMoving);
      const waitedMs = performance.now() - began;
      if (moving.length === 0) return;
      if (!hasOneWriter && waitedMs >= lockGuessMs && moving.length < tasks.size) return;
      if (waitedMs > stuckMs)
        throw new Error(`Stuck: ${moving.map((task) => `${task.name} at ${task.at}`).join('; ')}`);
    }
  }

  const scheduler: Scheduler = {
    random,
    step: 0,
    tasks,
    start(name, work) {
      const task = newTask(name);
      tasks.add(task);
      const end = () => {
        tasks.delete(task);
        wake();
      };
      work(task).catch(fail).finally(end);
      return task;
    },
    async pass(task, at, check) {
      scheduler.step++;
      task.at = at;
      check();
      if (task.credit-- > 0) return;
      await new Promise<void>((resolve) => {
        task.resume = resolve;
        wake();
      });
      check();
    },
    async advance(task) {
      const resume = task?.resume;
      if (task && resume) {
        task.resume = undefined;
        task.credit = random(3) === 0 ? random(40) : random(3);
        resume();
      }
      await settle();
      if (task && !task.isInTransaction && random(isBetween(task) ? 8 : 40) === 0) {
        task.asleepUntil = scheduler.step + random(1500);
      }
    },
  };
  return scheduler;
}
