import { type Case, onS3, type Target } from '../case.ts';
import { connect } from '../connection.ts';
import { measure, median, type Span } from '../load.ts';
import { dropFromMemory } from '../machine.ts';
import { writtenKiB } from '../processes.ts';
import { eachOf, makeBlob, type PushWay } from '../push.ts';
import { readyPush } from '../s3-blobs.ts';
import type { Server } from '../servers.ts';

const mib = 1024 * 1024;
const bigMiB = 128;
const batch = 200;
const target: Target = { 'docker-registry on S3': 2 };
const many = [
  { size: 10 * 1024, connections: 8, name: 'S3: blob push 10 KiB, 8 connections' },
  { size: 5 * mib, connections: 4, name: 'S3: blob push 5 MiB, 4 connections' },
];
const big: Record<PushWay, string> = {
  put: 'S3: blob push 128 MiB, one PUT',
  patch: 'S3: blob push 128 MiB, one streamed PATCH',
};
const written = 'S3: written to disk by the server for each such PUT';

export const s3Pushes: Case = {
  id: 's3-pushes',
  lineup: onS3,
  rows: [
    ...many.map(({ name }) => ({ name, unit: 'pushes/s', better: 'more', target }) as const),
    ...Object.values(big).map((name) => ({ name, unit: 'MiB/s', better: 'more', target }) as const),
    // Rows of the database, and nothing of the blob.
    { name: written, unit: 'KiB', better: 'less', limit: 1024 },
  ],
  run: async (server, { seconds }, report) => {
    for (const { size, connections, name } of many) {
      const { pushes, span } = await pushMany(server, size, connections, seconds);
      report(name, { value: pushes / span.seconds, cpuMs: (span.serverCpuSeconds * 1000) / pushes });
    }
    for (const way of ['put', 'patch'] as const) {
      const before = writtenKiB(server.pid);
      const spans = await pushBig(server, way, seconds);
      const cpu = spans.reduce((total, span) => total + span.serverCpuSeconds, 0);
      const seconds1 = median(spans.map((span) => span.seconds));
      report(big[way], { value: bigMiB / seconds1, cpuMs: (cpu * 1000) / (bigMiB * spans.length) });
      if (way === 'put' && server.name !== 'S3') {
        report(written, { value: (writtenKiB(server.pid) - before) / spans.length });
      }
    }
  },
};

export async function pushMany(server: Server, size: number, connections: number, seconds: number) {
  const ports = [server, ...server.others].map(({ port }) => port);
  const workers = await Promise.all(
    Array.from({ length: connections }, (_, n) => connect(ports[n % ports.length] ?? server.port)),
  );
  const span = { seconds: 0, serverCpuSeconds: 0 };
  let pushes = 0;
  // The first batch warms up.
  for (let count = 0; count === 0 || span.seconds < seconds; count++) {
    const blobs = Array.from({ length: Math.min(batch, Math.ceil((64 * mib) / size)) }, () => makeBlob(size));
    const ready = await Promise.all(blobs.map((blob) => readyPush(server, blob)));
    const { seconds: took, serverCpuSeconds } = await measure(server, () => {
      return eachOf(ready, workers, (push, worker) => push(worker));
    });
    dropFromMemory(server.dataDir);
    if (count === 0) continue;
    span.seconds += took;
    span.serverCpuSeconds += serverCpuSeconds;
    pushes += ready.length;
  }
  for (const worker of workers) worker.close();
  return { pushes, span };
}

async function pushBig(server: Server, way: PushWay, seconds: number): Promise<Span[]> {
  const spans: Span[] = [];
  // At least two, so that a single slow moment of the disk is not the result of a short run.
  for (let spent = 0; spent < seconds || spans.length < 2; ) {
    const push = await readyPush(server, makeBlob(bigMiB * mib), way);
    const connection = await connect(server.port);
    const span = await measure(server, () => push(connection));
    connection.close();
    dropFromMemory(server.dataDir);
    spans.push(span);
    spent += span.seconds;
  }
  return spans;
}
