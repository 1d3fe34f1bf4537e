import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { startChild } from './child.ts';

/** A Docker daemon of its own: `host` is what goes into DOCKER_HOST. */
export type Dockerd = { host: string; stop: () => Promise<void> };

/** Needs root. Without a network of its own and without iptables: what runs in it has the network of this machine. */
export async function startDockerd({ storageDriver = 'vfs' } = {}): Promise<Dockerd> {
  const directory = await mkdtemp(join(tmpdir(), 'lading-dockerd-'));
  const socket = join(directory, 'docker.sock');
  const args = [
    '--iptables=false',
    '--ip6tables=false',
    '--bridge=none',
    `--storage-driver=${storageDriver}`,
    `--data-root=${join(directory, 'data')}`,
    `--exec-root=${join(directory, 'exec')}`,
    `--pidfile=${join(directory, 'docker.pid')}`,
    `--host=unix://${socket}`,
  ];
  const child = await startChild('dockerd', args, { isReady: () => ping(socket) });
  const stop = async () => {
    await child.stop('SIGTERM');
    // What ran with this machine's network leaves it mounted here.
    await promisify(execFile)('umount', [join(directory, 'exec/netns/default')]).catch(() => undefined);
    await rm(directory, { recursive: true, force: true });
  };
  return { host: `unix://${socket}`, stop };
}

function ping(socketPath: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const call = request({ socketPath, path: '/_ping' }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    call.once('error', reject);
    call.end();
  });
}
