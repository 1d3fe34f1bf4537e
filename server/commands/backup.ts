import { resolve } from 'node:path';
import { type Config, type Environment, readConfig } from '#server/config.ts';
import { settingNames } from '#server/copy-rules.ts';
import { requireInstallation } from '#server/data-dir.ts';
import { masterKeyPath } from '#server/master-key-file.ts';
import { findServers, openSource, openTarget } from '#server/open-copy.ts';
import { printFaults } from './config.ts';
import { findKeys, holdsKeys, requireRoomForKeys, writeKeys } from './copied-keys.ts';
import { requireOutside } from './copy-target.ts';
import { printCopy, runCopy } from './copying.ts';

export type BackupFlags = { withMasterKey: boolean; json: boolean };

/** `lading backup <directory>`, beside servers at work or without one. Answers the exit code. */
export async function backup(environment: Environment, directory: string, flags: BackupFlags): Promise<number> {
  const answer = readConfig(environment);
  if ('faults' in answer) return printFaults(answer.faults);
  const { config } = answer;
  requireInstallation(config);
  const dataDir = resolve(directory);
  requireOutside(dataDir, config.dataDir);
  const { keys } = findKeys(config);
  if (flags.withMasterKey) requireRoomForKeys(keys, dataDir);
  const hadServers = await findServers(config);
  const source = await openSource(config);
  try {
    const target = await openTarget({ dataDir, names }, source, { makesBackup: true });
    try {
      if (flags.withMasterKey && keys.length > 0) writeKeys(keys, dataDir);
      const report = { ...(await runCopy(source, target)), serversAtWork: hadServers };
      const ids = keys.map(({ id }) => id);
      const masterKey = { ids, isIncluded: holdsKeys(keys, dataDir) };
      return printCopy(report, flags.json, { directory: dataDir, masterKey }, [
        ...describeKeys(ids, masterKey.isIncluded, dataDir),
        ...describeCheck(config, dataDir, masterKey.isIncluded),
      ]);
    } finally {
      await target.close();
    }
  } finally {
    await source.close();
  }
}

const names = { ...settingNames, directory: 'of the backup' };

function describeKeys(ids: readonly string[], isIncluded: boolean, dataDir: string): string[] {
  if (ids.length === 0) return [];
  return isIncluded
    ? [`The master key is in the backup (${masterKeyPath(dataDir)}): whoever reads it can open every stored secret.`]
    : [
        `The master key is NOT in the backup. Keep ${ids.join(' and ')} elsewhere: without it the stored secrets of connections and clusters are lost, though images are not. --with-master-key puts it in.`,
      ];
}

/** A line that a script can go by: without the key `verify` would find it missing each time. */
function describeCheck(config: Config, dataDir: string, isIncluded: boolean): string[] {
  const { keys, path } = findKeys(config);
  const needsKey = keys.length > 0 && !isIncluded;
  const settings = [
    // Else it would look at the source.
    ...(config.databaseUrl ? ['LADING_DATABASE_URL='] : []),
    ...(config.storage ? ['LADING_STORAGE_URL='] : []),
    `LADING_DATA_DIR=${quote(dataDir)}`,
    ...(needsKey && path !== undefined ? [`LADING_MASTER_KEY_FILE=${quote(path)}`] : []),
  ];
  const withKey = needsKey && path === undefined ? ', with LADING_MASTER_KEY set as now' : '';
  return [`To look whether it is whole (exit code 0)${withKey}: ${settings.join(' ')} bin/lading verify --deep`];
}

/** For a shell. */
const quote = (text: string) => (/^[\w./:@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);
