import { basename, join } from 'node:path';
import pg from 'pg';

/** A PostgreSQL on which Lading is measured, instead of SQLite. */
export const serverUrl = process.env.BENCH_POSTGRES;

/** Where the rows of the Lading in this directory are: a database of its name, else SQLite below it. */
export function databaseOf(dataDir: string): { url?: string; dataDir: string } {
  const store = { dataDir: join(dataDir, 'store') };
  if (serverUrl === undefined) return store;
  const url = new URL(serverUrl);
  url.pathname = `/${basename(dataDir)}`;
  return { ...store, url: url.href };
}

/** A server that starts again finds its database. */
export async function makeDatabase(dataDir: string): Promise<void> {
  const taken = '42P04';
  await runOnServer(`create database "${basename(dataDir)}"`).catch((error: { code?: string }) => {
    if (error.code !== taken) throw error;
  });
}

export async function dropDatabase(dataDir: string): Promise<void> {
  await runOnServer(`drop database if exists "${basename(dataDir)}" with (force)`);
}

async function runOnServer(statement: string): Promise<void> {
  if (serverUrl === undefined) return;
  const client = new pg.Client({ connectionString: serverUrl });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}
