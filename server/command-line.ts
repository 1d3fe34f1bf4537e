import { parseArgs } from 'node:util';
import { Failure } from '#core/failure.ts';
import { settings } from './config.ts';
import { findNearest } from './nearest.ts';

export type Command = {
  does: string;
  /** For its own help. */
  about: string;
  /** What must be named without a flag, in order. */
  operands?: readonly string[];
  /** Flags that take a value, all of them needed. */
  values?: Readonly<Record<string, { form: string; does: string }>>;
  /** What each flag does that takes no value. */
  flags: Readonly<Record<string, string>>;
  exits: Readonly<Record<number, string>>;
  run: (flags: Flags, operands: readonly string[]) => number | Promise<number>;
};
/** By name; of those without a value it is empty. */
export type Flags = ReadonlyMap<string, string>;
export type Commands = Readonly<Record<string, Command>>;
export type CommandLine = { name: string | undefined; operands: readonly string[]; flags: Flags };

export const generalFlags = { help: 'print this', version: 'print the version' } as const;

const shortFlags: Readonly<Record<string, string>> = { h: 'help', v: 'version' };

/** Throws `invalid` for an option that the command does not have, with what was perhaps meant. */
export function parseCommandLine(args: readonly string[], commands: Commands): CommandLine {
  const command = findCommand(
    commands,
    args.find((arg) => !arg.startsWith('-')),
  );
  const values = Object.keys(command?.values ?? {});
  const options = Object.fromEntries(values.map((value) => [value, { type: 'string' as const }]));
  const { tokens, positionals } = parseArgs({ args: [...args], strict: false, tokens: true, options });
  const [name, ...operands] = positionals;
  const known = [...values, ...Object.keys(command?.flags ?? {}), ...Object.keys(generalFlags)];
  const flags = new Map<string, string>();
  for (const token of tokens) {
    if (token.kind !== 'option') continue;
    const flag = shortFlags[token.name] ?? token.name;
    if (!known.includes(flag)) throw new Failure('invalid', describeUnknown(token.rawName, token.name, name, known));
    if (values.includes(flag)) flags.set(flag, requireValue(token.rawName, token.value));
    else if (token.value === undefined) flags.set(flag, '');
    else throw new Failure('invalid', `${token.rawName} takes no value.`);
  }
  return { name, operands, flags };
}

function requireValue(rawName: string, value: string | undefined): string {
  if (value !== undefined && value !== '') return value;
  throw new Failure('invalid', `${rawName} needs a value after it.`);
}

/** Throws `invalid` for what the command does not take, and for what it needs and was not given. */
export function requireComplete(name: string, command: Command, { operands, flags }: CommandLine): void {
  const { operands: wanted = [], values = {} } = command;
  const extra = operands[wanted.length];
  if (extra !== undefined) throw new Failure('invalid', `lading ${name} does not take ${JSON.stringify(extra)}.`);
  const missing = wanted[operands.length] ?? Object.keys(values).find((value) => !flags.has(value));
  if (missing === undefined) return;
  const what = missing in values ? `--${missing}` : `a ${missing}`;
  throw new Failure('invalid', `lading ${name} needs ${what}: ${usageOf(name, command)}`);
}

export function findCommand(commands: Commands, name: string | undefined): Command | undefined {
  return name !== undefined && Object.hasOwn(commands, name) ? commands[name] : undefined;
}

/** What other servers call what is a setting here. */
const otherWords: Readonly<Record<string, string>> = {
  port: 'LADING_LISTEN',
  host: 'LADING_LISTEN',
  bind: 'LADING_LISTEN',
  address: 'LADING_LISTEN',
  addr: 'LADING_LISTEN',
  data: 'LADING_DATA_DIR',
  database: 'LADING_DATABASE_URL',
  db: 'LADING_DATABASE_URL',
};

function describeUnknown(rawName: string, option: string, name: string | undefined, known: readonly string[]): string {
  const what = name === undefined ? `${rawName} is not an option.` : `${rawName} is not an option of lading ${name}.`;
  const flag = findNearest(option, known, 2);
  if (flag !== undefined) return `${what} Did you mean --${flag}?`;
  const names = Object.values(settings).map((setting) => setting.name as string);
  const asSetting = `LADING_${option.toUpperCase().replaceAll('-', '_')}`;
  const setting = otherWords[option] ?? findNearest(asSetting, names, 3);
  if (setting !== undefined) return `${what} Settings come from the environment alone: set ${setting}.`;
  const more = name === undefined ? '--help' : `${name} --help`;
  return `${what} bin/lading ${more} says what there is; settings come from LADING_* variables alone.`;
}

export function generalHelp(commands: Commands): string {
  const rows = Object.entries(commands).map(([name, command]) => [shortUsageOf(name, command), command.does] as const);
  return `Lading, a self-hosted container registry platform

${toColumns([...rows, ['bin/lading <command> --help', 'what a command does, its flags and exit codes'], ['bin/lading --version', generalFlags.version]])}

${wrap('Configuration comes from LADING_* environment variables only: see docs/configuration.md.')}`;
}

export function commandHelp(name: string, command: Command): string {
  const values = Object.entries(command.values ?? {}).map(
    ([value, { form, does }]) => [`--${value} ${form}`, does] as const,
  );
  const flags = Object.entries({ ...command.flags, help: generalFlags.help });
  const exits = Object.entries(command.exits);
  return `${wrapWords(usagePartsOf(name, command), '', 4)}

${wrap(command.about)}

${toColumns([...values, ...flags.map(([flag, does]) => [`--${flag}`, does] as const)])}

Exit code
${toColumns(exits)}`;
}

/** What a command needs; `--help` says what else it takes. */
const shortUsageOf = (name: string, { operands = [], values = {} }: Command) =>
  [
    `bin/lading ${name}`,
    ...operands.map((operand) => `<${operand}>`),
    ...Object.keys(values).map((value) => `--${value} …`),
  ].join(' ');

const usageOf = (name: string, command: Command) => usagePartsOf(name, command).join(' ');

const usagePartsOf = (name: string, { operands = [], values = {}, flags }: Command): string[] => [
  `bin/lading ${name}`,
  ...operands.map((operand) => `<${operand}>`),
  ...Object.entries(values).map(([value, { form }]) => `--${value} ${form}`),
  ...Object.keys(flags).map((flag) => `[--${flag}]`),
];

/** What a terminal has at least. */
const lineWidth = 80;
/** What is longer has a line of its own. */
const leftMax = 30;

function toColumns(rows: readonly (readonly [string, string])[]): string {
  const lefts = rows.map(([left]) => left.length).filter((length) => length <= leftMax);
  const indent = Math.max(0, ...lefts) + 4;
  return rows
    .map(([left, right]) =>
      left.length <= leftMax
        ? wrap(right, `  ${left.padEnd(indent - 2)}`, indent)
        : `  ${left}\n${wrap(right, ' '.repeat(indent), indent)}`,
    )
    .join('\n');
}

/** Breaks at blanks, whatever breaks the text has. What follows the first line, which goes on after `begin`, is indented. */
function wrap(text: string, begin = '', indent = 0): string {
  return wrapWords(text.split(/\s+/), begin, indent);
}

function wrapWords(words: readonly string[], begin: string, indent: number): string {
  const lines: string[] = [];
  let line = begin;
  let isEmpty = true;
  for (const word of words) {
    if (!isEmpty && line.length + 1 + word.length > lineWidth) {
      lines.push(line);
      line = ' '.repeat(indent);
      isEmpty = true;
    }
    line += isEmpty ? word : ` ${word}`;
    isEmpty = false;
  }
  return [...lines, line].join('\n');
}
