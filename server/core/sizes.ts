import { sql } from 'kysely';
import { Failure } from './failure.ts';
import type { Platform } from './platform.ts';

/**
 * Adds to a registry's size, giving back what was reserved for it, and to the repositories it lists. The last statement
 * of its transaction, because every push of the registry meets in this row. Throws `limit`, `not_found` once the registry is being deleted.
 */
export async function charge(
  platform: Platform,
  registryId: string,
  grownBytes: number,
  reservedBytes = 0,
  newRepositories = 0,
): Promise<void> {
  if (grownBytes <= 0) return release(platform, registryId, -grownBytes, reservedBytes, -newRepositories);
  const row = await platform.db
    .updateTable('registries')
    .set({
      size: sql`size + ${grownBytes}`,
      reserved: sql`reserved - ${reservedBytes}`,
      repository_count: sql`repository_count + ${newRepositories}`,
    })
    .where('id', '=', registryId)
    .where('state', '=', 'active')
    .where(sql<boolean>`size + reserved + ${grownBytes} - ${reservedBytes} <= size_limit`)
    .returning('id')
    .executeTakeFirst();
  if (!row) await refuseGrowth(platform, registryId, grownBytes);
}

/** Takes off a registry's size, its reservations and the repositories it lists. Never refuses. */
export async function release(
  { db }: Platform,
  registryId: string,
  freedBytes: number,
  reservedBytes = 0,
  goneRepositories = 0,
): Promise<void> {
  if (freedBytes === 0 && reservedBytes === 0 && goneRepositories === 0) return;
  await db
    .updateTable('registries')
    .set({
      size: sql`size - ${freedBytes}`,
      reserved: sql`reserved - ${reservedBytes}`,
      repository_count: sql`repository_count - ${goneRepositories}`,
    })
    .where('id', '=', registryId)
    .execute();
}

/** Reserves room for bytes to come. Throws as `charge` does. */
export async function reserve(platform: Platform, registryId: string, bytes: number): Promise<void> {
  if (bytes === 0) return;
  const row = await platform.db
    .updateTable('registries')
    .set({ reserved: sql`reserved + ${bytes}` })
    .where('id', '=', registryId)
    .where('state', '=', 'active')
    .where(sql<boolean>`size + reserved + ${bytes} <= size_limit`)
    .returning('id')
    .executeTakeFirst();
  if (!row) await refuseGrowth(platform, registryId, bytes);
}

async function refuseGrowth({ db }: Platform, registryId: string, requested: number): Promise<never> {
  const row = await db
    .selectFrom('registries')
    .select(['name', 'state', 'size', 'reserved', 'size_limit'])
    .where('id', '=', registryId)
    .executeTakeFirst();
  if (row?.state !== 'active') {
    throw new Failure('not_found', 'The registry is being deleted.', { about: 'registry' });
  }
  const used = row.size + row.reserved;
  throw new Failure(
    'limit',
    `Registry ${row.name} is limited to ${row.size_limit} bytes, ${used} are used or being uploaded, and this needs ${requested} more. Delete images and collect garbage, or raise the limit.`,
    { about: 'registry', used, limit: row.size_limit, requested },
  );
}
