import type { Migration } from '../migrate.ts';

/** The janitor looks every ten seconds for uploads that have lived for a day, however many there are. */
export const uploadsByStart: Migration = {
  number: 11,
  name: 'uploads by start',
  statements: () => ['create index uploads_by_start on uploads (started_at)'],
};
