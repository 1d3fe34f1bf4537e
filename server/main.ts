import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { Failure } from '#core/failure.ts';
import { showConfig } from '#server/commands/config.ts';

// The commands that open the installation themselves. Each answers an exit code; 2 is "could not even begin".

const usage = `Lading, a self-hosted container registry platform

  lading serve              run the server
  lading config             print the configuration in effect, secrets masked  [--json]
  lading verify             compare rows with what is stored  [--deep] [--repair] [--json]
  lading rotate-master-key  seal stored secrets with the first master key, while servers go on
                            [--new-key] [--json]; docs/configuration.md has all steps
  lading --version          print the version
  lading --help             print this

Configuration comes from LADING_* environment variables only: see docs/configuration.md.`;

const options = {
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean', short: 'v' },
  json: { type: 'boolean' },
  deep: { type: 'boolean' },
  repair: { type: 'boolean' },
  'new-key': { type: 'boolean' },
} as const;

type Flags = ReturnType<typeof parseCommandLine>['values'];
type Command = { flags: readonly string[]; run: (flags: Flags) => number | Promise<number> };

const commands: Readonly<Record<string, Command>> = {
  // Loaded when it is wanted: the other commands answer in a fraction of the time.
  serve: { flags: [], run: async () => (await import('#server/commands/serve.ts')).serve(process.env) },
  config: { flags: ['json'], run: ({ json = false }) => showConfig(process.env, { json }) },
  verify: {
    flags: ['deep', 'repair', 'json'],
    run: async (flags) => (await import('#server/commands/verify.ts')).verifyInstallation(process.env, flags),
  },
  'rotate-master-key': {
    flags: ['new-key', 'json'],
    run: async ({ 'new-key': newKey, json }) =>
      (await import('#server/commands/rotate-master-key.ts')).rotateKeys(process.env, { newKey, json }),
  },
};

function parseCommandLine(args: readonly string[]) {
  return parseArgs({ args: [...args], options, allowPositionals: true });
}

async function main(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseCommandLine(args);
  const [name, ...rest] = positionals;
  if (values.version) return say(readVersion());
  if (values.help || name === undefined || name === 'help') return say(usage);
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (!command) throw new Failure('invalid', `${JSON.stringify(name)} is not a command. See lading --help.`);
  const stray = Object.keys(values).find((flag) => !command.flags.includes(flag)) ?? rest[0];
  if (stray !== undefined) throw new Failure('invalid', `lading ${name} does not take ${JSON.stringify(stray)}.`);
  return command.run(values);
}

function say(text: string): number {
  console.log(text);
  return 0;
}

function readVersion(): string {
  return JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')).version;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  console.error(isSentence(error) ? `lading: ${error.message}` : error);
  process.exitCode = 2;
}

/** What an operator can act on: refusals of ours, of the command line, and of the system. The rest is a bug, with its stack. */
function isSentence(error: unknown): error is Error {
  if (!(error instanceof Error)) return false;
  const { code, syscall } = error as NodeJS.ErrnoException;
  return error instanceof Failure || syscall !== undefined || String(code).startsWith('ERR_PARSE_ARGS');
}
