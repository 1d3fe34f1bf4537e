/** One holder at a time, first come first served. `acquire` answers at once, without a promise, where nobody holds it. */
export type Mutex = {
  isHeld(): boolean;
  acquire(): Promise<void> | undefined;
  release(): void;
};

export function newMutex(): Mutex {
  let held = false;
  let waiting: (() => void)[] = [];
  let next = 0;

  return {
    isHeld: () => held,
    acquire() {
      if (held) return new Promise((resolve) => waiting.push(resolve));
      held = true;
      return undefined;
    },
    release() {
      // Handed over without becoming free in between, so that no newcomer overtakes the queue.
      const resolve = waiting[next++];
      if (resolve) return resolve();
      waiting = [];
      next = 0;
      held = false;
    },
  };
}
