import { type Environment, readConfig, type Setting, settings, textOf } from '#server/config.ts';

const mask = '********';

/** `lading config`: what is in effect, with secrets masked. Answers the exit code. */
export function showConfig(environment: Environment, { json = false, print = console.log } = {}): number {
  const answer = readConfig(environment);
  if ('faults' in answer) return printFaults(answer.faults);
  const rows = Object.values(settings).map((setting) => toRow(environment, setting));
  if (json) {
    print(JSON.stringify(Object.fromEntries(rows.map(({ name, ...rest }) => [name, rest])), null, 2));
    return 0;
  }
  const width = Math.max(...rows.map((row) => row.name.length));
  for (const { name, value, source } of rows) print(`${name.padEnd(width)}  ${value ?? '(not set)'}${notes[source]}`);
  return 0;
}

const notes = { environment: '', default: '  (default)', unset: '' } as const;

function toRow(environment: Environment, setting: Setting<unknown>) {
  const text = textOf(environment, setting);
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
