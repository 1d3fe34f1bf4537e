import type { Migration } from '../migrate.ts';

/** One row that says which installation this is, and whether it is a copy of another that is not finished. */
export const installation: Migration = {
  number: 10,
  name: 'installation',
  statements: ({ text, bigint, table }) => [
    `create table installations (
      slot integer primary key check (slot = 1), id ${text} not null, copy_of ${text}, copied_at ${bigint}, run ${text}
    ) ${table}`,
  ],
};
