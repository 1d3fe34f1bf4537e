import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { cleanEnvironment } from '../servers/lading.ts';

/** What a program printed, and its exit code. */
export type Outcome = { code: number | null; stdout: string; stderr: string; text: string };
export type RunOptions = { input?: string | Buffer; cwd?: string; env?: Record<string, string> };

/** A directory and an environment of its own for a client, so that no login or cache of the machine is used or left. */
export type Workbench = {
  dir: string;
  env: NodeJS.ProcessEnv;
  /** Runs the command and fails unless it succeeds; its standard output without the last line break. */
  run: (command: string, args: string[], options?: RunOptions) => Promise<string>;
  /** Runs the command and fails unless it is refused; all it printed. */
  refused: (command: string, args: string[], options?: RunOptions) => Promise<string>;
  remove: () => Promise<void>;
};

const RUN_TIMEOUT_MS = 120_000;

export async function openWorkbench(extra: Record<string, string> = {}): Promise<Workbench> {
  const dir = await mkdtemp(join(tmpdir(), 'lading-client-'));
  const home = join(dir, 'home');
  const runtime = join(dir, 'run');
  await Promise.all([home, runtime].map((path) => mkdir(path, { mode: 0o700 })));
  const cache = process.env.LADING_CI_CACHE ?? join(homedir(), '.cache', 'lading-ci');
  const env = {
    ...cleanEnvironment(),
    // Debian keeps daemons in sbin, which is not on everyone's path.
    PATH: [join(cache, 'bin'), process.env.PATH, '/usr/sbin', '/sbin'].join(delimiter),
    HOME: home,
    XDG_RUNTIME_DIR: runtime,
    XDG_CONFIG_HOME: join(home, '.config'),
    XDG_CACHE_HOME: join(home, '.cache'),
    XDG_DATA_HOME: join(home, '.local'),
    DOCKER_CONFIG: join(home, '.docker'),
    REGISTRY_AUTH_FILE: join(home, 'auth.json'),
    TMPDIR: dir,
    NO_PROXY: '127.0.0.1',
    ...extra,
  };
  const call = (command: string, args: string[], options: RunOptions = {}) =>
    execute(command, args, { ...options, cwd: options.cwd ?? dir, env: { ...env, ...options.env } });
  return {
    dir,
    env,
    run: async (command, args, options) => {
      const outcome = await call(command, args, options);
      assert.equal(outcome.code, 0, `${command} ${args.join(' ')}\n${outcome.text}`);
      return outcome.stdout.trimEnd();
    },
    refused: async (command, args, options) => {
      const outcome = await call(command, args, options);
      assert.notEqual(outcome.code, 0, `${command} ${args.join(' ')} succeeded\n${outcome.text}`);
      assert.notEqual(outcome.code, null, `${command} ${args.join(' ')} did not end by itself\n${outcome.text}`);
      return outcome.text;
    },
    remove: () => rm(dir, { recursive: true, force: true }),
  };
}

type ExecuteOptions = { input?: string | Buffer | undefined; cwd: string; env: NodeJS.ProcessEnv };

function execute(command: string, args: string[], { input, cwd, env }: ExecuteOptions): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, env, timeout: RUN_TIMEOUT_MS });
    const parts = { stdout: '', stderr: '', text: '' };
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].setEncoding('utf8').on('data', (text: string) => {
        parts[name] += text;
        parts.text += text;
      });
    }
    child.once('error', (error: NodeJS.ErrnoException) =>
      reject(error.code === 'ENOENT' ? new Error(`${command} is not installed: run .ci/install`) : error),
    );
    child.once('close', (code) => resolve({ code, ...parts }));
    child.stdin.on('error', () => undefined); // a client that does not read its input is no fault of ours
    child.stdin.end(input);
  });
}
