// The real platform, with a gate after every statement and around every call of the store. Faults come in at the gates:
// an error (the connection broke: nobody knows whether the statement took effect) or the end of the process.

import type { Kysely, KyselyPlugin, RootOperationNode } from 'kysely';
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
  /** Since when the tasks that write to the store have been at it: from the row on, which comes before the first byte. */
  writes: Map<Task, number>;
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
  const db = gateDatabase(base, task, gates, pass, requireAlive);
  return {
    ...base,
    local: replica.local,
    db,
    scans: db,
    blobs: gateStore(base, pass, { hasCrashed: () => replica.hasCrashed, ended: () => gates.writes.delete(task) }),
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
  { db, clock }: TestPlatform,
  task: Task,
  { scheduler, writes }: Gates,
  pass: Pass,
  requireAlive: () => void,
): Kysely<Schema> {
  const plugin: KyselyPlugin = {
    transformQuery({ node }) {
      requireAlive();
      if (isNewObject(node)) writes.set(task, clock.now());
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

const isNewObject = (node: RootOperationNode) =>
  node.kind === 'InsertQueryNode' && node.into?.table.identifier.name === 'objects';

function gateStore(
  { blobs, storeView }: TestPlatform,
  pass: Pass,
  { hasCrashed, ended }: { hasCrashed: () => boolean; ended: () => void },
): BlobStore {
  async function gated<T>(name: string, call: () => Promise<T>): Promise<T> {
    await pass(`before ${name}`);
    const answer = await call();
    await pass(`after ${name}`);
    return answer;
  }
  /** A process that ends cannot clear up: what it has half written stays. */
  async function leavingHalf<T>(key: string, call: () => Promise<T>): Promise<T> {
    try {
      return await call();
    } catch (error) {
      if (hasCrashed()) await storeView.leaveUnfinished(key);
      throw error;
    }
  }
  return {
    write: (key, bytes) =>
      gated('write', () => leavingHalf(key, () => blobs.write(key, gateBody(bytes, pass)))).finally(ended),
    join: (key, parts) => gated('join', () => blobs.join(key, parts)).finally(ended),
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
