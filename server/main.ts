import { readFileSync } from 'node:fs';
import { Failure, sentenceForOperator } from '#core/failure.ts';
import {
  type Commands,
  commandHelp,
  findCommand,
  generalHelp,
  parseCommandLine,
  requireComplete,
} from '#server/command-line.ts';
import { showConfig } from '#server/commands/config.ts';
import { findNearest } from '#server/nearest.ts';

// The commands that open the installation themselves. Each answers an exit code; 2 is "could not even begin".

const json = 'print the answer as JSON';

const copyExits = {
  0: 'complete',
  1: 'complete but for what the source itself has lost, which is named',
  2: 'could not begin, or was cut short: what is there is not complete',
};

const commands: Commands = {
  serve: {
    does: 'run the server',
    about: `Runs until SIGTERM or SIGINT, then finishes what is in flight. The first start makes what is needed in the
data directory: the database, a registry, its owner's API key and a master key.`,
    flags: {},
    exits: { 0: 'stopped, and drained', 1: 'a second signal cut the drain short', 2: 'could not start' },
    // Loaded when it is wanted: the other commands answer in a fraction of the time.
    run: async () => (await import('#server/commands/serve.ts')).serve(process.env),
  },
  config: {
    does: 'print the configuration in effect, secrets masked',
    about: 'Reads what the server would read, says where each value comes from, and changes nothing.',
    flags: { json },
    exits: { 0: 'usable', 2: 'not usable; every fault is named' },
    run: (flags) => showConfig(process.env, { json: flags.has('json') }),
  },
  health: {
    does: 'ask the server of this environment whether it is ready',
    about: `Asks /readyz on the address of LADING_LISTEN and prints the answer: for container health checks and scripts
that wait for a start. It needs neither the data directory nor any secret.`,
    flags: {},
    exits: { 0: 'ready', 1: 'not ready, or nobody answers', 2: 'the configuration is not usable' },
    run: async () => (await import('#server/commands/health.ts')).askHealth(process.env),
  },
  verify: {
    does: 'compare what the database says with what is stored',
    about: `Looks whether every object is in the store with its size, and whether the master keys open every stored
secret, and counts all sizes and counters anew. It works beside servers and without one, and changes nothing
without --repair.`,
    flags: {
      deep: 'also read every byte and compare the digests',
      repair: `correct counters; mark blobs whose bytes are gone or damaged as lost, so that the next push of
their digest replaces them, and take that back where they are there; finish removals that are due.
Nothing that is needed is deleted`,
      yes: 'with --repair: mark blobs as lost even where that is more than half of all there is',
      json,
    },
    exits: {
      0: 'all is well',
      1: 'something was found, repaired or not',
      2: 'could not look, or a repair was refused',
    },
    run: async (flags) =>
      (await import('#server/commands/verify.ts')).verifyInstallation(process.env, {
        deep: flags.has('deep'),
        repair: flags.has('repair'),
        yes: flags.has('yes'),
        json: flags.has('json'),
      }),
  },
  'rotate-master-key': {
    does: 'seal stored secrets with the first master key, while servers go on',
    about: `Seals anew with the first master key whatever another one has sealed, beside servers or without one, and says
which keys can go. Ended at any moment, the next run does the rest. docs/configuration.md has all steps.`,
    flags: {
      'new-key': `only put a new key before the old one into the key file of the data directory. The server must be
restarted before anything is sealed with it`,
      'discard-lost': `drop the stored secrets that no configured key opens, when their key is gone for good. Says what
goes and asks; the server must be stopped`,
      yes: 'with --discard-lost: do not ask',
      json,
    },
    exits: { 0: 'all is sealed with the first key', 1: 'something is left', 2: 'could not begin, or was cut short' },
    run: async (flags) =>
      (await import('#server/commands/rotate-master-key.ts')).rotateKeys(process.env, {
        newKey: flags.has('new-key'),
        discardLost: flags.has('discard-lost'),
        yes: flags.has('yes'),
        json: flags.has('json'),
      }),
  },
  'new-key': {
    does: "make another owner's API key for a team that has lost all of its own",
    about: `Prints a new API key with every permission on the team, which does not end, and records that in the audit log. It works
beside servers and without one, for whoever may read the data directory or the database: the way back in when a team's
keys are lost or have ended while other teams still have theirs.`,
    values: { team: { form: '<slug>', does: "the team's slug or id" } },
    flags: {},
    exits: { 0: 'made; the key is the one line of the output', 2: 'could not be made' },
    run: async (flags) =>
      (await import('#server/commands/new-key.ts')).newKey(process.env, { team: flags.get('team') ?? '' }),
  },
  'copy-store': {
    does: 'copy everything into another database and store, while servers go on',
    about: `For moving house: SQLite and disk to Postgres and S3, back, or any mix. Run it while the servers work, as often
as you like: each run brings the copy up to date. For the move itself stop the servers, run it once more (only what is
new is copied), and start them with the settings of the new place. Ended at any moment, the next run does the rest.
The target must be empty, or an earlier copy of this installation on which no server was started. docs/moving.md`,
    values: {
      'to-database': {
        form: '<postgres://…|directory>',
        does: `the new database. env:NAME or file:PATH names a variable or a file that holds the URL, so that its
password is in no list of processes; a directory gets a lading.db`,
      },
      'to-storage': {
        form: '<s3://…|directory>',
        does: `the new place of the objects, as in LADING_STORAGE_URL; in a directory they lie below objects/. Where both
are directories they are the same one, the new LADING_DATA_DIR`,
      },
    },
    flags: { json },
    exits: copyExits,
    run: async (flags) =>
      (await import('#server/commands/copy-store.ts')).copyStore(process.env, {
        toDatabase: flags.get('to-database') ?? '',
        toStorage: flags.get('to-storage') ?? '',
        json: flags.has('json'),
      }),
  },
  backup: {
    does: 'write a copy of one moment into a directory, while servers go on',
    about: `The directory becomes an installation of its own, with a SQLite database and the objects it needs, so that
LADING_DATA_DIR=<directory> bin/lading verify --deep looks whether it is whole. The next backup into the same directory
copies only what is new; the one before stays whole until then. docs/backup.md`,
    operands: ['directory'],
    flags: {
      'with-master-key': `also write the keys that open stored secrets into the directory. Without it they must be kept
elsewhere, and whoever gets hold of the backup cannot read those secrets`,
      json,
    },
    exits: copyExits,
    run: async (flags, [directory = '']) =>
      (await import('#server/commands/backup.ts')).backup(process.env, directory, {
        withMasterKey: flags.has('with-master-key'),
        json: flags.has('json'),
      }),
  },
  restore: {
    does: 'fill an empty place with what a backup holds',
    about: `Copies the backup into the database and store that the configuration names, which must be empty, and looks
first whether the master key that opens its secrets is there. Ended at any moment, the next run does the rest.
docs/backup.md`,
    operands: ['directory'],
    flags: { json },
    exits: copyExits,
    run: async (flags, [directory = '']) =>
      (await import('#server/commands/restore.ts')).restore(process.env, directory, { json: flags.has('json') }),
  },
};

async function main(args: readonly string[]): Promise<number> {
  const line = parseCommandLine(args, commands);
  const { name, operands, flags } = line;
  if (flags.has('version')) return say(readVersion());
  if (name === undefined) return say(generalHelp(commands));
  if (name === 'help') return say(helpOf(operands[0]));
  const command = findCommand(commands, name);
  if (!command) throw unknownCommand(name);
  if (flags.has('help')) return say(commandHelp(name, command));
  requireComplete(name, command, line);
  return command.run(flags, operands);
}

function helpOf(name: string | undefined): string {
  const command = findCommand(commands, name);
  return name !== undefined && command ? commandHelp(name, command) : generalHelp(commands);
}

function unknownCommand(name: string): Failure {
  const nearest = findNearest(name, Object.keys(commands), 3);
  const hint = nearest === undefined ? 'bin/lading --help says what there is.' : `Did you mean bin/lading ${nearest}?`;
  return new Failure('invalid', `${JSON.stringify(name)} is not a command. ${hint}`);
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
  console.error(isSentence(error) ? `lading: ${sentenceForOperator(error)}` : error);
  process.exitCode = 2;
}

/** What an operator can act on: refusals of ours, and of the system. The rest is a bug, with its stack. */
function isSentence(error: unknown): error is Error {
  if (!(error instanceof Error)) return false;
  return error instanceof Failure || (error as NodeJS.ErrnoException).syscall !== undefined;
}
