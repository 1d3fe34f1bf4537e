import { Failure } from '#core/failure.ts';
import { type Rotation, rotateMasterKey } from '#core/master-key-rotation.ts';
import { type Config, type Environment, readConfig } from '#server/config.ts';
import { requireInstallation } from '#server/data-dir.ts';
import { openLog } from '#server/log.ts';
import { addNewKey, masterKeyPath, readKeyFile } from '#server/master-key-file.ts';
import { openForInspection } from '#server/open-platform.ts';
import { openSecrets } from '#server/seal.ts';
import { findServeHolder, type Holder } from '#server/serve-lock.ts';
import { printFaults } from './config.ts';
import { discardLostSecrets } from './discard-lost.ts';

export type RotationFlags = {
  newKey?: boolean | undefined;
  discardLost?: boolean | undefined;
  yes?: boolean | undefined;
  json?: boolean | undefined;
};

/**
 * `lading rotate-master-key`, beside servers at work or without one. Answers 0: everything is sealed with the first key,
 * 1: something is left, 2: nothing was done.
 */
export async function rotateKeys(environment: Environment, flags: RotationFlags): Promise<number> {
  const answer = readConfig(environment);
  if ('faults' in answer) return printFaults(answer.faults);
  const { config } = answer;
  requireInstallation(config);
  if (flags.newKey && flags.discardLost) {
    throw new Failure('invalid', '--new-key and --discard-lost are two steps: run the command once for each.');
  }
  if (flags.discardLost) return discardLostSecrets(config, flags);
  return flags.newKey ? addKey(config, flags) : reseal(config, flags);
}

/** Only writes the file. A server that runs does not know the key yet, so nothing may be sealed with it. */
function addKey(config: Config, { json }: RotationFlags): number {
  if (config.masterKeys || config.masterKeyFile !== undefined) {
    throw new Failure(
      'invalid',
      'The master keys are configured: put a new one first in LADING_MASTER_KEY or its file yourself. docs/configuration.md says how.',
    );
  }
  const path = masterKeyPath(config.dataDir);
  requireServerReads(config, path);
  const [newId, oldId] = addNewKey(path);
  const text = [
    `${path} has a new key, ${newId}; the old one, ${oldId}, still opens what it has sealed.`,
    'Next: back the file up, restart the server, and run bin/lading rotate-master-key.',
  ];
  console.log(json ? JSON.stringify({ path, newKeyId: newId, oldKeyId: oldId }, null, 2) : text.join('\n'));
  return 0;
}

async function reseal(config: Config, { json }: RotationFlags): Promise<number> {
  const secrets = openSecrets(config, config.dataDir);
  const keyIds = secrets.keyIds();
  requireServerKnows(config, keyIds);
  const log = openLog({ level: 'warn', stream: process.stderr });
  const { platform, close } = await openForInspection(config, log, secrets);
  try {
    const progress = newProgress(process.stderr);
    const rotation = await rotateMasterKey(platform, progress.report).finally(progress.end);
    const { keyId, ...counts } = rotation;
    const removable = rotation.left === 0 ? keyIds.filter((id) => id !== keyId) : [];
    console.log(json ? JSON.stringify({ keyId, ...counts, removable }, null, 2) : toSummary(rotation, removable));
    return rotation.left === 0 ? 0 : 1;
  } finally {
    await close();
  }
}

/** A key in a file that the server never reads is one that somebody would wait for in vain. */
function requireServerReads({ dataDir }: Config, path: string): void {
  const holder = findServeHolder(dataDir);
  const ids = readKeyFile(path)?.map(({ id }) => id) ?? [];
  if (!holder || holder.masterKeyIds.every((id) => ids.includes(id))) return;
  throw new Failure(
    'in_use',
    `${describeServer(holder)} has the master keys ${quoted(holder.masterKeyIds)}, which are not those of ${path}. Where it is configured with LADING_MASTER_KEY or LADING_MASTER_KEY_FILE, put a new key first there.`,
  );
}

/** Else what is sealed anew could be lost to the server of this data directory, or what it seals be left over. */
function requireServerKnows({ dataDir }: Config, ids: readonly string[]): void {
  const holder = findServeHolder(dataDir);
  const [first] = ids;
  if (!holder || holder.masterKeyIds[0] === first) return;
  const known = holder.masterKeyIds;
  const [seals] = known;
  if (seals === undefined) {
    throw new Failure('in_use', `${describeServer(holder)} is still starting. Run this again in a moment.`);
  }
  if (first === undefined || !known.every((id) => ids.includes(id))) {
    throw new Failure(
      'in_use',
      `${describeServer(holder)} has the master keys ${quoted(known)}, and this command ${ids.length === 0 ? 'none' : quoted(ids)}. Run it with the same LADING_MASTER_KEY or LADING_MASTER_KEY_FILE as the server.`,
    );
  }
  const how = known.includes(first)
    ? `does not seal with the master key ${JSON.stringify(first)} yet, but with ${JSON.stringify(seals)}`
    : `does not have the master key ${JSON.stringify(first)} and could not open what is sealed with it`;
  throw new Failure(
    'in_use',
    `${describeServer(holder)} ${how}. Restart it with that key as the first, then run this again.`,
  );
}

const describeServer = ({ pid, startedAt }: Holder) =>
  `The server that runs here (process ${pid}, started ${startedAt})`;
const quoted = (ids: readonly string[]) => ids.map((id) => JSON.stringify(id)).join(', ');

const linesEvery = 1000;

/** On a terminal a counter that stays on its line, else a line now and then. */
function newProgress(stream: NodeJS.WriteStream): { report: (rotation: Rotation) => void; end: () => void } {
  let isShown = false;
  let nextLine = linesEvery;
  const report = ({ resealed, found }: Rotation) => {
    const share = Math.min(100, Math.floor((100 * resealed) / Math.max(1, found)));
    const text = `${resealed} of ${found} sealed anew (${share} %)`;
    if (stream.isTTY) {
      stream.write(`\r${text}`);
      isShown = true;
    } else if (resealed >= nextLine) {
      stream.write(`${text}\n`);
      nextLine = resealed - (resealed % linesEvery) + linesEvery;
    }
  };
  return { report, end: () => isShown && stream.write('\n') };
}

const rowsShown = 20;

function toSummary({ keyId, found, resealed, unreadable, left }: Rotation, removable: readonly string[]): string {
  const lines = [
    found === 0
      ? `Nothing to do: every stored secret is sealed with the master key ${keyId}.`
      : `${resealed} of ${found} stored secrets are sealed anew with the master key ${keyId}; ${left} are left.`,
    ...unreadable.slice(0, rowsShown).map(({ column, key }) => `  ${column} of ${key} does not open: it is damaged.`),
    ...(unreadable.length > rowsShown ? [`  and ${unreadable.length - rowsShown} more.`] : []),
  ];
  if (left > unreadable.length) {
    lines.push('A server still seals with another key: restart all with the new key first, then run this again.');
  } else if (left > 0) {
    lines.push(
      'Keep the old keys, give those clusters and connections their credentials again, then run this again; --discard-lost drops what is damaged.',
    );
  } else if (removable.length > 0) {
    lines.push(
      `Next: once every server runs with ${keyId} as its first key, take out ${removable.join(' and ')}. Keep them with the backups that were made before now.`,
    );
  }
  return lines.join('\n');
}
