import { type Config, type Environment, readConfig } from '#server/config.ts';
import type { Place } from '#server/copy-rules.ts';
import { requireInstallation } from '#server/data-dir.ts';
import { masterKeyPath } from '#server/master-key-file.ts';
import { findServers, openSource, openTarget } from '#server/open-copy.ts';
import { printFaults } from './config.ts';
import { findKeys, requireRoomForKeys, writeKeys } from './copied-keys.ts';
import { parseTarget, requireOtherDirectory, type TargetFlags } from './copy-target.ts';
import { afterLoss, type CopyReport, printCopy, runCopy } from './copying.ts';

/** `lading copy-store`, beside servers at work or without one. Answers the exit code. */
export async function copyStore(environment: Environment, flags: TargetFlags & { json: boolean }): Promise<number> {
  const answer = readConfig(environment);
  if ('faults' in answer) return printFaults(answer.faults);
  const { config } = answer;
  requireInstallation(config);
  const place = parseTarget(environment, flags);
  requireOtherDirectory(place.dataDir, config.dataDir);
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
      return printCopy(report, flags.json, {}, nextSteps(report, config, place));
    } finally {
      await target.close();
    }
  } finally {
    await source.close();
  }
}

function nextSteps(report: CopyReport, config: Config, place: Place): string[] {
  if (!report.isComplete) return [];
  if (report.lost.length > 0) return [afterLoss];
  const isCurrent = !report.serversAtWork && report.changesSince === 0;
  return [
    isCurrent
      ? 'No server was at work and nothing has changed since. Next: start the servers with these settings:'
      : 'Next, for the move itself: stop the servers, run this again (only what is new is copied), and start them with these settings:',
    ...describeSettings(place),
    ...describeKeys(config, place),
  ];
}

function describeSettings({ dataDir, databaseUrl, storage }: Place): string[] {
  return [
    ...(dataDir === undefined ? [] : [`  LADING_DATA_DIR=${dataDir}`]),
    `  LADING_DATABASE_URL ${databaseUrl ? 'the URL of --to-database' : 'not set'}`,
    `  LADING_STORAGE_URL ${storage ? 'the URL of --to-storage' : 'not set'}`,
  ];
}

function describeKeys(config: Config, { dataDir }: Place): string[] {
  const { keys, isInDataDir } = findKeys(config);
  if (keys.length === 0) return [];
  if (!isInDataDir) return ['  the master keys as they are configured now'];
  const path = masterKeyPath(config.dataDir);
  return dataDir === undefined
    ? [`  LADING_MASTER_KEY_FILE naming a copy of ${path}, on every machine that runs a server`]
    : [`The master key was copied to ${masterKeyPath(dataDir)}.`];
}
