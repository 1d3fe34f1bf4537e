import { type ChildProcess, spawn } from 'node:child_process';
import { createServer } from 'node:net';

/** A server that runs as a real process of its own, and all it has printed. */
export type Child = {
  pid: number;
  output: () => string;
  /** Resolves when the process is gone, with its exit code, or null where a signal ended it. */
  exited: Promise<number | null>;
  isRunning: () => boolean;
  stop: (signal?: NodeJS.Signals) => Promise<number | null>;
};

export type ChildOptions = {
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  uid?: number;
  gid?: number;
  /** Answers true once the server serves. Asked until then; what it throws counts as "not yet". */
  isReady: () => Promise<boolean>;
  startTimeoutMs?: number;
};

const PAUSE_MS = 40;
const STOP_TIMEOUT_MS = 20_000;

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Starts a server and waits until it serves. A server that ends before that is an error with its output. */
export async function startChild(command: string, args: string[], options: ChildOptions): Promise<Child> {
  const { isReady, startTimeoutMs = 180_000, ...spawnOptions } = options;
  const process = spawn(command, args, { ...spawnOptions, stdio: ['ignore', 'pipe', 'pipe'] });
  const child = watch(process, command);
  const deadline = Date.now() + startTimeoutMs;
  let lastError: unknown;
  const asks = () =>
    isReady().catch((error) => {
      lastError = error;
      return false;
    });
  while (!(await asks())) {
    if (!child.isRunning()) throw new Error(`${command} ended at its start:\n${child.output()}`);
    if (Date.now() > deadline) {
      await child.stop('SIGKILL');
      throw new Error(`${command} did not serve within ${startTimeoutMs} ms (${lastError}):\n${child.output()}`);
    }
    await pause(PAUSE_MS);
  }
  return child;
}

/** Runs until its own end, like a command, but the caller may stop it before. */
export function watch(process: ChildProcess, command: string): Child {
  const chunks: string[] = [];
  for (const stream of [process.stdout, process.stderr])
    stream?.setEncoding('utf8').on('data', (text) => chunks.push(text));
  let running = true;
  const exited = new Promise<number | null>((resolve) => {
    process.once('exit', (code) => resolve(code));
    process.once('error', (error) => {
      chunks.push(`${command}: ${error.message}`);
      resolve(null);
    });
  }).finally(() => {
    running = false;
    globalThis.process.removeListener('exit', killWithUs);
  });
  // A test run that is interrupted must not leave servers behind.
  const killWithUs = () => process.kill('SIGKILL');
  globalThis.process.once('exit', killWithUs);
  return {
    pid: process.pid ?? 0,
    output: () => chunks.join(''),
    exited,
    isRunning: () => running,
    stop: async (signal = 'SIGTERM') => {
      if (running) process.kill(signal);
      const killer = setTimeout(() => process.kill('SIGKILL'), STOP_TIMEOUT_MS);
      const code = await exited;
      clearTimeout(killer);
      return code;
    },
  };
}

/** A port of the loopback address that nobody listens on now. */
export function findFreePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      const port = typeof address === 'object' && address ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}
