import { setTimeout as delay } from 'node:timers/promises';

const pausesMs = [500, 2_000, 6_000, 15_000];

/** What time alone does not mend: nobody waits for these. */
const isFinal = (error: unknown) => ['ENOSPC', 'EDQUOT', 'EROFS'].includes((error as { code?: string }).code ?? '');

/** Tries again what a store or a database refused, some times over half a minute. Throws the last error. */
export async function patiently<T>(signal: AbortSignal, work: (attempt: number) => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    signal.throwIfAborted();
    try {
      return await work(attempt);
    } catch (error) {
      const pauseMs = pausesMs[attempt];
      if (pauseMs === undefined || isFinal(error)) throw error;
      await delay(pauseMs, undefined, { signal });
    }
  }
}
