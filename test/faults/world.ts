import { execFile } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { makeTestDirectory, type Scope } from '../database.ts';
import { type FaultProxy, startFaultProxy } from '../servers/fault-proxy.ts';
import { type Replicas, startReplicas } from '../servers/replicas.ts';
import { startTcpProxy, type TcpProxy } from '../servers/tcp-proxy.ts';

/** Replicas behind a load balancer, with a line of its own from each to the database and to the bucket. */
export type World = Replicas & {
  databaseLines: readonly TcpProxy[];
  storageLines: readonly TcpProxy[];
  /** Behind those lines, before the S3 server: spoils single requests. */
  storage: FaultProxy;
  /** How far a replica's clock is off from its next start on: `+5m`; undefined: not at all. */
  clocks: (string | undefined)[];
  /** Undefined where this process may not mount one. */
  disk: Disk | undefined;
};

type Disk = { directory: string; fill: () => Promise<unknown>; free: () => Promise<void> };

/** Debian's libfaketime. Timers go by the monotonic clock, which no operator can set wrong. */
const fakeClock = (distance: string) => ({
  LD_PRELOAD: '/usr/$LIB/faketime/libfaketime.so.1',
  FAKETIME: distance,
  FAKETIME_DONT_FAKE_MONOTONIC: '1',
});

export async function openWorld(t: Scope, { count = 3 } = {}): Promise<World> {
  const disk = await mountDisk(t);
  const [databaseLines, storageLines]: [TcpProxy[], TcpProxy[]] = [[], []];
  const clocks: (string | undefined)[] = Array.from({ length: count });
  let storage: FaultProxy | undefined;
  const direct = { database: '', endpoint: '' };
  const throughLine = (text: string, { host }: TcpProxy) => Object.assign(new URL(text), { host }).href;
  const replicas = await startReplicas({
    count,
    ...(disk && { s3Directory: disk.directory }),
    databaseUrlOf: async (url) => {
      direct.database = url;
      for (let n = 0; n < count; n++) databaseLines.push(await startTcpProxy(t, new URL(url).host));
      return url;
    },
    endpointOf: async (endpoint) => {
      direct.endpoint = endpoint;
      storage = await startFaultProxy(t, endpoint);
      for (let n = 0; n < count; n++) storageLines.push(await startTcpProxy(t, new URL(storage.url).host));
      return endpoint;
    },
    envOf: (index, env) => ({
      LADING_DATABASE_URL: throughLine(direct.database, databaseLines[index] as TcpProxy),
      LADING_STORAGE_URL: String(env.LADING_STORAGE_URL).replace(
        direct.endpoint,
        `http://${(storageLines[index] as TcpProxy).host}`,
      ),
      ...(clocks[index] !== undefined && fakeClock(clocks[index])),
    }),
  });
  t.after(() => replicas.stop());
  return { ...replicas, databaseLines, storageLines, storage: storage as FaultProxy, clocks, disk };
}

const diskMiB = 4 * 1024;

async function mountDisk(t: Scope): Promise<Disk | undefined> {
  const directory = makeTestDirectory(t);
  const run = promisify(execFile);
  try {
    await run('mount', ['-t', 'tmpfs', '-o', `size=${diskMiB}m,mode=700`, 'lading-faults', directory]);
  } catch {
    return undefined;
  }
  t.after(() => run('umount', ['-l', directory]));
  const filler = join(directory, 'filler');
  return {
    directory,
    // What it fits is written by others meanwhile: it takes what there is until there is nothing.
    fill: () => run('dd', ['if=/dev/zero', `of=${filler}`, 'bs=16M']).catch(() => {}),
    free: () => rm(filler, { force: true }),
  };
}
