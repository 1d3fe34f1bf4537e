import { join } from 'node:path';
import { openDiskStore } from '#blobs/disk.ts';
import { meterStore } from '#blobs/metered.ts';
import { takeIntoService } from '#core/installations.ts';
import { newLocalState } from '#core/local-state.ts';
import type { BlobStore, Log, Platform, Secrets } from '#core/platform.ts';
import type { Meter } from '#core/readings.ts';
import { ensureRegions } from '#core/regions.ts';
import { requireNoDraft } from '#database/draft-database.ts';
import { requireInspectable } from '#database/inspection.ts';
import { type Database, openDatabase } from '#database/open-database.ts';
import { allowsPlainHttp } from '#outbound/addresses.ts';
import { openOutbound } from '#outbound/outbound.ts';
import { openUpstream } from '#upstream/upstream.ts';
import { type Config, regionsOf } from './config.ts';
import { newStoreCheck } from './store-check.ts';

export type Installation = {
  platform: Platform;
  database: Database;
  meters: readonly Meter[];
  close(): Promise<void>;
};

export type ServedInstallation = Installation & { checkStore: () => Promise<void> };

/** Opens the adapters that the configuration names. Throws `unavailable` or `in_use` with a sentence for the operator. */
export async function openPlatform(config: Config, log: Log, secrets: Secrets): Promise<ServedInstallation> {
  if (config.databaseUrl === undefined) requireNoDraft(config.dataDir);
  const installation = await openAdapters(config, log, secrets);
  try {
    const store = newStoreCheck(installation.platform, placeOfStore(config));
    // First: a copy that is started with the wrong settings stays a copy, which the next run may write.
    await store.atStart();
    await takeIntoService(installation.database.db);
    const configured = regionsOf(config).map(({ id, ...rest }) => ({ slug: id, ...rest }));
    const regions = await ensureRegions(installation.database.db, configured);
    const { platform } = installation;
    return {
      ...installation,
      checkStore: store.check,
      platform: { ...platform, config: { ...platform.config, regions } },
    };
  } catch (error) {
    await installation.close();
    throw error;
  }
}

/**
 * For commands that work beside servers: the schema is left alone, no region is made, and without `secrets` none is opened
 * and no key needed.
 */
export async function openForInspection(config: Config, log: Log, secrets: Secrets = noSecrets): Promise<Installation> {
  await requireInspectable({ url: config.databaseUrl, dataDir: config.dataDir });
  return openAdapters(config, log, secrets);
}

const noSecrets: Secrets = {
  seal: refuseSecrets,
  open: refuseSecrets,
  keyIds: refuseSecrets,
  prefixOf: refuseSecrets,
};

function refuseSecrets(): never {
  throw new Error('This command opens no secrets.');
}

async function openAdapters(config: Config, log: Log, secrets: Secrets): Promise<Installation> {
  const {
    registryLimitBytes,
    registriesPerTeam,
    requestsPerHour = null,
    upstreamAllow,
    connectionCheckIntervalMs,
  } = config;
  const outbound = openOutbound({ allowed: upstreamAllow });
  const database = await openDatabase({
    url: config.databaseUrl,
    dataDir: config.dataDir,
    poolSize: config.databasePoolSize,
  });
  for (const warning of database.warnings) log.warn({}, warning);
  let store: OpenedStore | undefined;
  const close = async () => {
    store?.close?.();
    await database.close();
  };
  try {
    store = await openStore(config, log, database.now);
    const metered = meterStore<BlobStore>(store);
    const platform: Platform = {
      db: database.db,
      scans: database.scans,
      blobs: metered.store,
      secrets,
      outbound,
      upstream: openUpstream(outbound),
      now: database.now,
      log,
      config: {
        regions: [],
        registryLimitBytes,
        registriesPerTeam,
        requestsPerHour,
        connectionCheckIntervalMs,
        allowsPlainHttp: allowsPlainHttp(upstreamAllow),
      },
      local: newLocalState(),
    };
    return { platform, database, meters: [metered.meter, database.meter], close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** For people; its parts hold no credentials (`config-storage.ts`). */
export function placeOfStore({ dataDir, storage }: Config): string {
  if (!storage) return join(dataDir, 'objects');
  const { bucket, prefix, endpoint } = storage;
  return `s3://${bucket}${prefix === '' ? '' : `/${prefix}`} at ${endpoint ?? 'AWS'}`;
}

type OpenedStore = BlobStore & { close?: () => void };

async function openStore(
  { dataDir, storage, redirectsToStorage }: Config,
  log: Log,
  now: () => number,
): Promise<OpenedStore> {
  if (!storage) return openDiskStore(join(dataDir, 'objects'));
  // Only where it is wanted: every other start would load a large client for nothing.
  const { openS3Store } = await import('#blobs/s3.ts');
  const store = openS3Store(storage, { redirects: redirectsToStorage, now });
  // Nobody waits for it, and credentials that may not ask are as they should be.
  store.keepsVersions().then(
    (keeps) => keeps && log.warn({ bucket: storage.bucket }, 'the bucket keeps old versions: what is removed stays'),
    () => {},
  );
  return store;
}
