// npm test [-- [--flag of node…] [pattern of files…]]
// Runs test files a dozen to a process. Each process loads the modules, compiles the schemas and warms up once, which
// takes longer than the tests of most files; `node --test <file>` still runs any file on its own.

import { spawn } from 'node:child_process';
import { globSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { dealFiles } from './test-batches.ts';

const everything = ['server/**/*.test.ts', 'contract/**/*.test.ts', 'tools/**/*.test.ts', 'test/*.test.ts'];

/** A file that imports those of its batch: to the runner one test file, and its reports still name the real ones. */
function writeBatch(path: string, files: readonly string[]): string {
  const imports = files.map((file) => `import ${JSON.stringify(pathToFileURL(resolve(file)).href)};\n`);
  writeFileSync(path, imports.join(''));
  return path;
}

async function runTests(args: readonly string[]): Promise<number> {
  const flags = args.filter((arg) => arg.startsWith('-'));
  const patterns = args.filter((arg) => !arg.startsWith('-'));
  const files = globSync(patterns.length > 0 ? patterns : everything);
  if (files.length === 0) {
    console.error(`There are no tests in ${patterns.join(' ')}.`);
    return 2;
  }
  const directory = mkdtempSync(join(tmpdir(), 'lading-batches-'));
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }));
  const batches = dealFiles(files).map((batch, i) => writeBatch(join(directory, `batch-${i}.test.mjs`), batch));
  const child = spawn(process.execPath, ['--test', '--test-concurrency=3', ...flags, ...batches], {
    stdio: 'inherit',
    env: { NODE_COMPILE_CACHE: 'node_modules/.cache/node', ...process.env },
  });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve(code ?? 1));
  });
}

process.exitCode = await runTests(process.argv.slice(2));
