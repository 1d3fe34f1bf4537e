import { randomInt } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type Lading, startLading } from '../servers/lading.ts';
import { readDirectory, type StoreState } from './store.ts';

/** What is killed, and what can be seen of it behind its back. */
export type Target = {
  /** Where clients go, from the first `start` on. */
  url: () => string;
  key: string;
  /** Starts what does not run. */
  start: () => Promise<void>;
  kill: () => Promise<void>;
  /** Whether clients find somebody all the time: then they go on over a kill, and nothing is at rest after it. */
  servesOn: boolean;
  /** Called once all clients have ended: what nobody writes any more is known to be abandoned from now on. */
  abandonWriters: () => Promise<void>;
  readStore: () => Promise<StoreState>;
  isCollecting: () => Promise<boolean>;
  /** Drains everything; what was wrong with that. The environment of `lading verify` stays good until `remove`. */
  stop: () => Promise<string[]>;
  verifyEnvironment: () => NodeJS.ProcessEnv;
  /** Answers where it was kept, if it was. */
  remove: (keep: boolean) => Promise<string | undefined>;
  /** For the report. */
  describe: () => string;
};

const collecting = `select 1 as found from operations where kind = 'garbage_collection' and state = 'running'`;

/** One process on SQLite and a directory. */
export async function openSingle(key: string): Promise<Target> {
  const dataDir = await mkdtemp(join(tmpdir(), 'lading-crash-'));
  let lading: Lading | undefined;
  const current = (): Lading => {
    if (!lading) throw new Error('It was never started.');
    return lading;
  };
  return {
    url: () => current().url,
    key,
    start: async () => {
      lading = await startLading({ dataDir, key });
    },
    kill: () => current().kill9(),
    servesOn: false,
    abandonWriters: async () => {},
    readStore: () => readDirectory(dataDir),
    isCollecting: async () => {
      const database = new DatabaseSync(join(dataDir, 'lading.db'), { readOnly: true });
      try {
        return database.prepare(collecting).get() !== undefined;
      } finally {
        database.close();
      }
    },
    stop: async () => {
      const code = await current().stop();
      return code === 0 ? [] : [`the server ended with ${code}: ${current().child.output()}`];
    },
    verifyEnvironment: () => current().env,
    remove: async (keep) => {
      if (keep) return dataDir;
      await rm(dataDir, { recursive: true, force: true });
      return undefined;
    },
    describe: () => 'one server on SQLite and a directory',
  };
}

/** Chooses with these weights. */
export function choose<T>(...choices: readonly (readonly [weight: number, value: T])[]): T {
  let at = randomInt(choices.reduce((sum, [weight]) => sum + weight, 0));
  for (const [weight, value] of choices) {
    at -= weight;
    if (at < 0) return value;
  }
  throw new Error('There is nothing to choose from.');
}
