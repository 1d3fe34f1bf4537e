import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startChild } from './child.ts';

/** A containerd of its own: `address` is what goes into `ctr --address`. */
export type Containerd = { address: string; stop: () => Promise<void> };

/** Needs root. The content store and the plain snapshotter are all it has: no CRI, no runtime. */
export async function startContainerd(): Promise<Containerd> {
  const directory = await mkdtemp(join(tmpdir(), 'lading-containerd-'));
  const address = join(directory, 'containerd.sock');
  const config = join(directory, 'config.toml');
  await writeFile(
    config,
    [
      'version = 2',
      `root = "${join(directory, 'root')}"`,
      `state = "${join(directory, 'state')}"`,
      'disabled_plugins = ["io.containerd.grpc.v1.cri"]',
      '[grpc]',
      `address = "${address}"`,
      '[ttrpc]',
      `address = "${address}.ttrpc"`,
    ].join('\n'),
  );
  const child = await startChild('containerd', ['--config', config, '--log-level', 'warn'], {
    isReady: async () => (await stat(address)).isSocket(),
  });
  const stop = async () => {
    await child.stop('SIGTERM');
    await rm(directory, { recursive: true, force: true });
  };
  return { address, stop };
}
