import { type Config, type Environment, readConfig } from '#server/config.ts';
import type { Place } from '#server/copy-rules.ts';
import { requireInstallation } from '#server/data-dir.ts';
import { masterKeyPath } from '#server/master-key-file.ts';
import { findServers, openSource, openTarget } from '#server/open-copy.ts';
import { printFaults } from './config.ts';
import { findKeys, requireRoomForKeys, writeKeys } from './copied-keys.ts';
import { parseTarget, requireOutside, type TargetFlags } from './copy-target.ts';
import { afterLoss, type CopyReport, printCopy, runCopy } from './copying.ts';

/** `lading copy-store`, beside servers at work or without one. Answers the exit code. */
export async function copyStore(environment: Environment, flags: TargetFlags & { json: boolean }): Promise<number> {
  const answer = readConfig(environment);
  if ('faults' in answer) return printFaults(answer.faults);
  const { config } = answer;
  requireInstallation(config);
  const place = parseTarget(environment, flags);
  requireOutside(place.dataDir, config.dataDir);
  const { keys, isInDataDir } = findKeys(config);
  const movesKeys = isInDataDir && place.dataDir !== undefined && keys.length > 0;
  if (movesKeys) requireRoomForKeys(keys, place.dataDir ?? '');
  const hadServers = await findServers(config);
  const source = await openSource(config);
  try {
    const target = await openTarget(place, source);
    try {
      if (movesKeys) writeKeys(keys, place.dataDir ?? '');
      const copied = await runCopy(source, target);
      const report = { ...copied, serversAtWork: hadServers || (await findServers(config, { isOpenHere: true })) };
      const found = { settings: settingsOf(place), masterKey: masterKeyOf(config, place) };
      return printCopy(report, flags.json, found, nextSteps(report, found));
    } finally {
      await target.close();
    }
  } finally {
    await source.close();
  }
}

type Found = { settings: ReturnType<typeof settingsOf>; masterKey: ReturnType<typeof masterKeyOf> };

function nextSteps(report: CopyReport, { settings, masterKey }: Found): string[] {
  if (!report.isComplete) return [];
  if (report.lost.length > 0) return [afterLoss];
  const isCurrent = !report.serversAtWork && report.changesSince === 0;
  return [
    isCurrent
      ? 'No server was at work and nothing has changed since. Next: start the servers with these settings:'
      : 'Next, for the move itself: stop the servers, run this again (only what is new is copied), and start them with these settings:',
    ...Object.entries(settings).map(([name, value]) => describeSetting(name, value)),
    ...(masterKey ? describeKey(masterKey) : []),
  ];
}

function describeSetting(name: string, value: string | null): string {
  if (value === null) return `  ${name} not set`;
  return value.startsWith('--') ? `  ${name} the URL of ${value}` : `  ${name}=${value}`;
}

/** URLs by their flags: one may hold a password. Null: not set. */
function settingsOf({ dataDir, databaseUrl, storage }: Place) {
  return {
    ...(dataDir !== undefined && { LADING_DATA_DIR: dataDir }),
    LADING_DATABASE_URL: databaseUrl ? '--to-database' : null,
    LADING_STORAGE_URL: storage ? '--to-storage' : null,
  };
}

/** What opens the stored secrets in the new place. `path`: of the source's file. */
function masterKeyOf(config: Config, { dataDir }: Place) {
  const { keys, isInDataDir, path } = findKeys(config);
  if (keys.length === 0) return null;
  return {
    ids: keys.map(({ id }) => id),
    setting: path === undefined ? 'LADING_MASTER_KEY' : 'LADING_MASTER_KEY_FILE',
    path: path ?? null,
    isInDataDir,
    copiedTo: isInDataDir && dataDir !== undefined ? masterKeyPath(dataDir) : null,
  };
}

function describeKey({ setting, path, isInDataDir, copiedTo }: NonNullable<Found['masterKey']>): string[] {
  if (copiedTo !== null) return [`The master key was copied to ${copiedTo}.`];
  if (isInDataDir) return [`  ${setting} naming a copy of ${path}, on every machine that runs a server`];
  return [
    path === null
      ? `  ${setting} as it is set now`
      : `  ${setting}=${path}, as now, on every machine that runs a server`,
  ];
}
