import { type Case, type Row, replicated } from '../case.ts';
import { connect, requestHead } from '../connection.ts';
import { runLoad } from '../load.ts';
import { imageType, makeBlob, repositoryOf } from '../push.ts';
import { readyGet, readyPush } from '../s3-blobs.ts';
import { scopeOf } from '../servers.ts';
import { repository, seedImage } from './manifests.ts';
import { pushMany } from './s3-pushes.ts';
import { perMiB, perRequest } from './s3-reads.ts';

const mib = 1024 * 1024;
const manifest = 'PostgreSQL and S3: manifest GET by tag, 24 connections';
const blobGet = 'PostgreSQL and S3: blob GET 1 MiB, 12 connections';
const smallPush = 'PostgreSQL and S3: blob push 10 KiB, 12 connections';
const push = 'PostgreSQL and S3: blob push 5 MiB, 12 connections';
const row = (name: string, unit: string): Row => ({ name, unit, better: 'more', target: { 'one replica': 1 } });

/** Clients take turns among the replicas. */
export const s3Replicas: Case = {
  id: 's3-replicas',
  lineup: replicated,
  rows: [row(manifest, 'req/s'), row(blobGet, 'MiB/s'), row(smallPush, 'pushes/s'), row(push, 'pushes/s')],
  run: async (server, { seconds }, report) => {
    const image = await seedImage(server);
    const headers = { ...(await server.authorize([scopeOf(server, repository)])), Accept: imageType };
    const request = requestHead('GET', `/v2/${repositoryOf(server, repository)}/manifests/${image.tag}`, headers);
    report(manifest, perRequest(await runLoad(server, { connections: 24, seconds, next: () => request })));
    const blob = makeBlob(mib);
    const connection = await connect(server.port);
    await (await readyPush(server, blob))(connection);
    connection.close();
    const get = await readyGet(server, blob);
    report(blobGet, perMiB(await runLoad(server, { connections: 12, seconds, next: () => get })));
    for (const { name, size } of [
      { name: smallPush, size: 10 * 1024 },
      { name: push, size: 5 * mib },
    ]) {
      const { pushes, span } = await pushMany(server, size, 12, seconds);
      report(name, { value: pushes / span.seconds, cpuMs: (span.serverCpuSeconds * 1000) / pushes });
    }
  },
};
