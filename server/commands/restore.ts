import { resolve } from 'node:path';
import { Failure } from '#core/failure.ts';
import type { Secrets } from '#core/platform.ts';
import { requireMasterKeys } from '#core/sealed-rows.ts';
import { type Config, type Environment, readConfig } from '#server/config.ts';
import type { SealKey } from '#server/config-values.ts';
import { masterKeyPath, readKeyFile } from '#server/master-key-file.ts';
import { type Opened, openSource, openTarget, takeBackup } from '#server/open-copy.ts';
import { secretsOf } from '#server/seal.ts';
import type { Source } from '#transfer/copy-installation.ts';
import { printFaults } from './config.ts';
import { findKeys, writeKeys } from './copied-keys.ts';
import { requireOtherDirectory } from './copy-target.ts';
import { afterLoss, printCopy, runCopy } from './copying.ts';

/** `lading restore <directory>`: into the empty place that the configuration names. Answers the exit code. */
export async function restore(environment: Environment, directory: string, flags: { json: boolean }): Promise<number> {
  const answer = readConfig(environment);
  if ('faults' in answer) return printFaults(answer.faults);
  const { config } = answer;
  const backup = resolve(directory);
  requireOtherDirectory(backup, config.dataDir);
  const lock = takeBackup(backup);
  try {
    const source = await openSource({ dataDir: backup }, { isBackup: true, scratch: config.dataDir });
    try {
      return await restoreFrom(source, backup, config, flags);
    } finally {
      await source.close();
    }
  } finally {
    lock.release();
  }
}

async function restoreFrom(source: Opened<Source>, backup: string, config: Config, { json }: { json: boolean }) {
  const keys = await requireKeys(source, backup, config);
  const target = await openTarget(config, source, { mustBeEmpty: true });
  try {
    if (keys.fromBackup) writeKeys(keys.fromBackup, config.dataDir);
    const report = { ...(await runCopy(source, target)), serversAtWork: false };
    const key = keys.fromBackup ? [`The master key of the backup is now in ${masterKeyPath(config.dataDir)}.`] : [];
    return printCopy(report, json, { directory: backup }, [
      ...key,
      report.lost.length > 0
        ? afterLoss
        : 'Next: bin/lading verify --deep looks whether all is well; then start the servers. What was revoked or deleted after the backup was made is back: look through API keys and tokens.',
    ]);
  } finally {
    await target.close();
  }
}

/** Before anything is written. The backup's own key counts where none is configured here. */
async function requireKeys(
  source: Source,
  backup: string,
  config: Config,
): Promise<{ fromBackup?: readonly SealKey[] }> {
  const { keys } = findKeys(config);
  const own = readKeyFile(masterKeyPath(backup)) ?? [];
  const fromBackup = keys.length === 0 && own.length > 0 ? own : undefined;
  await requireOpening(source, secretsOf(fromBackup ?? keys));
  return fromBackup ? { fromBackup } : {};
}

async function requireOpening({ openSnapshot }: Source, secrets: Secrets): Promise<void> {
  const snapshot = await openSnapshot();
  try {
    await requireMasterKeys({ db: snapshot.db, secrets });
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    throw new Failure(
      'unavailable',
      `The secrets of the backup do not open with the master key that is configured here. ${error.message} Nothing was written. What drops them is run on a copy of the backup, LADING_DATA_DIR=<copy> bin/lading rotate-master-key --discard-lost, and the copy is restored: docs/backup.md, "Without the key".`,
    );
  } finally {
    await snapshot.close();
  }
}
