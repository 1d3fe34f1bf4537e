import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { Readable } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import type { BlobStream } from '#core/platform.ts';
import { giveBackChunk, lend, takeChunk } from './s3-chunks.ts';
import type { Place } from './s3-place.ts';

// HTTP/1.1 over one socket, as much of it as plain answers need: one request after the other, answers that say how long they
// are. Node's client takes 64 KiB from a socket at a time, each through half a dozen layers; here the kernel fills 256 KiB
// that go to the reader as they are.

/** What the answer to a request is; its body is a stream that must be read or destroyed. */
export type Answer = { status: number; head: string; length: number; body: ReceivedStream };
/** Its bytes so far are counted, read or not: who waits for them can see whether any come. */
export type ReceivedStream = BlobStream & { received: () => number };

export type Line = {
  /** Undefined: there was no plain answer, whatever the reason, and the line is closed. */
  ask: (head: string, body: Buffer | undefined, silentMs: number) => Promise<Answer | undefined>;
  close: () => void;
};

const connectMs = 5_000;
/** Servers close what nobody uses, and firewalls forget it without a word. */
const idleMs = 10_000;
const headMax = 16 * 1024;
const headEnd = Buffer.from('\r\n\r\n');

type Exchange = {
  resolve: (answer: Answer | undefined) => void;
  /** The answer to a HEAD says how long the body of another request would be. */
  hasBody: boolean;
  early: Buffer;
  body?: Readable;
  left: number;
  received: number;
  stays: boolean;
};

type State = { socket: Socket; memory: Buffer; exchange: Exchange | undefined; free: () => void };

/** `free` is called whenever the line can take the next request, `gone` when it never will again. */
export function openLine(place: Place, { free, gone }: Record<'free' | 'gone', (line: Line) => void>): Line {
  // Before the socket, which asks for memory at once.
  const begun = { memory: takeChunk(), exchange: undefined, free: () => free(line) };
  const socket = connectSocket(
    place,
    () => begun.memory,
    (count) => receive(state, state.memory.subarray(0, count)),
  );
  const state: State = Object.assign(begun, { socket });
  const line: Line = {
    ask: (head, body, silentMs) => ask(state, head, body, silentMs),
    close: () => socket.destroy(),
  };
  socket.setTimeout(connectMs);
  socket.on('timeout', () => socket.destroy()).on('error', () => {});
  socket.on('close', () => {
    gone(line);
    const { exchange } = state;
    state.exchange = undefined;
    giveBackChunk(state.memory);
    if (!exchange?.body) return exchange?.resolve(undefined);
    exchange.body.destroy(new Error(`The store closed the connection ${exchange.left} bytes before the end.`));
  });
  return line;
}

function ask(state: State, head: string, body: Buffer | undefined, silentMs: number): Promise<Answer | undefined> {
  const { socket } = state;
  return new Promise((resolve) => {
    if (socket.destroyed) return resolve(undefined);
    const hasBody = !head.startsWith('HEAD ');
    state.exchange = { resolve, hasBody, early: Buffer.alloc(0), left: 0, received: 0, stays: true };
    socket.ref();
    if (!socket.connecting) socket.setTimeout(silentMs);
    else socket.once('connect', () => socket.setTimeout(silentMs));
    socket.write(head, 'latin1');
    if (body && body.length > 0) socket.write(body);
  });
}

function receive(state: State, bytes: Buffer): void {
  const { exchange } = state;
  // Nobody asked.
  if (!exchange) state.socket.destroy();
  else if (exchange.body) takeBody(state, exchange, exchange.body, bytes);
  else takeHead(state, exchange, bytes);
}

function takeHead(state: State, exchange: Exchange, bytes: Buffer): void {
  const { socket } = state;
  const all = exchange.early.length === 0 ? bytes : Buffer.concat([exchange.early, bytes]);
  const end = all.indexOf(headEnd);
  if (end < 0) {
    exchange.early = Buffer.from(all);
    if (all.length > headMax) socket.destroy();
    return;
  }
  const head = readHead(all.toString('latin1', 0, end + 2));
  if (!head) return void socket.destroy();
  // From here on the reader decides how long is too long.
  socket.setTimeout(0);
  exchange.left = exchange.hasBody ? head.length : 0;
  exchange.stays = head.stays;
  exchange.body = newBody(state, exchange);
  const body = Object.assign(exchange.body, { giveBack: giveBackChunk, received: () => exchange.received });
  exchange.resolve({ ...head, body });
  takeBody(state, exchange, exchange.body, all.subarray(end + 4));
}

function newBody(state: State, exchange: Exchange): Readable {
  const body = new Readable({
    // One chunk lies ready while the reader has another.
    highWaterMark: 1,
    read: () => {
      if (state.exchange === exchange) state.socket.resume();
    },
    destroy(error, callback) {
      if (state.exchange === exchange) state.socket.destroy();
      callback(error);
    },
  });
  // It may break off before anybody listens.
  return body.on('error', () => {});
}

function takeBody(state: State, exchange: Exchange, body: Readable, bytes: Buffer): void {
  const { socket } = state;
  exchange.left -= bytes.length;
  exchange.received += bytes.length;
  if (exchange.left < 0) return void socket.destroy();
  if (bytes.length > 0) {
    // Before the reader hears of the bytes, who may want more at once.
    if (exchange.left > 0) socket.pause();
    const lent = lend(state.memory, bytes);
    state.memory = lent.next;
    body.push(lent.bytes);
  }
  if (exchange.left > 0) return;
  state.exchange = undefined;
  body.push(null);
  if (!exchange.stays || socket.writableLength > 0) return void socket.destroy();
  socket.setTimeout(idleMs).unref();
  state.free();
}

function connectSocket(place: Place, buffer: () => Buffer, receive: (count: number) => void): Socket {
  const { hostname, port, isTls } = place;
  const onread = {
    buffer,
    callback: (count: number) => {
      receive(count);
      return true;
    },
  };
  const options = { host: hostname, port, noDelay: true, keepAlive: true, onread };
  if (!isTls) return connectTcp(options);
  // Node names the host only when told to, and TLS has no names for addresses.
  return connectTls(isIP(hostname) === 0 ? { ...options, servername: hostname } : options);
}

/** Undefined where this is more than a plain answer: a body of unknown length, a status that is not the last. */
function readHead(head: string): { status: number; head: string; length: number; stays: boolean } | undefined {
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1] ?? 0);
  const length = /\r\ncontent-length: *(\d{1,15}) *\r\n/i.exec(head)?.[1] ?? (status === 204 ? '0' : undefined);
  if (status < 200 || length === undefined || /\r\n(?:transfer|content)-encoding:/i.test(head)) return undefined;
  return { status, head, length: Number(length), stays: !/\r\nconnection: *close/i.test(head) };
}
