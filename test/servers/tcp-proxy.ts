import { connect, createServer, type Server, type Socket } from 'node:net';
import type { Scope } from '../database.ts';
import { findFreePort } from './child.ts';

/**
 * `pass`; `silent`: connections stand and new ones are taken, but not a byte gets through, as behind a cable that was
 * pulled; `refuse`: nobody listens.
 */
export type LineState = 'pass' | 'silent' | 'refuse';

/** A line to a server that speaks anything over TCP. */
export type TcpProxy = {
  host: string;
  state: () => LineState;
  /** What was silenced stays dead: when the line passes again, only new connections do. */
  set: (state: LineState) => Promise<void>;
  /** Ends all connections at once, in the middle of whatever they carry. */
  cut: () => void;
  connections: () => number;
};

type Line = { client: Socket; server: Socket };

/** Stands before a server and spoils the line to it. `target`: `host:port`. */
export async function startTcpProxy(t: Scope, target: string): Promise<TcpProxy> {
  const [host = '', port = ''] = target.split(':');
  const ownPort = await findFreePort();
  const lines = new Set<Line>();
  let state: LineState = 'pass';

  function accept(client: Socket): void {
    const line: Line = { client, server: connect(Number(port), host) };
    lines.add(line);
    for (const socket of [line.client, line.server]) {
      socket.setNoDelay(true);
      socket.once('error', () => end(line));
      socket.once('close', () => end(line));
    }
    if (state === 'silent') return;
    line.client.pipe(line.server);
    line.server.pipe(line.client);
  }

  function end(line: Line): void {
    lines.delete(line);
    for (const socket of [line.client, line.server]) socket.destroy();
  }

  function silence({ client, server }: Line): void {
    client.unpipe(server).resume();
    server.unpipe(client).resume();
  }

  function cut(): void {
    for (const line of [...lines]) {
      // What the peer sees is a reset, and not an orderly end.
      line.client.resetAndDestroy();
      end(line);
    }
  }

  let listening = await listen(accept, ownPort);
  t.after(() => {
    cut();
    listening?.close();
  });
  return {
    host: `127.0.0.1:${ownPort}`,
    state: () => state,
    async set(next) {
      state = next;
      if (next === 'silent') for (const line of lines) silence(line);
      if (next === 'refuse') {
        listening?.close();
        listening = undefined;
        cut();
      } else listening ??= await listen(accept, ownPort);
    },
    cut,
    connections: () => lines.size,
  };
}

function listen(accept: (client: Socket) => void, port: number): Promise<Server | undefined> {
  const server = createServer({ allowHalfOpen: false }, accept);
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
}
