import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** The environment in which podman and buildah keep what they pull below the directory, and need nothing of the kernel. */
export async function writeContainersHome(directory: string): Promise<Record<string, string>> {
  const path = (name: string) => JSON.stringify(join(directory, name));
  const write = async (name: string, lines: string[]) => {
    await writeFile(join(directory, name), `${lines.join('\n')}\n`);
    return join(directory, name);
  };
  await mkdir(directory, { recursive: true });
  return {
    HOME: directory,
    CONTAINERS_STORAGE_CONF: await write('storage.conf', [
      '[storage]',
      'driver = "vfs"',
      `graphroot = ${path('storage')}`,
      `runroot = ${path('storage-run')}`,
    ]),
    CONTAINERS_CONF: await write('containers.conf', [
      '[engine]',
      'cgroup_manager = "cgroupfs"',
      'events_logger = "none"',
    ]),
  };
}
