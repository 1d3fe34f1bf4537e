import { setTimeout as delay } from 'node:timers/promises';

/** Between tries, half a minute in all: a server that is restarted is back by then. */
export const usualPauses: readonly number[] = [500, 2_000, 6_000, 15_000];

export type Patience = { signal: AbortSignal; pausesMs: readonly number[] };

/** What time alone does not mend. */
export const isFull = (error: unknown) =>
  ['ENOSPC', 'EDQUOT', 'EROFS'].includes((error as { code?: string }).code ?? '');

/** Tries again what a store or a database refused. Throws the last error. */
export async function patiently<T>({ signal, pausesMs }: Patience, work: (attempt: number) => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    signal.throwIfAborted();
    try {
      return await work(attempt);
    } catch (error) {
      const pauseMs = pausesMs[attempt];
      if (pauseMs === undefined || isFull(error)) throw error;
      await delay(pauseMs, undefined, { signal });
    }
  }
}
