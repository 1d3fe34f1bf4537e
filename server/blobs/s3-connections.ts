import { connect as connectTcp, type Socket } from 'node:net';
import { Readable } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import { type buildConnector, Pool } from 'undici';
import type { BlobStream } from '#core/platform.ts';
import { chunkBytes, giveBackChunk, keepRead, takeChunk } from './s3-chunks.ts';

// Connections to the store. undici speaks HTTP on them; what it reads into is ours. By itself it takes 64 KiB of new memory
// for each read, which costs large blobs four times as much as all the rest.

/** What the answer to a request is; its body is a stream that must be read or destroyed. */
export type Answer = { status: number; length: number; etag: string | undefined; body: ReceivedStream };
/** Its bytes so far are counted, read or not: who waits for them can see whether any come. */
export type ReceivedStream = BlobStream & { received: () => number };

export type Question = {
  method: 'GET' | 'HEAD' | 'PUT' | 'DELETE';
  path: string;
  headers: Record<string, string>;
  body: Buffer | null;
  /** How long nothing may come until the head of the answer is there. Then the reader decides how long is too long. */
  headersTimeout: number;
};

export type Connections = {
  /** Undefined: there was no plain answer, whatever the reason. */
  ask: (question: Question) => Promise<Answer | undefined>;
  close: () => void;
};

const connectMs = 5_000;
/** Servers close what nobody uses, and firewalls forget it without a word. */
const idleMs = 10_000;
/** Each of them that the kernel takes of a body shows that a slow line is not a dead one. */
const stepBytes = 1024 * 1024;

/** As many as there are requests at a time: with a limit, some slow pulls would keep all pushes waiting. */
export function openConnections(origin: string): Connections {
  const pool = new Pool(origin, {
    connect: connectSocket,
    allowH2: false,
    keepAliveTimeout: idleMs,
    keepAliveMaxTimeout: idleMs,
    bodyTimeout: 0,
  });
  return {
    ask: (question) => ask(pool, question),
    close: () => void pool.destroy().catch(() => {}),
  };
}

function ask(pool: Pool, question: Question): Promise<Answer | undefined> {
  return new Promise((resolve) => {
    let body: Readable | undefined;
    let received = 0;
    const { body: bytes, ...rest } = question;
    const headers = bytes ? { ...rest.headers, 'content-length': String(bytes.length) } : rest.headers;
    // Without `reset`, the connection of a HEAD would not be used again.
    pool.dispatch(
      { ...rest, headers, body: bytes && inSteps(bytes), reset: false },
      {
        onRequestStart: () => {},
        onResponseStart(controller, status, headers) {
          if (status < 200) return;
          const length = lengthOf(status, headers);
          if (length === undefined) return controller.abort(new Error('This is more than a plain answer.'));
          body = newBody(controller);
          const stream = Object.assign(body, { giveBack: giveBackChunk, received: () => received });
          const { etag } = headers;
          resolve({ status, length, etag: typeof etag === 'string' ? etag : undefined, body: stream });
        },
        onResponseData(controller, chunk) {
          received += chunk.length;
          if (!body?.push(chunk)) controller.pause();
        },
        onResponseEnd: () => void body?.push(null),
        onResponseError(_controller, error) {
          body?.destroy(error);
          resolve(undefined);
        },
      },
    );
  });
}

/** By itself undici allows a buffer as long to be sent and answered as it allows for the answer alone. */
function inSteps(bytes: Buffer): Buffer | Readable {
  if (bytes.length <= stepBytes) return bytes;
  const count = Math.ceil(bytes.length / stepBytes);
  const steps = Array.from({ length: count }, (_, n) => bytes.subarray(n * stepBytes, (n + 1) * stepBytes));
  // It ends with the request, whose fault is told elsewhere.
  return Readable.from(steps, { highWaterMark: 1 }).on('error', () => {});
}

/** Undefined where the answer does not say plainly how many bytes the object has. */
function lengthOf(status: number, headers: Record<string, string | string[] | undefined>): number | undefined {
  const length = headers['content-length'] ?? (status === 204 ? '0' : undefined);
  return typeof length === 'string' && headers['content-encoding'] === undefined ? Number(length) : undefined;
}

type Controller = { resume: () => void; abort: (reason: Error) => void };

function newBody(controller: Controller): Readable {
  const body = new Readable({
    // One chunk lies ready while the reader has another.
    highWaterMark: chunkBytes,
    read: () => controller.resume(),
    destroy(error, callback) {
      // An answer that has come to its end leaves the connection as it is.
      controller.abort(error ?? new Error('Nobody reads the rest.'));
      callback(error);
    },
  });
  // It may break off before anybody listens.
  return body.on('error', () => {});
}

function connectSocket(to: buildConnector.Options, callback: buildConnector.Callback): void {
  const isTls = to.protocol === 'https:';
  const options = {
    host: to.hostname,
    port: Number(to.port) || (isTls ? 443 : 80),
    noDelay: true,
    keepAlive: true,
    highWaterMark: chunkBytes,
    onread: {
      buffer: takeChunk,
      callback: (count: number, memory: Uint8Array): boolean => socket.push(keepRead(memory, count)),
    },
  };
  const socket: Socket = isTls
    ? connectTls({ ...options, ...(to.servername && { servername: to.servername }) })
    : connectTcp(options);
  const fail = (error: Error) => callback(error, null);
  socket.setTimeout(connectMs, () => socket.destroy(new Error('The store does not take the connection.')));
  socket.once('error', fail).once(isTls ? 'secureConnect' : 'connect', () => {
    socket.off('error', fail).setTimeout(0);
    callback(null, socket);
  });
}
