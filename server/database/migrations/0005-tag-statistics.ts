import type { Migration } from '../migrate.ts';

/**
 * Deleting a manifest deletes its tags by `tags_by_digest`. Without statistics SQLite takes a repository for ten tags and
 * reads all of them for each manifest instead: thousands of times as much where there are 100,000. These numbers (rows,
 * then how many share the first columns of the key) are of a large installation, and never collected: a plan must not
 * change because a database has grown.
 */
export const tagStatistics: Migration = {
  number: 5,
  name: 'tag statistics',
  statements: (_words, engine) =>
    engine === 'postgres'
      ? []
      : [
          // Makes the table of statistics, which nobody may create by its name.
          'analyze tags',
          'delete from sqlite_stat1',
          `insert into sqlite_stat1 (tbl, idx, stat) values
            ('tags', 'tags', '1000000 1000 1'), ('tags', 'tags_by_digest', '1000000 1000 2 2')`,
          'analyze sqlite_schema',
        ],
};
