import type { Kysely } from 'kysely';
import { Failure } from './failure.ts';
import { newId } from './ids.ts';
import type { Platform, Region } from './platform.ts';
import type { Schema } from './schema.ts';

/** A region as `LADING_REGIONS` has it. */
export type ConfiguredRegion = { slug: string; name: string; host: string };

/**
 * The configured regions with the ids of their rows, in the configuration's order; rows are made when a region is first
 * seen. Throws `in_use` when a region that holds registries is no longer configured: they would be out of reach.
 */
export async function ensureRegions(
  db: Kysely<Schema>,
  configured: readonly ConfiguredRegion[],
  makeId: () => string = newId,
): Promise<Region[]> {
  for (const { slug, name } of configured) {
    // Two replicas that start together make one row, and both keep its id.
    await db
      .insertInto('regions')
      .values({ id: makeId(), slug, name })
      .onConflict((oc) => oc.column('slug').doUpdateSet({ name }))
      .execute();
  }
  await refuseOrphans(
    db,
    configured.map(({ slug }) => slug),
  );
  const rows = await db.selectFrom('regions').select(['id', 'slug']).execute();
  const ids = new Map(rows.map(({ slug, id }) => [slug, id]));
  return configured.map(({ slug, name, host }) => ({ id: ids.get(slug) ?? '', slug, name, host }));
}

async function refuseOrphans(db: Kysely<Schema>, slugs: readonly string[]): Promise<void> {
  const rows = await db
    .selectFrom('regions')
    .select('slug')
    .where('slug', 'not in', slugs)
    .where(({ exists, selectFrom }) =>
      exists(selectFrom('registries').select('registries.id').whereRef('registries.region_id', '=', 'regions.id')),
    )
    .orderBy('slug')
    .execute();
  if (rows.length === 0) return;
  const names = rows.map(({ slug }) => slug).join(', ');
  throw new Failure(
    'in_use',
    `LADING_REGIONS no longer lists ${names}, which still holds registries. Put it back, or delete its registries first.`,
    { about: 'registry' },
  );
}

/** The region with this slug or id; the first one where none is named. Throws `invalid` for an unknown one. */
export function getRegion({ config }: Platform, ref?: string | undefined): Region {
  const region = ref === undefined ? config.regions[0] : config.regions.find((r) => r.slug === ref || r.id === ref);
  if (region) return region;
  const known = config.regions.map(({ slug }) => slug).join(', ');
  throw new Failure('invalid', `There is no region ${JSON.stringify(ref ?? '')}. There are: ${known}.`, {
    fields: { '/region': `one of ${known}` },
  });
}
