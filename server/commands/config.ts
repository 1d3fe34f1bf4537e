import { resolve } from 'node:path';
import { Failure } from '#core/failure.ts';
import { type Config, type Environment, readConfig, type Setting, settings, textOf } from '#server/config.ts';
import { findMasterKeys } from '#server/seal.ts';

const mask = '********';

/** `lading config`: what is in effect, with secrets masked. Answers the exit code. */
export function showConfig(environment: Environment, { json = false, print = console.log } = {}): number {
  const answer = readConfig(environment);
  if ('faults' in answer) return printFaults(answer.faults);
  const rows = Object.values(settings).map((setting) => toRow(environment, setting));
  const masterKeys = describeMasterKeys(answer.config);
  if (json) {
    print(
      JSON.stringify({ ...Object.fromEntries(rows.map(({ name, ...rest }) => [name, rest])), masterKeys }, null, 2),
    );
  } else {
    const width = Math.max(...rows.map((row) => row.name.length));
    for (const { name, value, source } of rows) print(`${name.padEnd(width)}  ${value ?? '(not set)'}${notes[source]}`);
    print(`\nMaster keys: ${toSentence(masterKeys)}`);
  }
  return 'fault' in masterKeys ? 2 : 0;
}

type MasterKeys = { ids: readonly string[]; source: string } | { fault: string };

function describeMasterKeys(config: Config): MasterKeys {
  try {
    return findMasterKeys(config, config.dataDir);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return { fault: error.message };
  }
}

function toSentence(keys: MasterKeys): string {
  if ('fault' in keys) return keys.fault;
  const { ids, source } = keys;
  if (ids.length === 0) return `none; ${source} is not there. The first start of a new installation makes it.`;
  return `${ids.join(', ')}${ids.length > 1 ? ' (the first seals, all open)' : ''}, from ${source}`;
}

const notes = { environment: '', default: '  (default)', unset: '' } as const;

function toRow(environment: Environment, setting: Setting<unknown>) {
  const given = textOf(environment, setting);
  // Which directory is meant depends on where one stands, and that is what one looks for here.
  const text = setting === settings.dataDir ? resolve(given) : given;
  const isGiven = Boolean(environment[setting.name]?.trim());
  return {
    name: setting.name,
    value: text === '' ? null : setting.isSecret ? maskSecret(text) : text,
    source: isGiven ? 'environment' : text === '' ? 'unset' : 'default',
  } as const;
}

/** Of a URL only the password is hidden: which database is meant is what one looks for here. */
function maskSecret(text: string): string {
  if (!/^postgres(?:ql)?:/.test(text)) return mask;
  const url = new URL(text);
  if (url.password !== '') url.password = mask;
  for (const name of url.searchParams.keys()) if (/pass|secret|key/i.test(name)) url.searchParams.set(name, mask);
  return url.href;
}

/** Says everything that is wrong with the configuration. Answers the exit code. */
export function printFaults(faults: readonly string[]): number {
  console.error('lading: the configuration is not usable.');
  for (const fault of faults) console.error(`  ${fault}`);
  return 2;
}
