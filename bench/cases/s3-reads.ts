import { type Case, onS3, type Row, type Sample, type Target } from '../case.ts';
import { connect, connectFollowing, requestHead } from '../connection.ts';
import { type Load, runLoad } from '../load.ts';
import { imageType, makeBlob, repositoryOf } from '../push.ts';
import { readyGet, readyPush } from '../s3-blobs.ts';
import { type Server, scopeOf } from '../servers.ts';
import { repository, seedImage } from './manifests.ts';

const kib = 1024;
const mib = 1024 * kib;

const references = ['tag', 'digest'] as const;
const manifestName = (by: string) => `S3: manifest GET by ${by}, 16 connections`;

export const s3Manifests: Case = {
  id: 's3-manifests',
  lineup: onS3,
  leaveOut: { S3: 'it knows no manifests' },
  rows: references.map((by) => {
    return { name: manifestName(by), unit: 'req/s', better: 'more', target: { 'docker-registry on S3': 5 } };
  }),
  run: async (server, { seconds }, report) => {
    const image = await seedImage(server);
    for (const by of references) {
      const headers = { ...(await server.authorize([scopeOf(server, repository)])), Accept: imageType };
      const request = requestHead('GET', `/v2/${repositoryOf(server, repository)}/manifests/${image[by]}`, headers);
      const load = await runLoad(server, { connections: 16, seconds, next: () => request });
      report(manifestName(by), perRequest(load));
    }
  },
};

const sizes = [
  { size: 10 * kib, label: '10 KiB, 16 connections', connections: 16 },
  { size: mib, label: '1 MiB, 8 connections', connections: 8 },
  { size: 512 * mib, label: '512 MiB, one stream', connections: 1 },
];

function readsOf(id: string, label: string, target: Target, redirects: boolean): Case {
  const rowOf = (size: (typeof sizes)[number]): Row => {
    const unit = size.size < mib ? 'req/s' : 'MiB/s';
    return { name: `S3: blob GET ${label}, ${size.label}`, unit, better: 'more', target };
  };
  return {
    id,
    lineup: onS3,
    redirects,
    ...(redirects && { leaveOut: { lading: 'a disk has no URL' } }),
    rows: sizes.map(rowOf),
    run: async (server, { seconds }, report) => {
      for (const size of sizes) {
        const load = await readLoad(server, { ...size, seconds, redirects });
        report(rowOf(size).name, size.size < mib ? perRequest(load) : perMiB(load));
      }
    },
  };
}

export const s3Reads = readsOf('s3-reads', 'through the server', { 'docker-registry on S3': 2 }, false);
/** The client goes where it is sent, so each blob is two requests. */
export const s3Redirects = readsOf('s3-redirects', 'by redirect', { S3: 0.85 }, true);

type ReadOptions = { size: number; connections: number; seconds: number; redirects: boolean };

async function readLoad(server: Server, { size, connections, seconds, redirects }: ReadOptions): Promise<Load> {
  const blob = makeBlob(size);
  const push = await readyPush(server, blob);
  const connection = await connect(server.port);
  await push(connection);
  connection.close();
  const request = await readyGet(server, blob);
  const open = redirects ? { open: () => connectFollowing(server.port) } : {};
  const load = await runLoad(server, { connections, seconds, next: () => request, ...open });
  if (load.bytes !== load.requests * size) throw new Error(`${server.name} sent ${load.bytes} bytes`);
  return load;
}

export function perRequest(load: Load): Sample {
  return { ...sampleOf(load, load.requests), p99Ms: load.p99Ms };
}

export function perMiB(load: Load): Sample {
  return sampleOf(load, load.bytes / mib);
}

function sampleOf(load: Load, amount: number): Sample {
  return {
    value: amount / load.seconds,
    cpuMs: (load.serverCpuSeconds * 1000) / amount,
    note: `client ${Math.round((load.clientCpuSeconds / load.seconds) * 100)} % of a core`,
  };
}
