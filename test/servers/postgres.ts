import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chown, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { findFreePort, startChild } from './child.ts';

export type Postgres = {
  url: string;
  /** `fast` ends all sessions and shuts down; `immediate` is a crash, recovered from at the start. `meanwhile` it is down. */
  restart: (mode: 'fast' | 'immediate', meanwhile?: () => Promise<void>) => Promise<void>;
  stop: () => Promise<void>;
};

const NOBODY = 65_534;
const DEBIAN_ROOT = '/usr/lib/postgresql';

/**
 * A PostgreSQL of its own in a temporary directory, on a free port of the loopback address.
 * `settings` are `name=value`. Its default collation is a human language's on purpose: a column that must sort by bytes and does not say so shows here.
 */
export async function startPostgres(settings: readonly string[] = []): Promise<Postgres> {
  const bin = await findBinaries();
  const directory = await mkdtemp(join(tmpdir(), 'lading-pg-'));
  const password = randomBytes(16).toString('hex');
  const passwordFile = join(directory, 'password');
  const data = join(directory, 'data');
  // PostgreSQL refuses to run as root.
  const user = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
  await writeFile(passwordFile, password, { mode: 0o600 });
  if (user.uid !== undefined) await Promise.all([directory, passwordFile].map((path) => chown(path, NOBODY, NOBODY)));
  await promisify(execFile)(
    join(bin, 'initdb'),
    [
      '-D',
      data,
      '-U',
      'lading',
      `--pwfile=${passwordFile}`,
      '--auth=scram-sha-256',
      '--encoding=UTF8',
      '--no-sync',
      '--locale=C.UTF-8',
      '--locale-provider=icu',
      '--icu-locale=en-US',
    ],
    { ...user, cwd: directory },
  );
  const port = await findFreePort();
  const url = `postgres://lading:${password}@127.0.0.1:${port}/postgres`;
  const start = () =>
    startChild(join(bin, 'postgres'), ['-D', data, '-p', String(port), ...flags(settings)], {
      ...user,
      cwd: directory,
      isReady: () => answers(url),
    });
  let child = await start();
  const restart: Postgres['restart'] = async (mode, meanwhile) => {
    await child.stop(mode === 'fast' ? 'SIGINT' : 'SIGQUIT');
    await meanwhile?.();
    child = await start();
  };
  const stop = async () => {
    await child.stop('SIGINT'); // its "fast" shutdown: does not wait for clients to go
    await rm(directory, { recursive: true, force: true });
  };
  return { url, restart, stop };
}

/** A new, empty database on the server; its URL. It ends with the server. */
export async function makeDatabase(serverUrl: string): Promise<string> {
  const name = `lading_${randomBytes(8).toString('hex')}`;
  const client = new pg.Client({ connectionString: serverUrl });
  await client.connect();
  try {
    await client.query(`create database ${name}`);
  } finally {
    await client.end();
  }
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  return url.href;
}

/** Nothing here outlives the test, so nothing is forced to the disk. `synchronous_commit` stays on: Lading asks for it. */
function flags(more: readonly string[]): string[] {
  const settings = [
    'listen_addresses=127.0.0.1',
    'unix_socket_directories=',
    'fsync=off',
    'full_page_writes=off',
    'max_connections=300',
    ...more,
  ];
  return settings.flatMap((setting) => ['-c', setting]);
}

export async function answers(url: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: url });
  try {
    await client.connect();
    await client.query('select 1');
    return true;
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function findBinaries(): Promise<string> {
  const versions = await readdir(DEBIAN_ROOT).catch(() => []);
  const newest = versions
    .map(Number)
    .filter(Number.isInteger)
    .sort((a, b) => b - a)[0];
  if (newest === undefined) throw new Error(`No PostgreSQL below ${DEBIAN_ROOT}: run .ci/install`);
  return join(DEBIAN_ROOT, String(newest), 'bin');
}
