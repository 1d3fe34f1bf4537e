import { connect as connectSocket, type Socket } from 'node:net';

/** What came back. `body` is filled only where the request asked for it: a 512 MiB stream must not be collected. */
export type Reply = { status: number; head: string; bodyBytes: number; body: Buffer };

export type Connection = {
  /** One request at a time; the bytes of `request` go out as they are. */
  send: (request: Buffer, wants?: Wants) => Promise<Reply>;
  /** As `send`, then the chunks of a body as fast as the socket takes them. */
  upload: (head: Buffer, body: Iterable<Uint8Array>) => Promise<Reply>;
  close: () => void;
};

/** `drop` counts the body's bytes, `keep` collects them, `none` is the answer to a HEAD. */
export type Wants = 'drop' | 'keep' | 'none';

const headEnd = Buffer.from('\r\n\r\n');
const lastChunk = Buffer.from('\r\n0\r\n\r\n');
const emptyChunked = Buffer.from('0\r\n\r\n');
const receiveBytes = 512 * 1024;

type Exchange = { wants: Wants; resolve: (reply: Reply) => void; reject: (error: Error) => void };
type Incoming = { reply: Reply; length: number; kept: Buffer[]; tail: Buffer };

/**
 * A keep-alive connection that does as little per request as Node allows: one buffer that the kernel fills, requests
 * made once and sent again, no header objects. `node:http` would be a third of the machine at these rates.
 */
export function connect(port: number): Promise<Connection> {
  let waiting: Exchange | undefined;
  let incoming: Incoming | undefined;
  let early = Buffer.alloc(0);
  let broken: Error | undefined;
  const fail = (error: Error) => {
    broken = error;
    waiting?.reject(error);
    waiting = undefined;
  };
  const receive = (bytes: Buffer) => {
    if (waiting === undefined) return fail(new Error('the server sent bytes nobody asked for'));
    let body = bytes;
    if (incoming === undefined) {
      const all = early.length === 0 ? bytes : Buffer.concat([early, bytes]);
      const end = all.indexOf(headEnd);
      if (end < 0) {
        early = Buffer.from(all);
        return;
      }
      early = Buffer.alloc(0);
      incoming = readHead(all.toString('latin1', 0, end), waiting.wants);
      body = all.subarray(end + 4);
    }
    if (!takeBody(incoming, body, waiting.wants)) return;
    const { resolve } = waiting;
    const { reply, kept } = incoming;
    if (kept.length > 0) reply.body = Buffer.concat(kept);
    waiting = undefined;
    incoming = undefined;
    resolve(reply);
  };

  const socket = connectSocket({
    port,
    host: '127.0.0.1',
    noDelay: true,
    onread: {
      buffer: Buffer.allocUnsafeSlow(receiveBytes),
      callback: (count, buffer) => {
        receive(Buffer.from(buffer.buffer, buffer.byteOffset, count));
        return true;
      },
    },
  });
  socket.on('error', fail).on('close', () => fail(new Error('the server closed the connection')));

  const start = (wants: Wants) =>
    new Promise<Reply>((resolve, reject) => {
      if (broken !== undefined) return reject(broken);
      waiting = { wants, resolve, reject };
    });
  const connection: Connection = {
    send: (request, wants = 'drop') => {
      const reply = start(wants);
      socket.write(request);
      return reply;
    },
    upload: (head, body) => {
      const reply = start('keep');
      socket.write(head);
      writeAll(socket, body, () => waiting !== undefined);
      return reply;
    },
    close: () => socket.destroy(),
  };
  return new Promise((resolve, reject) => {
    socket.once('connect', () => resolve(connection)).once('error', reject);
  });
}

function readHead(head: string, wants: Wants): Incoming {
  const status = Number(head.slice(9, 12));
  const declared = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
  // Without a length the answer is chunked; its end is looked for in the last bytes, which no JSON body can contain.
  const length =
    wants === 'none' || status === 204 || status === 304 ? 0 : declared === undefined ? -1 : Number(declared);
  return { reply: { status, head, bodyBytes: 0, body: Buffer.alloc(0) }, length, kept: [], tail: Buffer.alloc(0) };
}

function takeBody(incoming: Incoming, body: Buffer, wants: Wants): boolean {
  incoming.reply.bodyBytes += body.length;
  // The receive buffer is used again for the next bytes, so what is kept has to be copied.
  if (wants === 'keep' && body.length > 0) incoming.kept.push(Buffer.from(body));
  if (incoming.length >= 0) return incoming.reply.bodyBytes >= incoming.length;
  incoming.tail = Buffer.concat([incoming.tail, body.subarray(-lastChunk.length)]).subarray(-lastChunk.length);
  return incoming.tail.equals(lastChunk) || (incoming.tail.length === 5 && incoming.tail.equals(emptyChunked));
}

function writeAll(socket: Socket, body: Iterable<Uint8Array>, isWanted: () => boolean): void {
  const chunks = body[Symbol.iterator]();
  const more = () => {
    // A refusal may come before the body is out: the rest is not sent then.
    while (isWanted()) {
      const { done, value } = chunks.next();
      if (done) return;
      if (!socket.write(value)) {
        socket.once('drain', more);
        return;
      }
    }
  };
  more();
}

/** The head of a request, complete with its empty line. */
export function requestHead(method: string, path: string, headers: Record<string, string | number> = {}): Buffer {
  const lines = Object.entries({ Host: '127.0.0.1', ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.from(`${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n`);
}

export function headerOf(reply: Reply, name: string): string | undefined {
  return new RegExp(`\\r\\n${name}: *([^\\r]*)`, 'i').exec(reply.head)?.[1];
}

/** Goes where an answer with a `Location` sends it, over a connection that stays open, and gives the answer from there. */
export async function connectFollowing(port: number): Promise<Connection> {
  const first = await connect(port);
  let second: { host: string; connection: Connection } | undefined;
  return {
    ...first,
    send: async (request, wants) => {
      const reply = await first.send(request, wants);
      const location = headerOf(reply, 'location');
      if (reply.status !== 307 || location === undefined) return reply;
      const { host, port, pathname, search } = new URL(location);
      if (second?.host !== host) second = { host, connection: await connect(Number(port)) };
      return second.connection.send(requestHead('GET', pathname + search, { Host: host }), wants);
    },
    close: () => {
      first.close();
      second?.connection.close();
    },
  };
}
