import { type Connection, connect } from './connection.ts';
import { quantile } from './load.ts';
import { makeBlob, pushBlob, repositoryOf } from './push.ts';
import type { Server } from './servers.ts';

/** That many clients push blobs of 10 KiB, one after the other each, until the work is done. */
export async function pushFor(
  server: Server,
  clients: number,
  work: () => Promise<unknown>,
): Promise<{ p99Ms: number; pushes: number }> {
  const headers = server.seedHeaders;
  const connections = await Promise.all(Array.from({ length: clients }, () => connect(server.port)));
  const latencies: number[] = [];
  let isDone = false;
  const keepPushing = async (connection: Connection) => {
    while (!isDone) {
      const blob = makeBlob(10 * 1024);
      const started = performance.now();
      await pushBlob(connection, repositoryOf(server, 'pushed'), blob, headers);
      latencies.push(performance.now() - started);
    }
  };
  const pushing = connections.map(keepPushing);
  try {
    await work();
  } finally {
    isDone = true;
    await Promise.all(pushing);
  }
  for (const connection of connections) connection.close();
  latencies.sort((a, b) => a - b);
  return { p99Ms: quantile(latencies, 0.99), pushes: latencies.length };
}
