import { readFileSync, realpathSync } from 'node:fs';
import { basename, dirname, join, resolve, sep } from 'node:path';
import { Failure } from '#core/failure.ts';
import type { Environment } from '#server/config.ts';
import { parseStorageUrl } from '#server/config-storage.ts';
import { parseDatabaseUrl } from '#server/config-values.ts';
import type { Place, PlaceNames } from '#server/copy-rules.ts';

export type TargetFlags = { toDatabase: string; toStorage: string };

/** Where `lading copy-store` copies to. Throws `invalid`. */
export function parseTarget(environment: Environment, { toDatabase, toStorage }: TargetFlags): Place {
  const database = readIndirect(environment, toDatabase);
  const databaseUrl = isPostgres(database) ? parse('--to-database', parseDatabaseUrl, database) : undefined;
  const storage = /^s3:/.test(toStorage) ? parse('--to-storage', parseStorageUrl, toStorage) : undefined;
  const directories = [
    ...(databaseUrl ? [] : [toDirectory('--to-database', database)]),
    ...(storage ? [] : [toDirectory('--to-storage', toStorage)]),
  ];
  const [dataDir, other = dataDir] = directories;
  if (dataDir === other) return { dataDir, databaseUrl, storage, names };
  throw new Failure(
    'invalid',
    `--to-database and --to-storage name two directories, ${dataDir} and ${other}, and a server has one data directory. Name the same for both.`,
  );
}

const names: PlaceNames = {
  database: '--to-database',
  storage: '--to-storage',
  directory: 'of --to-database or --to-storage',
};

const isPostgres = (text: string) => /^postgres(?:ql)?:/.test(text);

function parse<T>(flag: string, parser: (text: string) => T, text: string): T {
  try {
    return parser(text);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    throw new Failure('invalid', `${flag}: ${error.message}`);
  }
}

/** A misspelt URL must not become a directory. */
function toDirectory(flag: string, text: string): string {
  if (!/^[a-z0-9+]+:/i.test(text)) return resolve(text);
  throw new Failure(
    'invalid',
    `${flag} is neither a directory nor a ${flag === '--to-database' ? 'postgres://' : 's3://'} URL. A directory with a colon in its name begins with ./ or /.`,
  );
}

/** A password on a command line is seen by everyone who may list processes. */
function readIndirect(environment: Environment, text: string): string {
  const [, kind, name = ''] = /^(env|file):(.+)$/.exec(text) ?? [];
  if (kind === undefined) return text;
  if (kind === 'file') return readUrlFile(name);
  // With these the program is configured, and an unknown one is refused.
  if (name.startsWith('LADING_')) {
    throw new Failure(
      'invalid',
      `--to-database names ${name}. Put the URL into a variable that is not called LADING_….`,
    );
  }
  const value = environment[name]?.trim();
  if (value) return value;
  throw new Failure('invalid', `--to-database names the variable ${name}, which is not set.`);
}

function readUrlFile(path: string): string {
  try {
    const text = readFileSync(path, 'utf8').trim();
    if (text !== '') return text;
  } catch (error) {
    throw new Failure('invalid', `The file ${path} of --to-database cannot be read: ${(error as Error).message}.`);
  }
  throw new Failure('invalid', `The file ${path} of --to-database is empty.`);
}

/** Throws `invalid` where one directory lies in the other: what keeps the first would keep the second. */
export function requireOutside(target: string | undefined, source: string): void {
  requireOtherDirectory(target, source);
  if (target === undefined || !realpathOf(target).startsWith(join(realpathOf(source), sep))) return;
  throw new Failure(
    'invalid',
    `${target} lies in the data directory of the source, ${source}, and would be lost with it. Name a directory elsewhere.`,
  );
}

/** Throws `invalid` where both are one directory, by whatever names. */
export function requireOtherDirectory(target: string | undefined, source: string): void {
  if (target === undefined || realpathOf(target) !== realpathOf(source)) return;
  throw new Failure('invalid', `${target} is the data directory of the source itself. Name another one.`);
}

function realpathOf(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    const above = dirname(resolve(path));
    return above === resolve(path) ? above : join(realpathOf(above), basename(path));
  }
}
