import { Cron } from 'croner';
import { queueDueCollections } from '#core/collection.ts';
import type { Platform } from '#core/platform.ts';
import type { Job } from './schedule.ts';

/** Has all registries collected whenever the cron expression says so. A time at which no process ran is not made up for. */
export function scheduledCollections(platform: Platform, expression: string): Job {
  const cron = new Cron(expression, { paused: true });
  let seenUntil = platform.now();
  return {
    name: 'collect garbage as scheduled',
    everyMs: 5000,
    run: async () => {
      const now = platform.now();
      const due = cron.nextRun(new Date(seenUntil))?.getTime();
      if (due === undefined || due > now) return false;
      await queueDueCollections(platform, due);
      seenUntil = now;
      return false;
    },
  };
}
