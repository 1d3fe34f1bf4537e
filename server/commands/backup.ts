import { resolve } from 'node:path';
import { type Environment, readConfig } from '#server/config.ts';
import { requireInstallation } from '#server/data-dir.ts';
import { masterKeyPath } from '#server/master-key-file.ts';
import { findServers, openSource, openTarget } from '#server/open-copy.ts';
import { printFaults } from './config.ts';
import { findKeys, holdsKeys, requireRoomForKeys, writeKeys } from './copied-keys.ts';
import { requireOtherDirectory } from './copy-target.ts';
import { printCopy, runCopy } from './copying.ts';

export type BackupFlags = { withMasterKey: boolean; json: boolean };

/** `lading backup <directory>`, beside servers at work or without one. Answers the exit code. */
export async function backup(environment: Environment, directory: string, flags: BackupFlags): Promise<number> {
  const answer = readConfig(environment);
  if ('faults' in answer) return printFaults(answer.faults);
  const { config } = answer;
  requireInstallation(config);
  const dataDir = resolve(directory);
  requireOtherDirectory(dataDir, config.dataDir);
  const { keys } = findKeys(config);
  if (flags.withMasterKey) requireRoomForKeys(keys, dataDir);
  const hadServers = await findServers(config);
  const source = await openSource(config);
  try {
    const target = await openTarget({ dataDir }, source);
    try {
      if (flags.withMasterKey && keys.length > 0) writeKeys(keys, dataDir);
      const report = { ...(await runCopy(source, target)), serversAtWork: hadServers };
      const ids = keys.map(({ id }) => id);
      const masterKey = { ids, isIncluded: holdsKeys(keys, dataDir) };
      return printCopy(report, flags.json, { directory: dataDir, masterKey }, [
        ...describeKeys(ids, masterKey.isIncluded, dataDir),
        `To look whether it is whole: LADING_DATA_DIR=${dataDir} bin/lading verify --deep`,
      ]);
    } finally {
      await target.close();
    }
  } finally {
    await source.close();
  }
}

function describeKeys(ids: readonly string[], isIncluded: boolean, dataDir: string): string[] {
  if (ids.length === 0) return [];
  return isIncluded
    ? [`The master key is in the backup (${masterKeyPath(dataDir)}): whoever reads it can open every stored secret.`]
    : [
        `The master key is NOT in the backup. Keep ${ids.join(' and ')} elsewhere: without it the stored secrets of connections and clusters are lost, though images are not. --with-master-key puts it in.`,
      ];
}
