import type { Case } from '../case.ts';
import { connect, requestHead } from '../connection.ts';
import { type Load, measure, median, runLoad, type Span } from '../load.ts';
import { dropFromMemory } from '../machine.ts';
import { makeBlob, type PushWay, pushBlob, repositoryOf } from '../push.ts';
import { type Server, scopeOf } from '../servers.ts';

const mib = 1024 * 1024;
const bigMiB = 512;
const repository = 'blobs';
const read = 'blob GET 1 MiB, 8 connections';
const stream = 'blob GET 512 MiB, one stream';
const pushes: Record<PushWay, string> = {
  put: 'blob push 512 MiB, one PUT',
  patch: 'blob push 512 MiB, one streamed PATCH',
};

export const blobReads: Case = {
  id: 'blob-reads',
  rows: [
    { name: read, unit: 'MiB/s', better: 'more', target: { 'docker-registry': 2 } },
    { name: stream, unit: 'MiB/s', better: 'more', target: { best: 1 } },
  ],
  run: async (server, { seconds }, report) => {
    const small = await loadOf(server, mib, 8, seconds);
    report(read, { ...perMiB(small, small.bytes / mib), p99Ms: small.p99Ms });
    const big = await loadOf(server, bigMiB * mib, 1, seconds);
    report(stream, perMiB(big, big.bytes / mib));
  },
};

async function loadOf(server: Server, size: number, connections: number, seconds: number): Promise<Load> {
  const headers = await server.authorize([scopeOf(server, repository)]);
  const name = repositoryOf(server, repository);
  const blob = makeBlob(size);
  const connection = await connect(server.port);
  await pushBlob(connection, name, blob, headers);
  connection.close();
  const request = requestHead('GET', `/v2/${name}/blobs/${blob.digest}`, headers);
  return runLoad(server, { connections, seconds, next: () => request });
}

export const blobPushes: Case = {
  id: 'blob-pushes',
  rows: Object.values(pushes).map((name) => ({
    name,
    unit: 'MiB/s',
    better: 'more',
    target: { 'docker-registry': 2 },
  })),
  run: async (server, { seconds }, report) => {
    for (const way of ['put', 'patch'] as const) {
      const headers = await server.authorize([scopeOf(server, repository)]);
      const spans: Span[] = [];
      // At least two, so that a single slow moment of the disk is not the result of a short run.
      for (let spent = 0; spent < seconds || spans.length < 2; ) {
        const blob = makeBlob(bigMiB * mib);
        const connection = await connect(server.port);
        const push = () => pushBlob(connection, repositoryOf(server, repository), blob, headers, way);
        const span = await measure(server, push);
        connection.close();
        dropFromMemory(server.dataDir);
        spans.push(span);
        spent += span.seconds;
      }
      const middle = median(spans.map((span) => span.seconds));
      const cpu = spans.reduce((total, span) => total + span.serverCpuSeconds, 0);
      report(pushes[way], { value: bigMiB / middle, cpuMs: (cpu * 1000) / (bigMiB * spans.length) });
    }
  },
};

function perMiB(span: Span, amount: number) {
  return { value: amount / span.seconds, cpuMs: (span.serverCpuSeconds * 1000) / amount };
}
