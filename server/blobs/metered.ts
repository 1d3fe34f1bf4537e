import { Failure } from '#core/failure.ts';
import type { BlobStore } from '#core/platform.ts';
import type { Meter } from '#core/readings.ts';

const calls = ['write', 'join', 'read', 'size', 'remove', 'redirect', 'check'] as const;
type Call = (typeof calls)[number];
type Count = { done: number; failed: number; seconds: number };

/** The same store, which counts what it is asked. */
export function meterStore<Store extends BlobStore>(store: Store): { store: Store; meter: Meter } {
  const counts = new Map<Call, Count>();
  const metered = { ...store };
  for (const call of calls) {
    const plain = store[call] as ((...args: never[]) => Promise<unknown>) | undefined;
    if (!plain) continue;
    const count = { done: 0, failed: 0, seconds: 0 };
    counts.set(call, count);
    Object.assign(metered, { [call]: (...args: never[]) => counted(count, () => plain(...args)) });
  }
  return { store: metered, meter: () => readingsOf(counts) };
}

async function counted<T>(count: Count, work: () => Promise<T>): Promise<T> {
  const begin = performance.now();
  try {
    const answer = await work();
    count.done += 1;
    return answer;
  } catch (error) {
    if (isOfTheStore(error)) count.failed += 1;
    throw error;
  } finally {
    count.seconds += (performance.now() - begin) / 1000;
  }
}

/** A write also ends with the error of whoever sends the bytes: a client that goes away is no fault of the store. */
function isOfTheStore(error: unknown): boolean {
  if (error instanceof Failure) return error.reason === 'unavailable';
  return (error as NodeJS.ErrnoException).syscall !== undefined;
}

function readingsOf(counts: ReadonlyMap<Call, Count>): ReturnType<Meter> {
  const rows = [...counts];
  return [
    {
      name: 'store_calls_total',
      help: 'What was asked of the store of blobs. Failed: it could not be reached, was full or refused; clients that went away are neither.',
      kind: 'counter',
      samples: rows.flatMap(([call, { done, failed }]) => [
        { labels: { call, outcome: 'done' }, value: done },
        { labels: { call, outcome: 'failed' }, value: failed },
      ]),
    },
    {
      name: 'store_seconds_total',
      help: 'How long all these took together; a write as long as its client sends, a read until its first byte.',
      kind: 'counter',
      samples: rows.map(([call, { seconds }]) => ({ labels: { call }, value: seconds })),
    },
  ];
}
