import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { Answer } from './oci-client.ts';
import { listen, type Registry } from './registry-client.ts';

/** A connection on which each byte is the test's own: to be cut, to stop short, to lie about lengths. */
export type Wire = {
  socket: Socket;
  /** A request's head: its line and headers, with `Host` and the owner's credentials. */
  head(line: string, headers?: readonly string[]): void;
  write(bytes: string | Buffer): void;
  /** One chunk of a chunked body; the empty one ends it. */
  chunk(bytes: string | Buffer): void;
  /** The next answer; of a HEAD without its body. Throws if the connection ends before. */
  answer(options?: { isHead?: boolean }): Promise<Answer & { head: string }>;
  /** Without a word, as when a cable is pulled. */
  cut(): void;
  isOpen(): boolean;
};

export async function openWire(registry: Registry, port?: number): Promise<Wire> {
  const socket = connect(port ?? (await listen(registry)), '127.0.0.1');
  // Joined only when something is taken: a large body comes in a thousand pieces.
  let pieces: Buffer[] = [];
  let available = 0;
  let wake = () => {};
  socket.on('data', (bytes) => {
    const piece = Buffer.from(bytes);
    pieces.push(piece);
    available += piece.length;
    wake();
  });
  // A cut is what some tests are about; what follows from it is asked of the server.
  socket.on('error', () => {});
  for (const event of ['end', 'close']) socket.on(event, () => wake());
  await once(socket, 'connect');
  const credentials = Buffer.from(`someone:${registry.team.secret}`).toString('base64');
  const more = async () => {
    if (socket.closed || socket.readableEnded) {
      throw new Error(`the connection ended after: ${Buffer.concat(pieces).subarray(0, 500)}`);
    }
    await new Promise<void>((resolve) => {
      wake = resolve;
    });
  };
  const take = async (length: number): Promise<Buffer> => {
    while (available < length) await more();
    const received = Buffer.concat(pieces);
    pieces = [received.subarray(length)];
    available -= length;
    return received.subarray(0, length);
  };
  const takeHead = async () => {
    for (;;) {
      pieces = [Buffer.concat(pieces)];
      const end = pieces[0]?.indexOf('\r\n\r\n') ?? -1;
      if (end >= 0) return (await take(end + 4)).toString('latin1');
      await more();
    }
  };
  const wire: Wire = {
    socket,
    head(line, headers = []) {
      const lines = [`${line} HTTP/1.1`, 'Host: localhost:8080', `Authorization: Basic ${credentials}`, ...headers];
      socket.write(`${lines.join('\r\n')}\r\n\r\n`);
    },
    write: (bytes) => void socket.write(bytes),
    chunk(bytes) {
      socket.write(`${Buffer.byteLength(bytes).toString(16)}\r\n`);
      socket.write(bytes);
      socket.write('\r\n');
    },
    async answer({ isHead = false } = {}) {
      const head = await takeHead();
      const { status, headers } = parseHead(head);
      const length = isHead || status === 204 || status === 304 || status < 200 ? 0 : Number(headers['content-length']);
      const bytes = await take(length);
      const text = bytes.toString();
      return { head, status, headers, bytes, text, code: /^\{"errors":\[\{"code":"([A-Z_]+)"/.exec(text)?.[1] };
    },
    cut: () => socket.resetAndDestroy(),
    isOpen: () => !socket.closed && !socket.readableEnded,
  };
  return wire;
}

function parseHead(head: string): { status: number; headers: Record<string, string> } {
  const [line = '', ...fields] = head.trimEnd().split('\r\n');
  const headers: Record<string, string> = {};
  for (const field of fields) {
    const colon = field.indexOf(':');
    const name = field.slice(0, colon).toLowerCase();
    const value = field.slice(colon + 1).trim();
    headers[name] = name in headers ? `${headers[name]}\n${value}` : value;
  }
  return { status: Number(line.split(' ')[1]), headers };
}
