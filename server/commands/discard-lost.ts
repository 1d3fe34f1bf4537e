import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline/promises';
import { Failure } from '#core/failure.ts';
import { countLost, discardLost, type LostSecrets } from '#core/lost-secrets.ts';
import { isBackup } from '#server/backup-mark.ts';
import type { Config } from '#server/config.ts';
import { openLog } from '#server/log.ts';
import { openForInspection } from '#server/open-platform.ts';
import { openSecrets } from '#server/seal.ts';
import { takeServeLock } from '#server/serve-lock.ts';

export type DiscardFlags = { yes?: boolean | undefined; json?: boolean | undefined };

/**
 * `lading rotate-master-key --discard-lost`: drops what no configured key opens, once somebody has said yes to exactly
 * that. No server of this data directory may run: it may have been given the key that is missing here.
 */
export async function discardLostSecrets(config: Config, { yes, json }: DiscardFlags): Promise<number> {
  // Without one, rows and bytes are elsewhere.
  const lock = existsSync(config.dataDir) ? takeServeLock(config.dataDir) : undefined;
  try {
    const log = openLog({ level: 'warn', stream: process.stderr });
    const secrets = openSecrets(config, config.dataDir);
    const { platform, close } = await openForInspection(config, log, secrets);
    try {
      const { lost } = await countLost(platform);
      if (lost.length > 0 && !yes) await requireYes(describe(lost, secrets.keyIds()));
      const dropped = lost.length === 0 ? 0 : await discardLost(platform);
      const all = lost.map(({ column, keyId, count }) => ({ what: column.title, keyId, count }));
      console.log(json ? JSON.stringify({ dropped, lost: all }, null, 2) : toSummary(lost, dropped, config));
      return 0;
    } finally {
      await close();
    }
  } finally {
    lock?.release();
  }
}

function describe(lost: readonly LostSecrets[], keyIds: readonly string[]): string {
  const keys = keyIds.length === 0 ? 'There is no master key here.' : `Configured: ${keyIds.join(', ')}.`;
  return [
    `${keys} These secrets open with no configured master key and would be dropped for good:`,
    ...toLines(lost),
    'Keys that sign access tokens, pull tokens of projects and tokens for clusters are made anew. Connections stay, without',
    'a secret and untested, and clusters fail, until they are given their credentials again. Images, API keys and registry',
    'tokens are not sealed and stay as they are.',
  ].join('\n');
}

const toLines = (lost: readonly LostSecrets[]): string[] =>
  lost.map(
    ({ column, keyId, isConfigured, count }) =>
      `  ${count} ${column.title}, sealed with ${JSON.stringify(keyId)}${isConfigured ? ', which does not open them' : ''}`,
  );

async function requireYes(question: string): Promise<void> {
  console.error(question);
  if (!process.stdin.isTTY) {
    throw new Failure('invalid', 'Nothing was dropped. If that is what you want, run this again with --yes.');
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await terminal.question('Type yes to drop them: ');
    if (answer.trim() !== 'yes') throw new Failure('invalid', 'Nothing was dropped.');
  } finally {
    terminal.close();
  }
}

function toSummary(lost: readonly LostSecrets[], dropped: number, { dataDir, databaseUrl }: Config): string {
  if (lost.length === 0) return 'Nothing is lost: the configured master keys open every stored secret.';
  return [
    `${dropped} stored secrets were dropped:`,
    ...toLines(lost),
    `Next: ${databaseUrl === undefined && isBackup(dataDir) ? `bin/lading restore ${dataDir}, and start the server on what it fills` : 'start the server'}, and give connections and clusters their credentials again. The audit log names each.`,
  ].join('\n');
}
