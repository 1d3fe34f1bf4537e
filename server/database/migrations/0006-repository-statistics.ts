import type { Migration } from '../migrate.ts';

/**
 * Postgres must know which repositories are large, or it reads all of one to find a hundred rows by their keys. It keeps
 * the hundred most frequent values unless told otherwise, and there are thousands of repositories.
 */
export const repositoryStatistics: Migration = {
  number: 6,
  name: 'repository statistics',
  statements: (_words, engine) =>
    engine === 'sqlite'
      ? []
      : ['manifests', 'tags', 'manifest_references', 'repository_blobs'].map(
          (table) => `alter table ${table} alter column repository_id set statistics 1000`,
        ),
};
