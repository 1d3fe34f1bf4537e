import { join } from 'node:path';
import { openDiskStore } from '#blobs/disk.ts';
import { newLocalState } from '#core/local-state.ts';
import type { Log, Platform, Secrets } from '#core/platform.ts';
import { ensureRegions } from '#core/regions.ts';
import { type Database, openDatabase } from '#database/open-database.ts';
import { type Config, regionsOf } from './config.ts';

export type Installation = { platform: Platform; database: Database; close(): Promise<void> };

/** Opens the adapters that the configuration names. Throws `unavailable` or `in_use` with a sentence for the operator. */
export async function openPlatform(config: Config, log: Log, secrets: Secrets): Promise<Installation> {
  const database = await openDatabase({ url: config.databaseUrl, dataDir: config.dataDir });
  try {
    const blobs = await openDiskStore(join(config.dataDir, 'objects'));
    const configured = regionsOf(config).map(({ id, ...rest }) => ({ slug: id, ...rest }));
    const platform: Platform = {
      db: database.db,
      blobs,
      secrets,
      now: database.now,
      log,
      config: {
        regions: await ensureRegions(database.db, configured),
        registryLimitBytes: config.registryLimitBytes,
        registriesPerTeam: config.registriesPerTeam,
      },
      local: newLocalState(),
    };
    return { platform, database, close: () => database.close() };
  } catch (error) {
    await database.close();
    throw error;
  }
}
