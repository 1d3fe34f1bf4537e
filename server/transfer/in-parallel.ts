/** A few at a time. After an error nothing new is begun, what runs is waited for, and the first error is thrown. */
export async function inParallel<T>(
  items: readonly T[],
  atOnce: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  let next = 0;
  let hasFailed = false;
  const workers = Array.from({ length: Math.min(atOnce, items.length) }, async () => {
    while (next < items.length && !hasFailed) {
      try {
        await work(items[next++] as T);
      } catch (error) {
        hasFailed = true;
        throw error;
      }
    }
  });
  const ended = await Promise.allSettled(workers);
  const failed = ended.find((one) => one.status === 'rejected');
  if (failed) throw failed.reason;
}
