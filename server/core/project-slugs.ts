import type { Platform } from './platform.ts';

/** The slugs of projects that an actor was shown by their ids; those gone meanwhile are left out. */
export async function readProjectSlugs({ db }: Platform, ids: readonly string[]): Promise<Map<string, string>> {
  if (ids.length === 0) return new Map();
  const rows = await db
    .selectFrom('projects')
    .select(['id', 'slug'])
    .where('id', 'in', [...new Set(ids)])
    .execute();
  return new Map(rows.map(({ id, slug }) => [id, slug]));
}
