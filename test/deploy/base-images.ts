import { execFile } from 'node:child_process';
import { cp, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import type { Workbench } from '../clients/workbench.ts';

// The images that the Dockerfile begins with come from a registry that tests do not ask. These are made of the same
// parts, from Debian and from npm, under the same names.

const cache = process.env.LADING_CI_CACHE ?? join(homedir(), '.cache/lading-ci');

/** Debian's own client: the others lack BuildKit without a plugin. */
export const docker = '/usr/bin/docker';

export async function makeBaseImages({ run, env }: Workbench): Promise<void> {
  await run(docker, ['import', join(cache, 'debian-trixie.tar'), 'debian:trixie-slim']);
  const directory = await mkdtemp(join(tmpdir(), 'lading-base-'));
  try {
    await fillBuilder(directory, await run('sh', ['-c', 'command -v npm']));
    await build(env, '--tag=node:26-trixie-slim', directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** Minutes, on a machine that has other things to do. */
export async function build(env: NodeJS.ProcessEnv, ...args: string[]): Promise<void> {
  const options = { env: { ...env, DOCKER_BUILDKIT: '1' }, timeout: 15 * 60_000 };
  await promisify(execFile)(docker, ['build', '--quiet', '--network=host', ...args], options);
}

/** Debian with a Node and npm, and whatever authorities this machine trusts: its npm registry may be a mirror. */
async function fillBuilder(directory: string, npm: string): Promise<void> {
  await cp(process.execPath, join(directory, 'node'), { dereference: true });
  await cp(dirname(dirname(await realpath(npm))), join(directory, 'npm'), { recursive: true, dereference: true });
  await cp('/usr/lib/x86_64-linux-gnu/libatomic.so.1', join(directory, 'libatomic.so.1'), { dereference: true });
  await cp('/etc/ssl/certs/ca-certificates.crt', join(directory, 'authorities.pem'));
  const lines = [
    'FROM debian:trixie-slim',
    'COPY libatomic.so.1 /usr/lib/x86_64-linux-gnu/',
    'COPY node /usr/local/bin/node',
    'COPY npm /usr/local/lib/node_modules/npm',
    'COPY authorities.pem /etc/authorities.pem',
    'ENV NODE_EXTRA_CA_CERTS=/etc/authorities.pem',
    'RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm && chmod 755 /usr/local/lib/node_modules/npm/bin/npm-cli.js',
  ];
  await writeFile(join(directory, 'Dockerfile'), `${lines.join('\n')}\n`);
}
