/**
 * One sync for all who wait: whoever comes while one runs cannot know whether his bytes are in it, and waits for the next,
 * together with everyone else who came meanwhile.
 *
 * After a sync that failed nobody is told "durable" again until a restart: the kernel may have dropped what it could not
 * write, and a later sync would succeed without it.
 */
export type GroupSync = {
  /** Something was written that is not synced yet. */
  wrote(): void;
  /** Resolves once all that was written before the call is durable; undefined if it is already. */
  settle(): Promise<void> | undefined;
};

export function newGroupSync(sync: () => Promise<void>): GroupSync {
  let written = 0;
  let synced = 0;
  /** What the running sync makes durable. */
  let covered = 0;
  let running: Promise<void> | undefined;
  let next: Promise<void> | undefined;

  // A rejected `running` is never replaced: `next` and all after it reject with it.
  function start(): Promise<void> {
    covered = written;
    running = sync().then(() => {
      synced = covered;
      running = undefined;
    });
    return running;
  }

  return {
    wrote() {
      written++;
    },
    settle() {
      if (synced === written) return undefined;
      if (!running && !next) return start();
      if (running && covered === written) return running;
      next ??= (running ?? Promise.resolve()).then(() => {
        next = undefined;
        return start();
      });
      return next;
    },
  };
}
