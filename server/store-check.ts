import { setTimeout as delay } from 'node:timers/promises';
import type { Platform } from '#core/platform.ts';
import { findWrongStore } from '#core/wrong-store.ts';

/** A store that is away must not stop the start: what needs no bytes is served meanwhile. */
const startMs = 5_000;

export type StoreCheck = {
  /** Throws `unavailable` if this is surely another store; what cannot be known now is left to `check`. */
  atStart: () => Promise<void>;
  /** For readiness: the store takes writes, and is the one that the database's objects are in. */
  check: () => Promise<void>;
};

export function newStoreCheck(platform: Platform, place: string): StoreCheck {
  let isRight = false;
  let asked: Promise<void> | undefined;

  async function requireRight(): Promise<void> {
    const wrong = await findWrongStore(platform, place);
    if (wrong) throw wrong;
    isRight = true;
  }

  return {
    atStart: async () => {
      const unknown = new AbortController();
      const late = delay(startMs, undefined, { signal: unknown.signal }).catch(() => undefined);
      const found = findWrongStore(platform, place).then(
        (wrong) => ({ wrong }),
        () => undefined,
      );
      const answer = await Promise.race([found, late]);
      unknown.abort();
      if (answer?.wrong) throw answer.wrong;
      isRight = answer !== undefined;
    },
    check: async () => {
      await platform.blobs.check();
      if (isRight) return;
      // Probes give up sooner than a store that is slow: one question at a time.
      asked ??= requireRight().finally(() => {
        asked = undefined;
      });
      await asked;
    },
  };
}
