import { spawnSync } from 'node:child_process';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

export const root = resolve(import.meta.dirname, '../..');
export const chart = join(root, 'deploy/helm/lading');

type Answer = { code: number | null; output: string; errors: string };

const bin = join(process.env.LADING_CI_CACHE ?? join(homedir(), '.cache/lading-ci'), 'bin');
const PATH = `${bin}:${process.env.PATH}`;

/** Of `.ci/install`. A program that is not there is a failure, never a test less. */
export function run(program: string, args: readonly string[], options: { input?: string; cwd?: string } = {}): Answer {
  // Nothing of ours may fill in what a file of the deployment forgets.
  const env = { PATH, HOME: process.env.HOME };
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: 'utf8', cwd: root, ...options, env });
  if (error) throw new Error(`${program} does not run: ${error.message}. .ci/install brings it.`);
  return { code: status, output: stdout, errors: stderr };
}

/** Names of settings in a text; those of tests and of Kubernetes' own variables are not meant. */
export function settingNamesIn(text: string): string[] {
  return [...new Set(text.match(/\bLADING_[A-Z_]*[A-Z]\b/g) ?? [])];
}
