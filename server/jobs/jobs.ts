import { hostname } from 'node:os';
import { removeOldAuditEvents } from '#core/audit-events.ts';
import { supplyNextCluster } from '#core/cluster-supply.ts';
import { testNextConnection } from '#core/connection-schedule.ts';
import { removeOldUses } from '#core/connection-uses.ts';
import { doomLateWriters, removalBatch, removeDoomed, renewWriters } from '#core/objects.ts';
import { operationHandlers } from '#core/operation-handlers.ts';
import { removeOldOperations, runNextOperation } from '#core/operation-runs.ts';
import type { Platform } from '#core/platform.ts';
import { flushRefusedSignIns } from '#core/refused-sign-ins.ts';
import { removeOldWindows } from '#core/request-limit.ts';
import { renewUploads } from '#core/upload-renewal.ts';
import { expireUploads } from '#core/uploads.ts';
import { scheduledCollections } from './collection-schedule.ts';
import { type Job, type Schedule, startSchedule } from './schedule.ts';

export type JobOptions = {
  auditRetentionDays: number;
  /** A cron expression: when every registry is collected. */
  gcSchedule?: string | undefined;
};

/** Says of what this process works on that it still does. Goes on until the last request has ended. */
export function startRenewals(platform: Platform): Schedule {
  const renewal: Job = {
    // What is not renewed for five minutes is taken from its writer.
    name: 'renew what is being written',
    everyMs: 60_000,
    run: async () => {
      await renewWriters(platform);
      await renewUploads(platform);
      return false;
    },
  };
  return startSchedule([renewal], platform.log);
}

/** Starts what goes on in the background. Every replica runs all of it: the rows say who does what. */
export function startJobs(platform: Platform, options: JobOptions): Schedule {
  const collector = options.gcSchedule === undefined ? [] : [scheduledCollections(platform, options.gcSchedule)];
  const jobs = [...janitorOf(platform), ...workersOf(platform), ...forgettersOf(platform, options), ...collector];
  return startSchedule(jobs, platform.log);
}

// Batches of the janitor: a full one means that there is more.
const batch = 100;

function janitorOf(platform: Platform): readonly Job[] {
  return [
    { name: 'doom late writers', everyMs: 10_000, run: async () => (await doomLateWriters(platform)) >= batch },
    { name: 'expire uploads', everyMs: 10_000, run: async () => (await expireUploads(platform)) >= batch },
    { name: 'remove doomed objects', everyMs: 5_000, run: async () => (await removeDoomed(platform)) >= removalBatch },
  ];
}

const forgetBatch = 500;
const dayMs = 24 * 60 * 60_000;
/** Long enough to look back at last quarter's collections; the audit log keeps what was done longer. */
const operationRetentionDays = 90;

// More than one, so that a cluster that does not answer does not keep the others waiting.
const clusterWorkers = ['supply clusters', 'supply more clusters', 'supply yet more clusters'];

// As many connections are tested at once on schedule; most of the time of a test is waiting.
const connectionTesters = Array.from({ length: 8 }, (_, i) => `test connections (${i + 1})`);

function workersOf(platform: Platform): readonly Job[] {
  const workerId = `${hostname()}/${process.pid}`;
  return [
    {
      name: 'run operations',
      everyMs: 1000,
      run: (isStopping) => runNextOperation(platform, workerId, operationHandlers, isStopping),
    },
    ...clusterWorkers.map((name) => ({
      name,
      everyMs: 2000,
      run: () => supplyNextCluster(platform, workerId),
    })),
    ...connectionTesters.map((name) => ({
      name,
      everyMs: 5000,
      run: () => testNextConnection(platform, workerId),
    })),
    {
      name: 'write refused sign-ins',
      everyMs: 30_000,
      run: async () => {
        await flushRefusedSignIns(platform);
        return false;
      },
    },
  ];
}

function forgettersOf(platform: Platform, { auditRetentionDays }: JobOptions): readonly Job[] {
  type Remove = (platform: Platform, before: number, limit: number) => Promise<number>;
  const olderThan = (days: number, remove: Remove) => async () =>
    (await remove(platform, platform.now() - days * dayMs, forgetBatch)) >= forgetBatch;
  return [
    {
      name: 'remove old audit events',
      everyMs: 10 * 60_000,
      run: olderThan(auditRetentionDays, removeOldAuditEvents),
    },
    {
      name: 'remove old uses of connections',
      everyMs: 60 * 60_000,
      run: olderThan(auditRetentionDays, removeOldUses),
    },
    {
      name: 'remove old operations',
      everyMs: 10 * 60_000,
      run: olderThan(operationRetentionDays, removeOldOperations),
    },
    {
      name: 'remove old counts of requests',
      everyMs: 60 * 60_000,
      run: async () => (await removeOldWindows(platform, forgetBatch)) >= forgetBatch,
    },
  ];
}
