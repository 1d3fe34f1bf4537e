import { connect, createServer, type Socket } from 'node:net';
import type { Scope } from '../database.ts';
import { findFreePort } from './child.ts';

/**
 * When the connection ends: before the server hears of the statement, or when it has done it and its answer is on the way,
 * so that nobody is told. `silent`: it stays open, and the statement arrives nowhere.
 */
export type Cut = 'before' | 'after' | 'silent';

export type PostgresProxy = {
  /** The URL of the server by way of the proxy. */
  url: string;
  /** Every statement that was run, in order. */
  seen: string[];
  /** Every statement that the server had to read and plan, because its connection did not keep it from an earlier time. */
  parsed: { text: string; connection: number }[];
  /** How many connections there have been. */
  connections: number;
  /** Asked for each statement, with the number of its connection from 1 on; undefined lets it pass. */
  cut: (statement: string, connection: number) => Cut | undefined;
};

/** Stands before a Postgres, reads what its clients say, and ends connections at the statement it is told to. */
export async function startPostgresProxy(t: Scope, serverUrl: string): Promise<PostgresProxy> {
  const target = new URL(serverUrl);
  const url = new URL(serverUrl);
  const port = await findFreePort();
  url.host = `127.0.0.1:${port}`;
  const proxy: PostgresProxy = { url: url.href, seen: [], parsed: [], connections: 0, cut: () => undefined };
  const clients = new Set<Socket>();
  const server = createServer((client) => {
    clients.add(client);
    client.once('close', () => clients.delete(client));
    pass(proxy, client, connect(Number(target.port), target.hostname));
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  t.after(() => {
    for (const client of clients) client.destroy();
    server.close();
  });
  return proxy;
}

function pass(proxy: PostgresProxy, client: Socket, server: Socket): void {
  const number = ++proxy.connections;
  let isDeaf = false;
  const end = () => {
    client.resetAndDestroy();
    server.destroy();
  };
  for (const socket of [client, server]) socket.setNoDelay(true).once('error', end).once('close', end);
  const statementsIn = newReader((text) => proxy.parsed.push({ text, connection: number }));
  client.on('data', (chunk: Buffer) => {
    for (const statement of statementsIn(chunk)) {
      proxy.seen.push(statement);
      const cut = proxy.cut(statement, number);
      if (cut === 'before') return end();
      if (cut === 'silent') return;
      if (cut === 'after') isDeaf = true;
    }
    server.write(chunk);
  });
  // The first word of the answer comes when the statement is done; a commit's, when it is durable.
  server.on('data', (chunk: Buffer) => (isDeaf ? end() : client.write(chunk)));
}

/** https://www.postgresql.org/docs/current/protocol-message-formats.html: Query and Bind, and Parse for the text of a Bind. */
function newReader(onParse: (text: string) => void): (chunk: Buffer) => string[] {
  const texts = new Map<string, string>();
  let rest = Buffer.alloc(0);
  let isStarted = false;
  return (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    const statements: string[] = [];
    for (;;) {
      // The first message has no type.
      const lengthAt = isStarted ? 1 : 0;
      if (rest.length < lengthAt + 4) return statements;
      const end = lengthAt + rest.readInt32BE(lengthAt);
      if (rest.length < end) return statements;
      const type = isStarted ? String.fromCharCode(rest[0] ?? 0) : '';
      const [first = '', second = ''] = rest
        .subarray(lengthAt + 4, end)
        .toString('latin1')
        .split('\0');
      if (type === 'Q') statements.push(first);
      if (type === 'P') {
        texts.set(first, second);
        onParse(second);
      }
      if (type === 'B') statements.push(texts.get(second) ?? second);
      isStarted = true;
      rest = rest.subarray(end);
    }
  };
}
