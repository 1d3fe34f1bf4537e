import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { type Child, findFreePort, startChild } from './child.ts';
import { makeDatabase } from './postgres.ts';

/** A real `bin/lading serve` in a process of its own. */
export type Lading = {
  /** `http://127.0.0.1:PORT`, and the same without the scheme, as image names want it. */
  url: string;
  host: string;
  /** The owner's API key. */
  key: string;
  dataDir: string;
  env: NodeJS.ProcessEnv;
  child: Child;
  /** Drains the server; its exit code. Removes the data directory if it was made here. */
  stop: () => Promise<number | null>;
  /** What a crash of the process looks like from outside. */
  kill9: () => Promise<void>;
};

export type LadingOptions = { dataDir?: string; port?: number; key?: string; env?: Record<string, string> };

export const LADING = resolve(import.meta.dirname, '../../bin/lading');

/**
 * On SQLite, or on a new database of the server that LADING_TEST_DATABASE_URL names; its objects on disk, or in the bucket
 * of LADING_TEST_STORAGE_URL, where LADING_TEST_STORAGE_REDIRECT sends clients to it.
 */
export async function startLading(options: LadingOptions = {}): Promise<Lading> {
  const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), 'lading-data-')));
  const port = options.port ?? (await findFreePort());
  const key = options.key ?? `ldg_test_${randomBytes(24).toString('hex')}`;
  const host = `127.0.0.1:${port}`;
  const url = `http://${host}`;
  const env = {
    ...cleanEnvironment(),
    ...settings(dataDir, host, key),
    ...(options.env?.LADING_DATABASE_URL === undefined && (await databaseOf(dataDir))),
    ...(options.env?.LADING_STORAGE_URL === undefined && storageOf(dataDir)),
    ...options.env,
  };
  const child = await startChild(LADING, ['serve'], {
    env,
    isReady: () => isServing(url),
  });
  const stop = async () => {
    const code = await child.stop('SIGTERM');
    if (options.dataDir === undefined) await rm(dataDir, { recursive: true, force: true });
    return code;
  };
  const kill9 = async () => {
    await child.stop('SIGKILL');
  };
  return { url, host, key, dataDir, env, child, stop, kill9 };
}

async function isServing(url: string): Promise<boolean> {
  const answer = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(5_000) });
  if (answer.status === 200) return true;
  throw new Error(`/readyz says ${answer.status}: ${await answer.text()}`);
}

function settings(dataDir: string, host: string, key: string): Record<string, string> {
  return { LADING_LISTEN: host, LADING_DATA_DIR: dataDir, LADING_BOOTSTRAP_KEY: key, LADING_LOG_LEVEL: 'warn' };
}

/** A data directory keeps its database: a server that starts again finds its rows. */
const databases = new Map<string, Promise<string>>();

async function databaseOf(dataDir: string): Promise<Record<string, string>> {
  const postgres = process.env.LADING_TEST_DATABASE_URL;
  if (postgres === undefined) return {};
  const url = databases.get(dataDir) ?? makeDatabase(postgres);
  databases.set(dataDir, url);
  return { LADING_DATABASE_URL: await url };
}

/** The data directory names the place: a server that starts again finds its objects. */
function storageOf(dataDir: string): Record<string, string> {
  const storage = process.env.LADING_TEST_STORAGE_URL;
  if (storage === undefined) return {};
  const url = new URL(storage);
  url.pathname = `/${dataDir.replaceAll(/[^A-Za-z0-9]+/g, '-')}`;
  const redirect = process.env.LADING_TEST_STORAGE_REDIRECT;
  return { LADING_STORAGE_URL: url.href, ...(redirect !== undefined && { LADING_STORAGE_REDIRECT: redirect }) };
}

/** Ours without any `LADING_` name: the server refuses settings it does not know, those of the tests among them. */
export function cleanEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('LADING_')));
}
