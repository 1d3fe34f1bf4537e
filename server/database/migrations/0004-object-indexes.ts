import type { Migration } from '../migrate.ts';

/**
 * Only what is written or doomed is looked for by time. With all objects in these indexes, each change of a stored one
 * changed them too, and SQLite read all that are stored where it was asked for a few of them by key.
 */
export const objectIndexes: Migration = {
  number: 4,
  name: 'object indexes',
  statements: () => [
    'drop index objects_by_removal',
    'drop index objects_by_writer',
    `create index objects_by_removal on objects (remove_after) where state = 'doomed'`,
    `create index objects_by_writer on objects (writer_until) where state = 'writing'`,
  ],
};
