import { type Connection, connect, type Wants } from './connection.ts';
import { cpuSeconds } from './processes.ts';
import type { Server } from './servers.ts';

export type Load = {
  requests: number;
  seconds: number;
  bytes: number;
  p50Ms: number;
  p99Ms: number;
  /** User and system time of the server, and of this client, over the same span. */
  serverCpuSeconds: number;
  clientCpuSeconds: number;
};

export type LoadOptions = {
  connections: number;
  seconds: number;
  /** The request to send next; a constant one costs nothing. */
  next: (count: number) => Buffer;
  wants?: Wants;
  status?: number;
  /** Another connection than to the server itself; the number counts them. */
  open?: (count: number) => Promise<Connection>;
};

/** Sends requests over keep-alive connections, one in flight on each, until the time is over. */
export async function runLoad(server: Server, options: LoadOptions): Promise<Load> {
  const ports = [server, ...server.others].map(({ port }) => port);
  const open = options.open ?? ((count: number) => connect(ports[count % ports.length] ?? server.port));
  const connections = await Promise.all(Array.from({ length: options.connections }, (_, count) => open(count)));
  const latencies: number[] = [];
  let bytes = 0;
  const work = async (connection: Connection, until: number) => {
    const { next, wants = 'drop', status = 200 } = options;
    for (let sent = performance.now(); sent < until; ) {
      const reply = await connection.send(next(latencies.length), wants);
      if (reply.status !== status)
        throw new Error(`${server.name} answered ${reply.status}, not ${status}:\n${reply.head}`);
      const now = performance.now();
      latencies.push(now - sent);
      bytes += reply.bodyBytes;
      sent = now;
    }
  };
  // A second of the same for each process before the clock starts: caches, JIT and TCP windows are warm for everyone.
  const warmUntil = performance.now() + Math.min(1000, options.seconds * 500) * ports.length;
  await Promise.all(connections.map((connection) => work(connection, warmUntil)));
  latencies.length = 0;
  bytes = 0;
  const measured = await measure(server, () => {
    const until = performance.now() + options.seconds * 1000;
    return Promise.all(connections.map((connection) => work(connection, until)));
  });
  for (const connection of connections) connection.close();
  latencies.sort((a, b) => a - b);
  return {
    ...measured,
    requests: latencies.length,
    bytes,
    p50Ms: quantile(latencies, 0.5),
    p99Ms: quantile(latencies, 0.99),
  };
}

export type Span = Pick<Load, 'seconds' | 'serverCpuSeconds' | 'clientCpuSeconds'>;

export async function measure(server: Server, work: () => Promise<unknown>): Promise<Span> {
  const cpu = () => [server, ...server.others].reduce((sum, { pid }) => sum + cpuSeconds(pid), 0);
  const serverCpu = cpu();
  const clientCpu = process.cpuUsage();
  const started = performance.now();
  await work();
  const { user, system } = process.cpuUsage(clientCpu);
  return {
    seconds: (performance.now() - started) / 1000,
    serverCpuSeconds: cpu() - serverCpu,
    clientCpuSeconds: (user + system) / 1e6,
  };
}

/** Of values in ascending order. */
export function quantile(sorted: number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

export function median(values: number[]): number {
  return quantile(
    values.toSorted((a, b) => a - b),
    0.5,
  );
}
