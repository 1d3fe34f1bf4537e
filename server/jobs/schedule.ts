import type { Log } from '#core/platform.ts';
import type { Meter } from '#core/readings.ts';

export type Job = {
  name: string;
  everyMs: number;
  /** Answers whether there is more to do at once. */
  run: (isStopping: () => boolean) => Promise<boolean | undefined>;
};

export type Schedule = { stop(): Promise<void>; meter: Meter };

/**
 * Runs each job again and again, never beside itself: the pause begins when it has ended. A job that fails is logged when
 * it begins to fail and when it works again, not each time in between.
 */
export function startSchedule(jobs: readonly Job[], log: Log): Schedule {
  const stopping = new AbortController();
  const failing = new Map(jobs.map(({ name }) => [name, false]));
  const loops = jobs.map((job) => loop(job, { log, stopping: stopping.signal, failing }));
  return {
    meter: () => [readingOf(failing)],
    async stop() {
      stopping.abort();
      await Promise.all(loops);
    },
  };
}

type Setting = { log: Log; stopping: AbortSignal; failing: Map<string, boolean> };

async function loop(job: Job, { log, stopping, failing }: Setting): Promise<void> {
  while (!stopping.aborted) {
    let hasMore = false;
    try {
      hasMore = (await job.run(() => stopping.aborted)) ?? false;
      if (failing.get(job.name)) log.info({ job: job.name }, 'a background job works again');
      failing.set(job.name, false);
    } catch (error) {
      if (!failing.get(job.name))
        log.error({ job: job.name, err: error }, 'a background job failed; it is tried again');
      failing.set(job.name, true);
    }
    await pause(hasMore ? 0 : job.everyMs, stopping);
  }
}

/** Not `job`: Prometheus has a label of that name for itself. */
function readingOf(failing: ReadonlyMap<string, boolean>) {
  return {
    name: 'job_failing',
    help: '1 where a background job of this process failed when it ran last; it is tried again all the time.',
    kind: 'gauge' as const,
    samples: [...failing].map(([name, isFailing]) => ({ labels: { name }, value: isFailing ? 1 : 0 })),
  };
}

function pause(ms: number, stopping: AbortSignal): Promise<void> {
  // A signal that was given before tells its listeners nothing.
  if (stopping.aborted) return Promise.resolve();
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  const end = () => {
    clearTimeout(timer);
    resolve();
  };
  stopping.addEventListener('abort', end, { once: true });
  return promise.finally(() => stopping.removeEventListener('abort', end));
}
