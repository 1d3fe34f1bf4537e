import type { Migration } from '../migrate.ts';

/** How many requests each API key has made in its hour. No foreign key: a key that ends leaves its row to the janitor. */
export const requestWindows: Migration = {
  number: 8,
  name: 'request windows',
  statements: ({ text, bigint, hot }) => [
    `create table request_windows (
      actor_id ${text} primary key, started_at ${bigint} not null, used ${bigint} not null
    ) ${hot}`,
  ],
};
