import type { Log } from '#core/platform.ts';

export type Job = {
  name: string;
  everyMs: number;
  /** Answers whether there is more to do at once. */
  run: (isStopping: () => boolean) => Promise<boolean | undefined>;
};

export type Schedule = { stop(): Promise<void> };

/**
 * Runs each job again and again, never beside itself: the pause begins when it has ended. A job that fails is logged when
 * it begins to fail and when it works again, not each time in between.
 */
export function startSchedule(jobs: readonly Job[], log: Log): Schedule {
  const stopping = new AbortController();
  const loops = jobs.map((job) => loop(job, log, stopping.signal));
  return {
    async stop() {
      stopping.abort();
      await Promise.all(loops);
    },
  };
}

async function loop(job: Job, log: Log, stopping: AbortSignal): Promise<void> {
  let isFailing = false;
  while (!stopping.aborted) {
    let hasMore = false;
    try {
      hasMore = (await job.run(() => stopping.aborted)) ?? false;
      if (isFailing) log.info({ job: job.name }, 'a background job works again');
      isFailing = false;
    } catch (error) {
      if (!isFailing) log.error({ job: job.name, err: error }, 'a background job failed; it is tried again');
      isFailing = true;
    }
    await pause(hasMore ? 0 : job.everyMs, stopping);
  }
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
