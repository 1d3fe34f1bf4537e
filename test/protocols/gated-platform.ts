// The real platform, with a gate after every statement and around every call of the store. Faults come in at the gates:
// an error (the connection broke: nobody knows whether the statement took effect) or the end of the process.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Kysely, KyselyPlugin } from 'kysely';
import { newLocalState } from '#core/local-state.ts';
import type { BlobStore, Platform } from '#core/platform.ts';
import type { Schema } from '#core/schema.ts';
import type { TestPlatform } from '../platform.ts';
import type { Scheduler, Task } from './scheduler.ts';

/** One process: what it remembers, and whether it has crashed. A restart is a new one. */
export type Replica = { local: Platform['local']; hasCrashed: boolean };

export const newReplica = (): Replica => ({ local: newLocalState(), hasCrashed: false });

/** Thrown at every gate of a process that is no more. */
export class Crash extends Error {}
/** Thrown once, at one gate. */
export class InjectedFault extends Error {}

/** The fault to come: after so many gates of whatever task. */
export type Fault = { kind: 'crash' | 'error'; afterGates: number };

export type Gates = {
  scheduler: Scheduler;
  faults: Fault[];
  /** When each write to the store that goes on now began. */
  writes: Set<{ beganAt: number }>;
  onCrash: (replica: Replica) => void;
};

type Pass = (at: string) => Promise<void>;

export function gatePlatform(base: TestPlatform, replica: Replica, task: Task, gates: Gates): TestPlatform {
  const requireAlive = () => {
    if (replica.hasCrashed) throw new Crash('The process has ended.');
  };
  const pass: Pass = (at) =>
    gates.scheduler.pass(task, at, () => {
      requireAlive();
      injectFault(gates, replica, at);
    });
  const db = gateDatabase(base.db, task, gates.scheduler, pass, requireAlive);
  return {
    ...base,
    local: replica.local,
    db,
    scans: db,
    blobs: gateStore(base, gates, pass, () => replica.hasCrashed),
  };
}

function injectFault(gates: Gates, replica: Replica, at: string): void {
  const fault = gates.faults[0];
  if (!fault || --fault.afterGates > 0) return;
  gates.faults.shift();
  if (fault.kind === 'error') throw new InjectedFault(`The connection broke at ${at}.`);
  replica.hasCrashed = true;
  gates.onCrash(replica);
  throw new Crash(`The process ended at ${at}.`);
}

function gateDatabase(
  db: Kysely<Schema>,
  task: Task,
  scheduler: Scheduler,
  pass: Pass,
  requireAlive: () => void,
): Kysely<Schema> {
  const plugin: KyselyPlugin = {
    transformQuery({ node }) {
      requireAlive();
      if (!task.isInTransaction && node.kind !== 'SelectQueryNode') task.isWaitingForWriter = true;
      return node;
    },
    async transformResult({ result }) {
      task.isWaitingForWriter = false;
      await pass(task.isInTransaction ? 'a statement of a transaction' : 'a statement');
      return result;
    },
  };
  const gated = db.withPlugin(plugin);
  const begin = gated.transaction.bind(gated);
  const execute = async <T>(work: Parameters<ReturnType<typeof begin>['execute']>[0]) => {
    requireAlive();
    task.isWaitingForWriter = true;
    try {
      return (await begin().execute((transaction) => {
        task.isWaitingForWriter = false;
        task.isInTransaction = true;
        task.beganAt = ++scheduler.step;
        return work(transaction);
      })) as T;
    } finally {
      task.isWaitingForWriter = false;
      task.isInTransaction = false;
    }
  };
  // Committed, and whoever asked for it does not know yet.
  const executeAndPass = async <T>(work: Parameters<typeof execute<T>>[0]) => {
    const answer = await execute<T>(work);
    await pass('a commit');
    return answer;
  };
  return Object.assign(gated, { transaction: () => ({ execute: executeAndPass }) }) as unknown as Kysely<Schema>;
}

function gateStore(
  { blobs, storeDir, clock }: TestPlatform,
  { writes }: Gates,
  pass: Pass,
  hasCrashed: () => boolean,
): BlobStore {
  async function gated<T>(name: string, call: () => Promise<T>): Promise<T> {
    await pass(`before ${name}`);
    const answer = await call();
    await pass(`after ${name}`);
    return answer;
  }
  /** A process that ends cannot clear up: its half-written file stays. */
  async function leavingHalf<T>(key: string, call: () => Promise<T>): Promise<T> {
    try {
      return await call();
    } catch (error) {
      if (hasCrashed()) writeFileSync(join(storeDir, `${key}.part`), 'half');
      throw error;
    }
  }
  async function timed<T>(call: () => Promise<T>): Promise<T> {
    const write = { beganAt: clock.now() };
    writes.add(write);
    return call().finally(() => writes.delete(write));
  }
  return {
    write: (key, bytes) =>
      timed(() => gated('write', () => leavingHalf(key, () => blobs.write(key, gateBody(bytes, pass))))),
    join: (key, parts) => timed(() => gated('join', () => blobs.join(key, parts))),
    read: (key, range) => gated('read', () => blobs.read(key, range)),
    size: (key) => gated('size', () => blobs.size(key)),
    remove: (key) => gated('remove', () => blobs.remove(key)),
    check: () => blobs.check(),
  };
}

async function* gateBody(bytes: AsyncIterable<Uint8Array>, pass: Pass): AsyncIterable<Uint8Array> {
  for await (const chunk of bytes) {
    await pass('a chunk of a body');
    yield chunk;
  }
}
